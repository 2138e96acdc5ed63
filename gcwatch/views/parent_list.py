"""`gcwatch send`: the folders of a folder of patients, before they are sent."""

from collections.abc import Iterator, Sequence

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.text import Text

from gcwatch.commands.send.parent import ParentFolder
from gcwatch.core.text import printable_name

_MOST = 60
"""Folders that are shown; as many fit on a screen."""


def parent_list(parents: Sequence[ParentFolder]) -> Group:
    """Given parents of cases, return the names of the folders in them."""
    return Group(*(part for parent in parents for part in _parts(parent)))


def _parts(parent: ParentFolder) -> Iterator[RenderableType]:
    yield Text(f"\n{printable_name(str(parent.path))}", "bold")
    names = [Text(f"  {printable_name(each.name)}") for each in parent.folders[:_MOST]]
    yield Columns(names)
    if more := len(parent.folders) - len(names):
        yield Text(f"  and {more} more", "dim")
    if parent.left_out:
        yield Text(parent.left_out, "yellow")
