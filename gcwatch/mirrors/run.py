"""One run of a mirror: list its source, compare, fetch what is new, mark what is gone.

An item counts as gone only after three checks: it is not in a complete listing, a request for the
item itself gives 404, and the archive or reader study can still be seen afterwards.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from gcwatch import config, log
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
from gcwatch.core.kinds import KIND_NAMES, Kind
from gcwatch.core.progress import MirrorProgress, no_progress
from gcwatch.core.tables.answer_rows import ANSWERS_NAME, QUESTIONS_NAME
from gcwatch.core.text import iso_time, readable_name
from gcwatch.core.timing import retry_pause
from gcwatch.files.atomic import FOLDER_MODE, disk_trouble
from gcwatch.files.beneath import SharePath
from gcwatch.journal.hosts.hosts import NoteFiles, Notes
from gcwatch.mirrors.flat import FlatLayout
from gcwatch.mirrors.folders import ItemFolderLayout, ReceiptLayout
from gcwatch.mirrors.jobs import JobFilter
from gcwatch.mirrors.last_run import (
    LastRun,
    answers_file,
    lock_mirror,
    read_last_run,
    staging_notes,
    write_last_run,
)
from gcwatch.mirrors.outcome import MirrorSummary, failure_reason, log_fields
from gcwatch.mirrors.reader_study import Origins
from gcwatch.mirrors.receipts import (
    Content,
    Difference,
    Held,
    Receipt,
    Target,
    Times,
    Wanted,
    compare_listing,
    name_inputs,
)
from gcwatch.mirrors.source import MirrorSource, open_source
from gcwatch.mirrors.storage import HiddenFolder, MirrorStorage
from gcwatch.mirrors.tally import ByteCount, TableCounts, Tally
from gcwatch.outbox.outputs import Staging
from gcwatch.platform.models import Collection
from gcwatch.platform.transfers import Transfers
from gcwatch.threads.heartbeats import with_callers_heartbeat

MAX_ITEMS_AT_ONCE: Final = 8
"""Items that are fetched at the same time; more are not faster, the processor is the limit."""

_TABLES: Final[Mapping[Kind, tuple[str, ...]]] = {
    "algorithm": (),
    "archive": (),
    "reader_study": (ANSWERS_NAME, QUESTIONS_NAME),
}
"""Names in the outbox that no item may have."""
_STORE_TRIES: Final = 4
"""Tries to store one item in a run."""
_WAIT_SLICE_SECONDS: Final = 60.0
"""Longer waits report progress this often."""
_MAX_CUT_OFF_ITEMS: Final = 3
"""Interrupted downloads in a row that end the run."""


@dataclass(frozen=True)
class MirrorContext:
    """What a run needs: the platform's transfers, the state directory, and its pace.

    At most `at_once` items are fetched at the same time. `backoff` is the first pause after a
    failure in seconds. `clock` returns seconds since the epoch. `origins` returns the folders from
    which gcwatch sent the display sets of a reader study. `jobs` says which jobs are fetched.
    `notes` remember how a run ended; without them, that is in the state directory.
    """

    transfers: Transfers
    state: Path
    at_once: int
    backoff: float
    clock: Callable[[], float] = time.time
    origins: Origins = lambda _: {}
    jobs: JobFilter = JobFilter()  # noqa: RUF009 -- a frozen value
    notes: Notes | None = None


def run_mirror(
    settings: config.Mirror, context: MirrorContext, progress: MirrorProgress = no_progress
) -> MirrorSummary:
    """Given a mirror, make its folder a copy of its source as it is now; return a summary.

    Raises:
        StateError: when another process works on the mirror.
        TokenRefused: when the platform does not take the token.
        Unreachable: when the platform can't be reached.
        CaseError: when the source can't be seen, or the outbox can't be written.
        Stopped: when the daemon is stopping.
    """
    if settings.layout == "receipts":
        settings.outbox.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
    with lock_mirror(context.state, settings.name):
        notes = context.notes or NoteFiles(context.state)
        before = read_last_run(notes, settings.name)
        try:
            summary = _run_mirror(settings, context, progress, before)
        except (CaseError, Unreachable, Refused, TokenRefused) as error:
            after = before.model_copy(
                update={"ended": iso_time(context.clock()), "reason": failure_reason(error).code}
            )
            write_last_run(notes, settings.name, after)
            raise
        after = summary.as_last_run(context.clock()).model_copy(update={"fetched": before.fetched})
        write_last_run(notes, settings.name, after)
        return summary


def _run_mirror(
    settings: config.Mirror, context: MirrorContext, progress: MirrorProgress, before: LastRun
) -> MirrorSummary:
    tally = Tally(progress)
    with open_source(
        settings,
        context.transfers.platform,
        answers_file(context.state, settings.name),
        jobs=context.jobs,
        origins=context.origins,
        clock=context.clock,
        on_progress=tally.report_progress,
    ) as source:
        return _MirrorRun(settings, context, source, tally, before).run()


class _MirrorRun:
    """One run of one mirror."""

    def __init__(
        self,
        settings: config.Mirror,
        context: MirrorContext,
        source: MirrorSource,
        tally: Tally,
        before: LastRun,
    ) -> None:
        self._settings = settings
        self._context = context
        self._transfers = context.transfers
        self._platform = context.transfers.platform
        self._source = source
        self._tally = tally
        self._hidden = HiddenFolder(settings.outbox, staging_notes(context.state, settings.name))
        self._layout = _make_layout(settings, self._hidden)
        self._before = before
        self._begun = time.monotonic()
        self._cut_off = 0

    def run(self) -> MirrorSummary:
        """List, compare, fetch, and mark what is gone; return a summary."""
        with disk_trouble("opening the mirror's folder"):
            self._hidden.create(was_full=self._before.items > 0)
            self._hidden.finish_exchanges()
            held = self._list_held()
        place = self._source.find_place()
        listed = self._source.list_items(place, held.keys())
        difference = compare_listing(listed, held)
        self._log_start(difference, len(listed), len(held))
        with disk_trouble("reading the mirror's folder"):
            self._layout.choose_names(difference.to_fetch)
        self._fetch_all(difference.to_fetch, place)
        for each in difference.returned:
            self._note_returned(each)
        self._handle_absent(difference.gone)
        with disk_trouble("writing the mirror's tables"):
            counts = self._source.write_tables(self._list_held)
        return self._summarise(difference, len(listed), counts)

    def _list_held(self) -> dict[str, Held]:
        return self._layout.list_held(self._settings.kind, self._settings.slug)

    def _log_start(self, difference: Difference, items: int, held: int) -> None:
        new, changed = len(difference.new), len(difference.changed)
        self._log("mirror.started", items=items, held=held, new=new, changed=changed)
        if difference.short:
            self._log("mirror.listing_empty", held=held)
        self._tally.items = new + changed
        self._tally.add_bytes(0)

    def _summarise(self, difference: Difference, items: int, counts: TableCounts) -> MirrorSummary:
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
            answers=counts.answers,
            masks_missing=counts.masks_missing,
        )
        self._log("mirror.finished", **{k: v for k, v in asdict(summary).items() if k != "mirror"})
        return summary

    def _log(self, event: str, **facts: Any) -> None:
        log.emit(event, mirror=self._settings.name, **facts)

    # --- fetching --------------------------------------------------------------------------------

    def _fetch_all(self, wanted: Iterable[tuple[Wanted, Held | None]], place: Collection) -> None:
        """Fetch several items at the same time; an error that concerns all ends the run."""
        running: set[Future[None]] = set()
        try:
            for each, held in wanted:
                if len(running) >= min(self._context.at_once, MAX_ITEMS_AT_ONCE):
                    running = _first_done(running)
                self._transfers.require_running()
                # The thread needs the heartbeat while it hashes the files that are on disk.
                work = with_callers_heartbeat(self._fetch_item)
                running.add(self._transfers.pool.submit(work, each, held, place))
            while running:
                running = _first_done(running)
        finally:
            for future in running:
                future.cancel()
            # A thread that still writes must end before the lock of the mirror is released.
            wait(running)

    def _fetch_item(self, wanted: Wanted, held: Held | None, place: Collection) -> None:
        """Fetch one item; its own error is logged, and the other items go on."""
        begun, count = time.monotonic(), ByteCount(self._tally.add_bytes)
        try:
            files = self._store_item(wanted, held, place, count)
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
        """Whether an error would stop the other items too, as a full disk does.

        An interrupted download concerns one item; several in a row concern all.
        """
        if isinstance(error, Unreachable):
            # Raises if the platform is away or refuses the token: then this is no item's own error.
            self._platform.me()
            self._cut_off += 1
            return self._cut_off >= _MAX_CUT_OFF_ITEMS
        return _is_disk(error) or isinstance(error, NotYet)

    def _store_item(
        self, wanted: Wanted, held: Held | None, place: Collection, count: "ByteCount"
    ) -> int:
        """Store an item, in several tries if necessary; return its number of files."""
        sealed: list[Receipt] = []

        def seal(folder: str, contents: tuple[Content, ...]) -> Receipt:
            sealed.append(self._make_receipt(wanted, folder, contents, place))
            return sealed[-1]

        for attempt in range(1, _STORE_TRIES + 1):
            last = attempt == _STORE_TRIES

            # The default keeps the value of this try: a closure would read `last` at its call.
            def make(folder: SharePath, *, lenient: bool = last) -> Staging:
                return Staging(folder, self._transfers, count, lenient=lenient)

            try:
                with disk_trouble("storing an item"):
                    self._layout.store_item(self._source.load_values(wanted), held, make, seal)
                break
            except (TryAgain, NotYet, Unreachable) as error:
                if last or _is_disk(error):
                    raise
                self._wait_before_retry(attempt, error)
        return sum(1 for _ in sealed[-1].files())

    def _wait_before_retry(self, attempt: int, error: GcwatchError) -> None:
        """Wait before the next try: longer each time, and at least as long as the platform asks."""
        asked = error.wait if isinstance(error, NotYet) else 0.0
        left = max(asked, retry_pause(attempt, self._context.backoff))
        while left > 0:
            if self._transfers.stop.wait(min(left, _WAIT_SLICE_SECONDS)):
                raise Stopped
            left -= _WAIT_SLICE_SECONDS
            self._tally.report_progress()  # so the daemon does not take the wait for a hang

    def _make_receipt(
        self, wanted: Wanted, folder: str, contents: tuple[Content, ...], place: Collection
    ) -> Receipt:
        home, kind = self._platform.home, self._settings.kind
        return Receipt(
            mirror=self._settings.name,
            folder=folder,
            title=readable_name(wanted.title),
            target=Target(
                platform=home,
                item=wanted.item,
                item_url=f"{home}{KIND_NAMES[kind].product_path}/{wanted.item}/",
                **{kind: self._settings.slug, f"{kind}_url": place.url or place.api_url},
                **({"job": wanted.item} if kind == "algorithm" else {}),
            ),
            status=wanted.status or None,
            inputs=name_inputs(wanted.inputs),
            outputs=contents,
            times=Times(fetched=iso_time(self._context.clock())),
        )

    # --- what left the platform ------------------------------------------------------------------

    def _handle_absent(self, absent: Sequence[Held]) -> None:
        """Mark items that are not in the listing as gone, after a check, and move them if asked."""
        fresh = [each for each in absent if not each.is_gone or self._settings.gone_to]
        away = [each for each in fresh if self._source.is_gone(each.item)]
        if away:
            self._source.find_place()  # without rights all items seem to be gone
        for each in away:
            with disk_trouble("noting what left the platform"):
                self._note_gone(each)

    def _note_gone(self, held: Held) -> None:
        if not held.is_gone:
            self._layout.replace_receipt(held, held.receipt.with_gone_since(self._context.clock()))
            self._log("mirror.item_gone", item=held.item, gone=self._settings.gone)
        if self._settings.gone_to is not None:
            self._settings.gone_to.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
            self._layout.move_item(held, SharePath(self._settings.gone_to))

    def _note_returned(self, held: Held) -> None:
        """Record that an item which was gone is on the platform again, unchanged."""
        with disk_trouble("noting what came back"):
            self._layout.replace_receipt(held, held.receipt.with_gone_since(None))
        self._log("mirror.item_returned", item=held.item)


def _make_layout(settings: config.Mirror, hidden: HiddenFolder) -> MirrorStorage:
    match settings.layout:
        case "flat":
            return FlatLayout(hidden)
        case "receipts":
            return ReceiptLayout(hidden, settings.folders)
        case _:
            return ItemFolderLayout(hidden, settings.folders, _TABLES[settings.kind])


def _is_disk(error: GcwatchError) -> bool:
    return isinstance(error, CaseError) and error.reason.code == "disk"


def _first_done(running: set[Future[None]]) -> set[Future[None]]:
    """Wait for at least one item; raise its error if any, return the others."""
    done, left = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        future.result()
    return left
