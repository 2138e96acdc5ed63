"""The cases of one order of `gcwatch send`: worked on together, and what came of each."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal

from gcwatch.api import Watch
from gcwatch.commands.send.options import SendOptions
from gcwatch.commands.send.records import SendRecord, SendStore, Wanted
from gcwatch.config import Alerts, Metrics, Settings
from gcwatch.core.case import Case, Ending
from gcwatch.core.errors import (
    CaseError,
    Misused,
    Refused,
    StateError,
    Stopped,
    Unreachable,
)
from gcwatch.core.events import Retried
from gcwatch.core.reasons import explain
from gcwatch.core.text import readable_name
from gcwatch.core.timing import Pace
from gcwatch.inbox.single import SingleCaseRoute
from gcwatch.journal.hosts.presence import only_daemon, running_daemon
from gcwatch.outbox.copies import ResultCopier
from gcwatch.platform.transfers import Transfers
from gcwatch.wording import case_view
from gcwatch.wording.case_view import CaseView
from gcwatch.wording.why_waiting import DaemonSnapshot


@dataclass(frozen=True)
class Sent:
    """The result of one case.

    Attributes:
        case: Its key on the platform and in the logs; empty if it was not started.
        folder: The name of the folder, or a name made from the files' names.
        ending: How it ended; None while it is open: the same call continues it.
        link: Its page on the platform, once it has one.
        result: The folder that holds its results and its receipt, once it is delivered.
        outputs: The files of the results.
        reason: The code of the reason why it failed or waits, if it does.
        why: A sentence: the reason, or what is being done, or how it ended.
        hint: What to do about it.
        warnings: Oddities in what was sent or returned.
        earlier: Whether an earlier call delivered it, so that this one sent nothing.
        brought: How its results came from another place into this output folder, if they did.
    """

    case: str
    folder: str
    ending: Ending | None = None
    link: str = ""
    result: Path | None = None
    outputs: tuple[Path, ...] = ()
    reason: str = ""
    why: str = "It was not started."
    hint: str = ""
    warnings: tuple[str, ...] = ()
    earlier: bool = False
    brought: Literal["", "copied", "fetched"] = ""


@dataclass(frozen=True)
class SendItem:
    """A case of an order: its identity, record and route, and what this call wants."""

    identity: str
    record: SendRecord
    route: SingleCaseRoute
    wanted: Wanted


def group_by_order(items: Sequence[SendItem]) -> list[list[SendItem]]:
    """Return the cases grouped by the orders in which they were sent first."""
    orders = dict.fromkeys(item.record.order for item in items)
    return [[item for item in items if item.record.order == each] for each in orders]


class SendRun:
    """The requested cases of one order, and the `Watch` that works on them."""

    def __init__(self, items: Sequence[SendItem], store: SendStore, watch: Watch) -> None:
        self.watch = watch
        self._store = store
        self._items = list(items)
        self._earlier: set[str] = set()
        self._closed: dict[str, CaseView] = {}

    def require_same_names(self, *, again: bool) -> None:
        """Raise Misused if a case that is under way or delivered is to be called otherwise now."""
        for item in self._items:
            case = self._case(item)
            is_kept = case is not None and case.ending == "delivered" and not again
            if case is not None and (is_kept or _is_planned(case)):
                _require_same_names(item, case)

    def prepare(self, *, again: bool) -> bool:
        """Set up what is to be done; return whether there is anything."""
        for number, item in enumerate(self._items):
            case = self._case(item)
            if case is not None and case.ending == "delivered" and not again:
                self._earlier.add(case.key)
                continue
            if case is None or not _is_planned(case):
                self._items[number] = self._as_wanted(item)
            if case is not None and not case.is_open:
                self.watch.retry(case)
            elif case is not None and case.wait is not None:
                # Somebody asks now: the pause after the tries of the call before does not count.
                self.watch.journal.record(case.key, Retried())
        routes = [self._route(item) for item in self._items if not self._is_earlier(item)]
        self.watch.follow(replace(self.watch.settings, routes=tuple(routes)))
        self._closed.clear()  # some may have been opened again
        return bool(routes)

    def progress(self) -> tuple[list[CaseView], frozenset[str]]:
        """Return each case in words, as it is now, and the keys of those that are in work."""
        cases = [
            None if item.identity in self._closed else self._case(item) for item in self._items
        ]
        snapshot = self.watch.daemon_snapshot([case for case in cases if case])
        snapshot = replace(snapshot, is_running=True, routes=None)
        views = [
            self._view(item, case, snapshot) for item, case in zip(self._items, cases, strict=True)
        ]
        return views, snapshot.progress.working

    def _view(self, item: SendItem, case: Case | None, snapshot: DaemonSnapshot) -> CaseView:
        """Return a case in words; one that has not begun is waiting, one that is closed stays."""
        if item.identity in self._closed:
            return self._closed[item.identity]
        if case is None:
            return CaseView("", "", readable_name(item.route.folder), "waiting", "", "")
        view = case_view.case_view(case, self.watch.pace(case.route), time.time(), snapshot)
        if not case.is_open:
            self._closed[item.identity] = view
        return view

    def sent(self, stop: threading.Event) -> Iterator[Sent]:
        """Yield the result of each case, brought to the output folder that is wanted now."""
        with ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="transfer") as pool:
            transfers = Transfers(self.watch.platform, pool, stop)
            for item in self._items:
                case = self._case(item)
                sent = self._sent(case) if case else Sent("", item.route.folder)
                is_delivered = case is not None and case.ending == "delivered"
                yield self._brought(sent, case, item, transfers) if case and is_delivered else sent

    def _sent(self, case: Case) -> Sent:
        view = case_view.case_view(case, self.watch.pace(case.route), time.time())
        return Sent(
            case=case.key,
            folder=case.folder,
            ending=case.ending,
            link=view.link,
            reason=view.reason,
            why=f"{view.why} {view.detail}".strip(),
            hint=view.hint,
            warnings=view.warnings,
            earlier=case.key in self._earlier,
        )

    def _brought(self, sent: Sent, case: Case, item: SendItem, transfers: Transfers) -> Sent:
        """Return what came of a delivered case, with its results where this call wants them."""
        first = self._store.outbox(item.record)
        wanted = Path(item.wanted.outbox) if item.wanted.outbox else first
        copier = ResultCopier(transfers, self._store.state(item.record) / "copies", time.time())
        try:
            copy = copier.bring(case, first, wanted, lambda _moved: None)
        except (CaseError, Unreachable, Refused) as error:
            words = explain(error.reason)
            why = f"It was delivered before, but {_NOT_HERE} {words.plain} {words.detail}"
            reason = error.reason.code
            return replace(sent, ending=None, reason=reason, why=why, hint=words.hint)
        except Stopped:
            return replace(sent, ending=None, why=f"It was delivered before, but {_NOT_HERE}")
        outputs = tuple(copy.folder / file.path for file in case.fetched)
        return replace(sent, result=copy.folder, outputs=outputs, brought=copy.how)

    def _case(self, item: SendItem) -> Case | None:
        """Return the latest case of an item, or None."""
        folder = item.route.folder
        found = self.watch.journal.known(item.record.route, [folder]).get(folder)
        return self.watch.journal.case(found.key) if found else None

    def _is_earlier(self, item: SendItem) -> bool:
        case = self._case(item)
        return case is not None and case.key in self._earlier

    def _as_wanted(self, item: SendItem) -> SendItem:
        """Return an item that is started again, with all that is wanted now."""
        record = replace(item.record, **asdict(item.wanted))
        if record != item.record:
            self._store.save(item.identity, record)
        return replace(item, record=record)

    def _route(self, item: SendItem) -> SingleCaseRoute:
        outbox = self._store.outbox(item.record)
        outbox.mkdir(parents=True, exist_ok=True)
        return item.route.model_copy(update={"name": item.record.route, "outbox": outbox})


_CONNECTIONS: Final = 4
_NOT_HERE: Final = "its results could not be put into this output folder."


def _is_planned(case: Case) -> bool:
    """Whether a case is under way, and what it is called on the platform is settled."""
    return case.is_open and case.inputs is not None


def _require_same_names(item: SendItem, case: Case) -> None:
    """Raise Misused if a case was sent with another title, or other names, than are wanted now."""
    for option, before, now in (
        ("title", item.record.title, item.wanted.title),
        ("names", item.record.names, item.wanted.names),
    ):
        if before is not None and before != now:
            was = f'with the {option} "{before}"' if before else f"without a {option}"
            link = case.submission.url if case.submission else ""
            page = f" You can change it on its page: {link}" * (option == "title" and bool(link))
            name = readable_name(case.folder)
            if case.is_open:
                message = f"{name} was begun {was}, and is not finished."
                raise Misused(message, f"Give the same {option} to continue.")
            raise Misused(
                f"{name} was sent {was}, and is so on the platform.",
                f"Give the same {option}, or send it once more (--again).{page}",
            )


@contextmanager
def open_run(
    items: Sequence[SendItem],
    store: SendStore,
    settings: Settings,
    options: SendOptions,
    token: str | None,
) -> Iterator[SendRun]:
    """Open an order for one process at a time."""
    state = store.state(items[0].record)
    with _one_at_a_time(state):
        watch = Watch(
            replace(
                settings,
                state=state,
                key_folder=settings.state,
                routes=(),
                mirrors=(),
                sources=(),
                metrics=Metrics(),  # these are the service's
                alerts=Alerts(),
            ),
            pace=options.pace or Pace(),
            progress=options.progress,
            token=token,
        )
        with closing(watch):
            yield SendRun(items, store, watch)


@contextmanager
def _one_at_a_time(state: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            # A lock beside that of the state directory, which the daemon's code takes for each run.
            stack.enter_context(only_daemon(state / "turn"))
        except StateError as error:
            holder = running_daemon(state / "turn")
            message = f"Process {holder} is sending this already."
            raise StateError(message, "Wait until it ends, or end it and send again.") from error
        yield
