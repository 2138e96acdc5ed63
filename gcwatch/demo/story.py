"""What the demo shows: what it is about to do, what was made of it, and where that is."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.json import JSON
from rich.text import Text

from gcwatch.core.receipt import RECEIPT_NAME
from gcwatch.demo.proof import OUTBOXES, Cases
from gcwatch.demo.scene import CHESTS, JOBS, REFUSALS
from gcwatch.views.folder_tree import folder_tree

_STEPS: Mapping[str, str] = {
    "archive": "the archive, mirrored",
    "segmented": "its cases through an algorithm",
    "reading": "each beside its segmentation, in a reader study",
    "copy/out": "patients dropped by hand, through another algorithm",
}

_LINKS = ("item_url", "job_url", "display_set_url")


def begin(screen: Console) -> None:
    """Say what is about to happen."""
    screen.print(Text("A stand-in for the platform, and three jobs in a row:", "bold"))
    screen.print("  an archive is mirrored → an algorithm segments its cases → readers get both.")
    dropped = sum(route == "copy" for route, _ in JOBS) + len(REFUSALS)
    screen.print(f"  Meanwhile {dropped} patients are dropped by hand; some can't be sent.\n")


def tell(screen: Console, folder: Path, cases: Cases) -> None:
    """Show the folders, one receipt, the refusals in words, and where everything is."""
    screen.print()
    for place, words in _STEPS.items():
        screen.print(folder_tree(folder / place, f"{place}: {words}"))
    _show_receipt(screen, folder, cases)
    for name in REFUSALS:
        note = folder / "copy" / "out" / f"{name}.failed.txt"
        if note.exists():
            screen.print(Text(f"\n{name} was not sent; {note.name} says:", "bold"))
            screen.print(Text(note.read_text().rstrip()))
    screen.print(Text("\nWhat was made, and where:", "bold"))
    _show_places(screen, [*_places(folder, cases)])
    screen.print()


def _show_receipt(screen: Console, folder: Path, cases: Cases) -> None:
    case = cases.get(("lungs", next(iter(CHESTS))))
    if case and case.result:
        receipt = Path(OUTBOXES["lungs"], case.result, RECEIPT_NAME)
        screen.print(Text(f"\nThe receipt, {receipt}:", "bold"))
        screen.print(JSON((folder / receipt).read_text()))


def _show_places(screen: Console, places: Sequence[tuple[str, str]]) -> None:
    """Show each case's folders and their pages on the platform; an address stays in one piece."""
    width = max((len(place) for place, _ in places), default=0)
    for place, link in places:
        line = Text.assemble("  ", (place.ljust(width), "cyan"), "  ", (link, "dim"))
        screen.print(line, soft_wrap=True)


def _places(folder: Path, cases: Cases) -> Iterator[tuple[str, str]]:
    for name in CHESTS:
        yield _place(folder, f"archive/{name}")
        for route in ("lungs", "reading"):
            if (case := cases.get((route, name))) and case.result:
                yield _place(folder, f"{OUTBOXES[route]}/{case.result}")
    for route, name in sorted(JOBS):
        if route == "copy" and (case := cases.get((route, name))) and case.result:
            yield _place(folder, f"{OUTBOXES[route]}/{case.result}")


def _place(folder: Path, place: str) -> tuple[str, str]:
    """Return a folder, and where on the platform what it tells of is."""
    file = folder / place / RECEIPT_NAME
    target = json.loads(file.read_bytes())["target"] if file.exists() else {}
    return f"{place}/", next((target[key] for key in _LINKS if key in target), "")
