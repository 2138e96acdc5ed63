"""The answers of a reader study beside the official client's: both bring them to an empty folder.

gcwatch as a mirror, with a table, masks and receipts; gcapi by the loops of its documentation: the
answers of each display set, the question of each choice once, and the image of each mask.
"""

from base64 import b64encode
from pathlib import Path

from tests.bench.clients import STUDY
from tests.bench.compare import compare, far_away, show
from tests.bench.stand import Stand

DISPLAY_SETS = 2000
_EVERY_MASK = 10
"""One display set of so many has a mask."""
_MASK = (
    b"ObjectType = Image\nNDims = 3\nDimSize = 64 64 4\nElementType = MET_UCHAR\n"
    b"ElementDataFile = LOCAL\n" + bytes([0, 1]) * (64 * 64 * 2)
)


def bench(folder: Path, rounds: int) -> None:
    """Measure both clients, and tell."""
    with far_away(folder / "sandbox") as stand:
        _fill(stand)
        show({f"answers of {DISPLAY_SETS} display sets": compare(stand, folder, "answers", rounds)})


def _fill(stand: Stand) -> None:
    """Put a number and a choice into each display set, and a mask into some."""
    ask = stand.ask
    number = ask("add_question", reader_study=STUDY, text="How many?", kind="Number")
    choice = {"text": "Malignancy", "kind": "Choice", "options": ["benign", "malignant"]}
    choice = ask("add_question", reader_study=STUDY, **choice)
    lung = ask("add_question", reader_study=STUDY, text="Lung", kind="Mask")
    mask = {"base64": b64encode(_MASK).decode(), "name": "mask.mha"}
    for each in range(DISPLAY_SETS):
        case = ask("add_display_set", reader_study=STUDY, title=f"case {each}")
        ask("add_answer", display_set=case, question=number, answer=each)
        ask("add_answer", display_set=case, question=choice, answer=1 + each % 2)
        if each % _EVERY_MASK == 0:
            ask("add_answer", display_set=case, question=lung, mask=mask)
