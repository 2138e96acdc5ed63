"""What a mirror is a copy of: `run.py` does the rest for each kind of source alike."""

from collections.abc import Callable, Container, Mapping
from typing import Protocol

from gcwatch import config
from gcwatch.mirror.archive import ArchiveSource
from gcwatch.mirror.receipts import Held, Wanted
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.models import Collection


class MirrorSource(Protocol):
    """The items of one place on the platform. Methods may raise what calls to it raise."""

    def find_place(self) -> Collection:
        """Return the place; raise NotYet if it can't be seen."""

    def list_items(self, place: Collection, held: Container[str]) -> list[Wanted]:
        """Given the place and the pks of the items on disk, return all items that belong there.

        Their values may be missing until `load_values` is called.
        """

    def load_values(self, wanted: Wanted) -> Wanted:
        """Given a listed item, return it with its values."""

    def is_gone(self, item: str) -> bool:
        """Ask for one item that is not listed; return True if it answers 404 to a valid token."""

    def write_tables(self, list_held: Callable[[], Mapping[str, Held]]) -> None:
        """Given what lists all items on disk, write what is said of them together."""


def make_source(
    settings: config.Mirror,
    platform: GrandChallenge,
    on_progress: Callable[[], None] = lambda: None,
) -> MirrorSource:
    """Return the source of a mirror; `on_progress` is called for each item that is listed."""
    return ArchiveSource(platform, settings.slug, settings.layout, on_progress)
