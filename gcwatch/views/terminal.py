"""The terminal: where to print, plain tables, and the colours of stages."""

import json
import os
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

_PIPE_COLUMNS = 160
"""Columns on a pipe, which has no width of its own."""

STAGE_STYLES = {"delivered": "green", "failed": "bold red", "withdrawn": "dim"}


def console(*, stderr: bool = False) -> Console:
    """Return a console for the terminal, or for a pipe with room for whole sentences."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PIPE_COLUMNS
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def print_json(record: Any) -> None:
    """Print a record for programs, on standard output."""
    print(json.dumps(record, indent=2))  # noqa: T201 -- rich would wrap it


def plain_table(*columns: str) -> Table:
    """Given the headings of columns, return a table without lines, which folds long words."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table
