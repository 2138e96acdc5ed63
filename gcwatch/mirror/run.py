"""One run of a mirror: list the archive, compare, fetch what is new, summary what left.

Nothing here of an archive is ever taken for gone unless the platform says so three times: in a
complete listing, when asked for the item itself, and by still showing the archive afterwards.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from gcwatch import config, log
from gcwatch.core.case import Output
from gcwatch.core.errors import (
    CaseError,
    GcwatchError,
    NotYet,
    Refused,
    Stopped,
    TokenRefused,
    TryAgain,
    Unreachable,
)
from gcwatch.core.progress import MirrorProgress, no_progress
from gcwatch.core.reasons import Reason, explain
from gcwatch.core.text import iso_time, readable_name
from gcwatch.core.timing import retry_pause
from gcwatch.files.atomic import disk_trouble
from gcwatch.mirror.flat import FlatLayout
from gcwatch.mirror.folders import ItemFolderLayout
from gcwatch.mirror.last_run import LastRun, only_mirror, read_last_run, write_last_run
from gcwatch.mirror.receipts import (
    Content,
    Difference,
    Held,
    Receipt,
    Target,
    Times,
    Wanted,
    compare_listing,
)
from gcwatch.mirror.storage import HiddenFolder, MirrorStorage
from gcwatch.outbox.outputs import Staging, output_of
from gcwatch.platform.models import Collection, Item
from gcwatch.platform.transfers import Transfers
from gcwatch.threads.heartbeats import with_callers_heartbeat

MAX_ITEMS_AT_ONCE: Final = 8
"""Items: more only get into each other's way on the processor."""

_STORE_TRIES: Final = 4
_WAIT_SLICE_SECONDS: Final = 60.0
_MAX_CUT_OFF_ITEMS: Final = 3
_HOUR_SECONDS: Final = 3600.0


@dataclass(frozen=True)
class MirrorSummary:
    """What a run came to: `items` are in the archive, `gone` are here and no longer there."""

    mirror: str
    items: int
    fetched: int
    changed: int
    unchanged: int
    gone: int
    failed: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class MirrorContext:
    """What a run works with: the platform's transfers, the state directory, and its pace.

    `at_once` items are worked on at a time; `backoff` seconds is the first pause after a failure.
    """

    transfers: Transfers
    state: Path
    at_once: int
    backoff: float
    clock: Callable[[], float] = time.time


def run_mirror(
    settings: config.Mirror, context: MirrorContext, progress: MirrorProgress = no_progress
) -> MirrorSummary:
    """Given a mirror, bring its folder to what the archive is now, and summary.

    Raises:
        StateError: when another process works on it.
        TokenRefused: when the platform does not take the token.
        Unreachable: when the platform can't be reached.
        CaseError: when the archive can't be seen, or the outbox not written.
        Stopped: when the daemon is stopping.
    """
    with only_mirror(context.state, settings.name):
        before = read_last_run(context.state, settings.name)
        try:
            summary = _MirrorRun(settings, context, progress, before).run()
        except (CaseError, Unreachable, Refused, TokenRefused) as error:
            after = before.model_copy(
                update={"ended": iso_time(context.clock()), "reason": _reason_code(error)}
            )
            write_last_run(context.state, settings.name, after)
            raise
        write_last_run(context.state, settings.name, _last_run_of(summary, context.clock()))
        return summary


def _last_run_of(summary: MirrorSummary, now: float) -> LastRun:
    held = summary.items - summary.failed + summary.gone
    return LastRun(ended=iso_time(now), items=held, gone=summary.gone, failed=summary.failed)


def failure_reason(error: GcwatchError) -> Reason:
    """Given what ended a run, return it as a reason of the catalogue."""
    match error:
        case CaseError() | Unreachable():
            return error.reason
        case TokenRefused():
            return Reason("token_refused")
        case Refused():
            message = "; ".join(error.messages)[:500]
            facts = {"call": error.call, "status": error.status, "message": message}
            return Reason("mirror_refused", facts)
        case _:
            return Reason("stopped")


def _reason_code(error: GcwatchError) -> str:
    return failure_reason(error).code


def log_fields(reason: Reason) -> dict[str, str]:
    """Given a reason, return its words for the log: without the names."""
    said = explain(Reason(reason.code, reason.facts))
    return {"reason": reason.code, "plain": said.plain, "detail": said.detail}


class _Tally:
    """Counts what threads do, and tells of it."""

    def __init__(self, progress: MirrorProgress) -> None:
        self._lock = threading.Lock()
        self._progress = progress
        self.items = self.fetched = self.changed = self.failed = self.bytes = 0

    def add_bytes(self, count: int) -> None:
        """So many more bytes have arrived."""
        self._add(bytes=count)

    def report_progress(self) -> None:
        """It goes on, though nothing more is here."""
        self._add()

    def count_stored(self, *, changed: bool) -> None:
        """Count an item that is stored."""
        self._add(changed=1) if changed else self._add(fetched=1)

    def count_failed(self) -> None:
        """An item can't be had for now."""
        self._add(failed=1)

    def _add(self, **counts: int) -> None:
        with self._lock:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)
            done = self.fetched + self.changed + self.failed
            self._progress(done, self.items, self.bytes)


class _MirrorRun:
    """One run, with all that it knows."""

    def __init__(
        self,
        settings: config.Mirror,
        context: MirrorContext,
        progress: MirrorProgress,
        before: LastRun,
    ) -> None:
        self._settings = settings
        self._context = context
        self._transfers = context.transfers
        self._platform = context.transfers.platform
        self._tally = _Tally(progress)
        self._hidden = HiddenFolder(settings.outbox)
        self._layout = _make_layout(settings, self._hidden)
        self._before = before
        self._begun = time.monotonic()
        self._cut_off = 0

    def run(self) -> MirrorSummary:
        """List, compare, fetch, and see to what is gone."""
        with disk_trouble("opening the mirror's folder"):
            self._hidden.create(was_full=self._before.items > 0)
            self._hidden.finish_exchanges()
        archive = self._find_archive()
        listed = [self._wanted_item(item) for item in self._platform.items("archive", archive.pk)]
        with disk_trouble("reading the mirror's folder"):
            held = self._layout.list_held(self._settings.archive)
            difference = compare_listing(listed, held)
            self._log_start(difference, len(listed), len(held))
            self._layout.choose_names(difference.to_fetch)
        self._fetch_all(difference.to_fetch, archive)
        for each in difference.returned:
            self._note_returned(each)
        self._handle_absent(difference.gone)
        return self._summarise(difference, len(listed))

    def _find_archive(self) -> Collection:
        found = self._platform.archive(self._settings.archive)
        if found is None:
            facts = {"slug": self._settings.archive}
            raise NotYet(Reason("archive_not_found", facts), _HOUR_SECONDS)
        return found

    def _wanted_item(self, item: Item) -> Wanted:
        """Return an item of the listing, with those values that the layout has a place for."""
        self._tally.report_progress()
        outputs = (output_of(value) for value in item.values)
        chosen = (each for each in outputs if self._settings.layout == "items" or _is_image(each))
        return Wanted(
            item.pk, item.title, tuple(sorted(chosen, key=lambda each: (each.socket, each.pk)))
        )

    def _log_start(self, difference: Difference, items: int, held: int) -> None:
        new, changed = len(difference.new), len(difference.changed)
        self._log("mirror.started", items=items, held=held, new=new, changed=changed)
        if difference.short:
            self._log("mirror.listing_empty", held=held)
        self._tally.items = new + changed
        self._tally.add_bytes(0)

    def _summarise(self, difference: Difference, items: int) -> MirrorSummary:
        tally, away = self._tally, len(difference.gone)
        summary = MirrorSummary(
            mirror=self._settings.name,
            items=items,
            fetched=tally.fetched,
            changed=tally.changed,
            unchanged=difference.unchanged,
            gone=away,
            failed=tally.failed,
            bytes=tally.bytes,
            seconds=round(time.monotonic() - self._begun, 3),
        )
        self._log("mirror.finished", **{k: v for k, v in asdict(summary).items() if k != "mirror"})
        return summary

    def _log(self, event: str, **facts: Any) -> None:
        log.emit(event, mirror=self._settings.name, **facts)

    # --- fetching --------------------------------------------------------------------------------

    def _fetch_all(self, wanted: Iterable[tuple[Wanted, Held | None]], archive: Collection) -> None:
        """Fetch some items at a time; what concerns them all ends the run."""
        running: set[Future[None]] = set()
        try:
            for each, held in wanted:
                if len(running) >= min(self._context.at_once, MAX_ITEMS_AT_ONCE):
                    running = _first_done(running)
                self._transfers.require_running()
                work = with_callers_heartbeat(
                    self._fetch_item
                )  # or it would be silent while it hashes what is held
                running.add(self._transfers.pool.submit(work, each, held, archive))
            while running:
                running = _first_done(running)
        finally:
            for future in running:
                future.cancel()
            wait(running)

    def _fetch_item(self, wanted: Wanted, held: Held | None, archive: Collection) -> None:
        """Bring one item; its own trouble is told, and does not stop the others."""
        begun, count = time.monotonic(), _ByteCount(self._tally.add_bytes)
        try:
            files = self._store_item(wanted, held, archive, count)
        except (CaseError, Refused, Unreachable) as error:
            if self._concerns_all(error):
                raise
            self._log("mirror.item_failed", item=wanted.item, **log_fields(failure_reason(error)))
            self._tally.count_failed()
            return
        event = "mirror.item_changed" if held else "mirror.item_fetched"
        seconds = round(time.monotonic() - begun, 3)
        self._log(event, item=wanted.item, files=files, bytes=count.bytes, seconds=seconds)
        self._tally.count_stored(changed=held is not None)
        self._cut_off = 0

    def _concerns_all(self, error: GcwatchError) -> bool:
        """Whether other items would meet the same trouble, as with a full disk.

        One download may be cut again and again; if several are, in a row, then all would be.
        """
        if isinstance(error, Unreachable):
            self._platform.me()
            self._cut_off += 1
            return self._cut_off >= _MAX_CUT_OFF_ITEMS
        return _is_disk(error) or isinstance(error, NotYet)

    def _store_item(
        self, wanted: Wanted, held: Held | None, archive: Collection, count: "_ByteCount"
    ) -> int:
        """Store an item, again after trouble that may pass; return how many files it has."""
        sealed: list[Receipt] = []

        def seal(folder: str, contents: tuple[Content, ...]) -> Receipt:
            sealed.append(self._make_receipt(wanted, folder, contents, archive))
            return sealed[-1]

        for attempt in range(1, _STORE_TRIES + 1):
            last = attempt == _STORE_TRIES

            def make(folder: Path, *, lenient: bool = last) -> Staging:
                return Staging(folder, self._transfers, count, lenient=lenient)

            try:
                with disk_trouble("storing an item"):
                    self._layout.store_item(wanted, held, make, seal)
                break
            except (TryAgain, NotYet, Unreachable) as error:
                if last or _is_disk(error):
                    raise
                self._wait_before_retry(attempt, error)
        return sum(1 for _ in sealed[-1].files())

    def _wait_before_retry(self, attempt: int, error: GcwatchError) -> None:
        """Wait before the next try: as long as was asked for, or longer each time."""
        asked = error.wait if isinstance(error, NotYet) else 0.0
        left = max(asked, retry_pause(attempt, self._context.backoff))
        while left > 0:
            if self._transfers.stop.wait(min(left, _WAIT_SLICE_SECONDS)):
                raise Stopped
            left -= _WAIT_SLICE_SECONDS
            self._tally.report_progress()  # to wait as asked is not to hang

    def _make_receipt(
        self, wanted: Wanted, folder: str, contents: tuple[Content, ...], archive: Collection
    ) -> Receipt:
        home = self._platform.home
        return Receipt(
            mirror=self._settings.name,
            folder=folder,
            title=readable_name(wanted.title),
            target=Target(
                platform=home,
                archive=self._settings.archive,
                archive_url=archive.url or archive.api_url,
                item=wanted.item,
                item_url=f"{home}archives/items/{wanted.item}/",
            ),
            outputs=contents,
            times=Times(fetched=iso_time(self._context.clock())),
        )

    # --- what left the archive -------------------------------------------------------------------

    def _handle_absent(self, absent: Sequence[Held]) -> None:
        """See to items that the listing does not have; noted once, and only if really gone."""
        fresh = [each for each in absent if not each.is_gone or self._settings.gone_to]
        away = [each for each in fresh if self._is_gone(each)]
        if away:
            self._find_archive()  # rights that were lost meanwhile look like items that are gone
        for each in away:
            with disk_trouble("noting what left the archive"):
                self._note_gone(each)

    def _is_gone(self, held: Held) -> bool:
        """Ask for an item by itself; a no is believed only from a platform that knows us."""
        try:
            self._platform.item("archive", held.item)
        except Refused as error:
            if error.status == 404:
                return True
            raise
        return False

    def _note_gone(self, held: Held) -> None:
        if not held.is_gone:
            self._layout.replace_receipt(held, held.receipt.with_gone_since(self._context.clock()))
            self._log("mirror.item_gone", item=held.item, gone=self._settings.gone)
        if self._settings.gone_to is not None:
            self._layout.move_item(held, self._settings.gone_to)

    def _note_returned(self, held: Held) -> None:
        """An item that had left is back, as it was."""
        with disk_trouble("noting what came back"):
            self._layout.replace_receipt(held, held.receipt.with_gone_since(None))
        self._log("mirror.item_returned", item=held.item)


class _ByteCount:
    """Counts an item's bytes on their way to the tally."""

    def __init__(self, further: Callable[[int], None]) -> None:
        self._further = further
        self.bytes = 0

    def __call__(self, more: int) -> None:
        self.bytes += more
        self._further(more)


def _make_layout(settings: config.Mirror, hidden: HiddenFolder) -> MirrorStorage:
    return (
        FlatLayout(hidden)
        if settings.layout == "flat"
        else ItemFolderLayout(hidden, settings.folders)
    )


def _is_image(output: Output) -> bool:
    return output.carrier == "image"


def _is_disk(error: GcwatchError) -> bool:
    return isinstance(error, CaseError) and error.reason.code == "disk"


def _first_done(running: set[Future[None]]) -> set[Future[None]]:
    """Wait for at least one item; raise what concerns all, return what goes on."""
    done, left = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        future.result()
    return left
