"""The way down beside the official client's: an archive that both bring to an empty folder.

gcwatch as a mirror, whole items with receipts; gcapi by its tutorial's loop of `images.download`.
"""

import shutil
from pathlib import Path
from typing import Any

from tests.bench.clients import ARCHIVE, SOCKET
from tests.bench.compare import compare, far_away, show
from tests.bench.material import make_big_file
from tests.bench.stand import Stand

ARCHIVES = ((200, 4), (1, 1024))
"""How many items of how many MiB each."""


def bench(folder: Path, rounds: int) -> None:
    """Measure both clients on the way down, from one archive after the other, and tell."""
    show(
        {
            f"archive of {items} times {mib} MiB": _mirrored(folder / str(mib), items, mib, rounds)
            for items, mib in ARCHIVES
        }
    )


def _mirrored(folder: Path, items: int, mib: int, rounds: int) -> dict[str, Any]:
    with far_away(folder / "sandbox") as stand:
        _fill(stand, folder / "made", items, mib)
        found = compare(stand, folder, "mirror", rounds)
    shutil.rmtree(folder)
    return found


def _fill(stand: Stand, folder: Path, items: int, mib: int) -> None:
    """Put so many items with an image of so many MiB each into the archive."""
    for number in range(items):
        make_big_file(folder / str(number), mib)
        image = {"path": str(folder / str(number) / "volume.mha"), "name": f"{number}.mha"}
        title, values = f"case {number}", {SOCKET: image}
        stand.ask("add_item", archive=ARCHIVE, title=title, values=values)
        shutil.rmtree(folder / str(number))
