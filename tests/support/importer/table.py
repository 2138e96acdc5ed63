"""Writes the table of kinds into docs/images.md, whose path is the argument."""

import sys
from pathlib import Path

from support.importer.corpus import KINDS
from support.importer.kinds import SENT, UNFOUND

BEGIN = "<!-- table of kinds: made by make docs -->\n"
END = "<!-- end of the table -->\n"
HEAD = "| kind of input | panimg makes of it | gcwatch |\n|---|---|---|\n"


def kinds_table():
    """Return the table of all kinds; tests/importer holds each row to what really happens."""
    return HEAD + "".join(map(_row, KINDS))


def _row(kind):
    done = _words(kind.gcwatch)
    if kind.gcwatch not in {kind.plain, UNFOUND}:
        done += f"; where another program de-identifies: {_words(kind.plain)}"
    return f"| {kind} | {kind.panimg} | {done} |\n"


def _words(code):
    return {SENT: "sent", UNFOUND: "sent; can't be found"}.get(code, f"`{code}`")


def page_with_table(page):
    """Return the page with its table made anew."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + kinds_table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(page_with_table(path.read_text()))
