"""The receipts of a mirror's items, and their comparison with its source. No input or output.

A mirror has no journal, only the receipts on disk. So an item is fetched again if its folder is
deleted, and nothing is lost if gcwatch is killed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from gcwatch.core.case import Carrier, Fetched, Output
from gcwatch.core.kinds import Kind
from gcwatch.core.text import iso_time
from gcwatch.version import VERSION


class _ReceiptModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


def _require_inside(path: str) -> str:
    """Refuse a path that leads out of the mirror."""
    # Files in receipts may be deleted by gcwatch, and other people may be able to write a receipt.
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts or parts[0].startswith("."):
        raise ValueError("leads out of the mirror")
    return path


InsidePath = Annotated[str, AfterValidator(_require_inside)]


class File(_ReceiptModel):
    """One file of an item; `path` is relative to the receipt's folder (flat: to the outbox).

    `size` is in bytes; `odd` describes damage that the platform's own file has.
    """

    path: InsidePath
    size: int
    sha256: str
    odd: str | None = None


class Content(_ReceiptModel):
    """The content of one socket of an item; other content has another `pk` on the platform.

    `value` is that of an input of a job.
    """

    socket: str
    carrier: Carrier
    pk: int | str
    url: str = ""
    files: tuple[File, ...] = ()
    value: Any = None


class Target(_ReceiptModel):
    """Where an item is: in an archive, in a reader study (a display set), or of an algorithm."""

    platform: str
    algorithm: str | None = None
    algorithm_url: str | None = None
    job: str | None = None
    archive: str | None = None
    archive_url: str | None = None
    reader_study: str | None = None
    reader_study_url: str | None = None
    item: str
    item_url: str = ""

    def is_in(self, kind: Kind, slug: str) -> bool:
        """Return whether the item belongs to an algorithm, archive or reader study."""
        return bool(slug == getattr(self, kind))


class Times(_ReceiptModel):
    """When an item was fetched, and when it was found to be gone."""

    fetched: str
    gone: str | None = None


class Receipt(_ReceiptModel):
    """The receipt of an item; `superseded` are files of former values, still to be removed.

    A job also has a `status` and `inputs`, which are named but not fetched.
    """

    format: Literal[1] = 1
    gcwatch: str = VERSION
    mirror: str
    folder: str
    title: str
    target: Target
    status: str | None = None
    inputs: tuple[Content, ...] | None = None
    outputs: tuple[Content, ...]
    superseded: tuple[InsidePath, ...] | None = None
    times: Times

    def to_json(self) -> str:
        """Return it as the JSON text of its file."""
        return self.model_dump_json(indent=2, exclude_none=True)

    def files(self) -> Iterable[File]:
        """Return all its files."""
        return (file for output in self.outputs for file in output.files)

    def with_gone_since(self, at: float | None) -> "Receipt":
        """Return a copy marked as gone since a time (seconds since the epoch), or not (None)."""
        gone = None if at is None else iso_time(at)
        return self.model_copy(update={"times": self.times.model_copy(update={"gone": gone})})


def parse_receipt(text: bytes) -> Receipt | None:
    """Given a file's content, return it as a receipt, or None if it is not one."""
    try:
        return Receipt.model_validate_json(text)
    except ValidationError:
        return None


@dataclass(frozen=True)
class Held:
    """An item on disk and its name there; `whole` if all its files exist with the right size."""

    name: str
    receipt: Receipt
    whole: bool

    @property
    def item(self) -> str:
        """Return the item's pk."""
        return self.receipt.target.item

    @property
    def is_gone(self) -> bool:
        """Return whether its receipt says that it is gone from the platform."""
        return self.receipt.times.gone is not None

    def find_content(self, pk: int | str) -> Content | None:
        """Given a value's pk, return its entry in the receipt, or None."""
        return next((each for each in self.receipt.outputs if each.pk == pk), None)


@dataclass(frozen=True)
class Wanted:
    """An item as its archive or reader study lists it; a job also has inputs and a status."""

    item: str
    title: str
    outputs: tuple[Output, ...]
    inputs: tuple[Output, ...] = ()
    status: str = ""

    @property
    def identity(self) -> frozenset[tuple[str, int | str]]:
        """Return its sockets with the pks of their values; it changes if the content changes."""
        return frozenset((output.socket, output.pk) for output in self.outputs)


@dataclass(frozen=True)
class Difference:
    """The difference between a source and its mirror; `short` if the listing is not trusted."""

    new: tuple[Wanted, ...] = ()
    changed: tuple[tuple[Wanted, Held], ...] = ()
    returned: tuple[Held, ...] = ()
    gone: tuple[Held, ...] = ()
    unchanged: int = 0
    short: bool = False

    @property
    def to_fetch(self) -> Sequence[tuple[Wanted, Held | None]]:
        """Return all items that must be fetched, and what is on disk of them."""
        return [*((wanted, None) for wanted in self.new), *self.changed]


def compare_listing(listed: Iterable[Wanted], held: Mapping[str, Held]) -> Difference:
    """Given a complete listing, and the items on disk by pk, return the difference."""
    wanted = {each.item: each for each in sorted(listed, key=lambda each: each.item)}
    if not wanted:
        # Without rights the listing is empty, too (platform 8.9), so nothing counts as gone.
        return Difference(unchanged=len(held), short=bool(held))
    both = [(each, held[each.item]) for each in wanted.values() if each.item in held]
    same = [ours for each, ours in both if _is_same(each, ours)]
    return Difference(
        new=tuple(each for each in wanted.values() if each.item not in held),
        changed=tuple((each, ours) for each, ours in both if not _is_same(each, ours)),
        returned=tuple(ours for ours in same if ours.is_gone),
        gone=tuple(ours for item, ours in held.items() if item not in wanted),
        unchanged=len(same),
    )


def _is_same(wanted: Wanted, held: Held) -> bool:
    here = {(each.socket, each.pk) for each in held.receipt.outputs}
    return held.whole and here == wanted.identity


def join_contents(outputs: Iterable[Output], fetched: Iterable[Fetched]) -> tuple[Content, ...]:
    """Given an item's outputs and the files fetched for them, return both together."""
    files: dict[int | str, list[File]] = {}
    for each in fetched:
        file = File(path=each.path, size=each.size, sha256=each.sha256, odd=each.odd or None)
        files.setdefault(each.output, []).append(file)
    return tuple(
        Content(
            socket=output.socket,
            carrier=output.carrier,
            pk=output.pk,
            url=output.url,
            files=tuple(files.get(output.pk, ())),
        )
        for output in outputs
    )


def name_inputs(inputs: Iterable[Output]) -> tuple[Content, ...] | None:
    """Given the inputs of a job, return what its receipt says of them; None without any."""
    named = (
        Content(
            socket=each.socket, carrier=each.carrier, pk=each.pk, url=each.url, value=each.value
        )
        for each in inputs
    )
    return tuple(named) or None
