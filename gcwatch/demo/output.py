"""What the demo prints: an introduction, and the results with their folders and addresses."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.json import JSON
from rich.text import Text

from gcwatch.core.receipt import RECEIPT_NAME
from gcwatch.demo.setup import ARCHIVE_CASES, JOB_CASES, REFUSALS
from gcwatch.demo.verify import OUTBOXES, Cases
from gcwatch.views.folder_tree import folder_tree

_FOLDER_TITLES: Mapping[str, str] = {
    "archive": "the archive, mirrored",
    "segmented": "its cases, segmented by an algorithm",
    "reading": "each case with its segmentation, in a reader study",
    "copy/out": "patients dropped by hand, processed by another algorithm",
}

_LINK_KEYS = ("item_url", "job_url", "display_set_url")


def print_introduction(screen: Console) -> None:
    """Say what the demo is going to do."""
    screen.print(Text("A local sandbox in place of the platform, and three steps:", "bold"))
    screen.print("  an archive is mirrored → an algorithm segments its cases → readers see both.")
    dropped = sum(route == "copy" for route, _ in JOB_CASES) + len(REFUSALS)
    screen.print(f"  Meanwhile {dropped} patients are dropped by hand; some can't be sent.\n")


def print_results(screen: Console, folder: Path, cases: Cases) -> None:
    """Print the folders, one receipt, the failure notes, and the address of each result."""
    screen.print()
    for place, words in _FOLDER_TITLES.items():
        screen.print(folder_tree(folder / place, f"{place}: {words}"))
    _print_receipt(screen, folder, cases)
    for name in REFUSALS:
        note = folder / "copy" / "out" / f"{name}.failed.txt"
        if note.exists():
            screen.print(Text(f"\n{name} was not sent; {note.name} says:", "bold"))
            screen.print(Text(note.read_text().rstrip()))
    screen.print(Text("\nThe results, and their pages on the platform:", "bold"))
    _print_places(screen, [*_list_places(folder, cases)])
    screen.print()


def _print_receipt(screen: Console, folder: Path, cases: Cases) -> None:
    case = cases.get(("lungs", next(iter(ARCHIVE_CASES))))
    if case and case.result:
        receipt = Path(OUTBOXES["lungs"], case.result, RECEIPT_NAME)
        screen.print(Text(f"\nThe receipt, {receipt}:", "bold"))
        screen.print(JSON((folder / receipt).read_text()))


def _print_places(screen: Console, places: Sequence[tuple[str, str]]) -> None:
    """Print each result folder with its page on the platform."""
    width = max((len(place) for place, _ in places), default=0)
    for place, link in places:
        line = Text.assemble("  ", (place.ljust(width), "cyan"), "  ", (link, "dim"))
        screen.print(line, soft_wrap=True)  # an address that is broken in two can't be clicked


def _list_places(folder: Path, cases: Cases) -> Iterator[tuple[str, str]]:
    for name in ARCHIVE_CASES:
        yield _find_place(folder, f"archive/{name}")
        for route in ("lungs", "reading"):
            if (case := cases.get((route, name))) and case.result:
                yield _find_place(folder, f"{OUTBOXES[route]}/{case.result}")
    for route, name in sorted(JOB_CASES):
        if route == "copy" and (case := cases.get((route, name))) and case.result:
            yield _find_place(folder, f"{OUTBOXES[route]}/{case.result}")


def _find_place(folder: Path, place: str) -> tuple[str, str]:
    """Return a result folder, and the address in its receipt or ""."""
    file = folder / place / RECEIPT_NAME
    target = json.loads(file.read_bytes())["target"] if file.exists() else {}
    return f"{place}/", next((target[key] for key in _LINK_KEYS if key in target), "")
