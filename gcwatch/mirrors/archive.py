"""An archive as the source of a mirror: its items are those of the archive."""

from collections.abc import Callable, Container, Mapping
from typing import Final, Literal

from gcwatch.core.case import Output
from gcwatch.core.errors import NotYet, Refused
from gcwatch.core.kinds import Kind
from gcwatch.core.reasons import Reason
from gcwatch.mirrors.receipts import Held, Wanted
from gcwatch.mirrors.tally import TableCounts
from gcwatch.outbox.outputs import output_of
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.models import Collection, Item

HOUR_SECONDS: Final = 3600.0
"""Wait before a place that can't be seen is looked for again."""


class ArchiveSource:
    """The items of an archive; see `MirrorSource`. The layout "flat" needs their images only."""

    def __init__(
        self,
        platform: GrandChallenge,
        slug: str,
        layout: Literal["items", "flat", "receipts"],
        on_progress: Callable[[], None],
    ) -> None:
        self._platform = platform
        self._slug = slug
        self._layout = layout
        self._on_progress = on_progress

    def find_place(self) -> Collection:
        """Return the archive; raise NotYet (`archive_not_found`) if it can't be seen."""
        found = self._platform.archive(self._slug)
        if found is None:
            raise NotYet(Reason("archive_not_found", {"slug": self._slug}), HOUR_SECONDS)
        return found

    def list_items(self, place: Collection, held: Container[str]) -> list[Wanted]:  # noqa: ARG002 - of another source
        """Return all items of the archive, with the values that the layout stores."""
        return [self._wanted_item(item) for item in self._platform.items("archive", place.pk)]

    def _wanted_item(self, item: Item) -> Wanted:
        self._on_progress()
        outputs = (output_of(value) for value in item.values)
        chosen = (each for each in outputs if self._layout != "flat" or _is_image(each))
        return Wanted(
            item.pk, item.title, tuple(sorted(chosen, key=lambda each: (each.socket, each.pk)))
        )

    def load_values(self, wanted: Wanted) -> Wanted:
        """Return the item; the listing has its values."""
        return wanted

    def is_gone(self, item: str) -> bool:
        """Return whether the platform does not know an item any more."""
        return is_unknown_item(self._platform, "archive", item)

    def write_tables(
        self,
        list_held: Callable[[], Mapping[str, Held]],  # noqa: ARG002 - of another source
    ) -> TableCounts:
        """Write nothing: an archive has no tables."""
        return TableCounts()


def is_unknown_item(platform: GrandChallenge, kind: Kind, pk: str) -> bool:
    """Ask the platform for one item or job; return True if it answers 404 to a valid token."""
    try:
        if kind == "algorithm":
            platform.job(pk)
        else:
            platform.item(kind, pk)
    except Refused as error:
        if error.status == 404:
            return True
        raise
    return False


def _is_image(output: Output) -> bool:
    return output.carrier == "image"
