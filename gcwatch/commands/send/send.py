"""`gcwatch send`: files and folders sent now, by the daemon's own code, without a config file."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal

from gcwatch.api import Watch
from gcwatch.commands import check
from gcwatch.commands.finding import Finding
from gcwatch.commands.send import records
from gcwatch.commands.send.access import access_settings
from gcwatch.commands.send.options import Access, SendOptions
from gcwatch.commands.send.parent import (
    ParentFolder,
    find_parents,
    read_parent,
    require_cases,
)
from gcwatch.commands.send.records import Paths, SendRecord, SendStore, Wanted
from gcwatch.config import Alerts, Metrics, Settings
from gcwatch.core.case import Case, Ending
from gcwatch.core.errors import (
    CaseError,
    ConfigError,
    Misused,
    Problem,
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
from gcwatch.journal.presence import only_daemon, running_daemon
from gcwatch.outbox.copies import ResultCopier
from gcwatch.platform.client import CachingGrandChallenge
from gcwatch.platform.connect import connect
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


class SendSession:
    """One call of `gcwatch.send`, ready to `run`; raises as that does.

    The daemon's own code does the work: after a crash, the same call continues where the first one
    stopped, and nothing is sent twice. What was delivered before is returned, not sent again.
    """

    def __init__(self, paths: Paths, options: SendOptions, access: Access) -> None:
        self.settings = access_settings(access)
        store = SendStore(self.settings.state)
        keys = options.route_keys()
        parents: list[ParentFolder] = []
        if options.each:
            given = records.found_paths(paths)
            for each in given:
                records.keep_apart(each, options.folder)
            parents = [read_parent(each, options.ignore) for each in given]
            paths = [path for parent in parents for path in parent.folders]
        self.left_out = [parent.left_out for parent in parents if parent.left_out]
        routes = records.routes(paths, keys, options.folder)
        asked = self._identify(routes, store, access.token)
        if options.folder is not None:
            options.folder.mkdir(parents=True, exist_ok=True)
        items = [
            _SendItem(name, record, route, options.wanted)
            for (name, route), record in zip(
                asked.items(), store.find_or_create([*asked], options.wanted), strict=True
            )
        ]
        self._again = options.again
        with ExitStack() as stack:
            self._runs = [
                stack.enter_context(_send_run(some, store, self.settings, options, access.token))
                for some in _group_by_order(items)
            ]
            if not self._again:
                for run in self._runs:
                    run.require_same_names()
            # All are open: from now on `close` closes them. After an error above, the stack does.
            self._stack = stack.pop_all()

    def _identify(
        self, routes: Sequence[SingleCaseRoute], store: SendStore, token: str | None
    ) -> dict[str, SingleCaseRoute]:
        """Return the cases by their identities; raise unless the target takes them, or took them.

        For a case that was sent before, the earlier call has checked the target.
        """
        url = self.settings.platform.url
        suspects = [each for each in find_parents(routes) if not _is_known(each, url, store)]
        if suspects:
            _require_target(routes, self.settings, token, suspects)
        asked = {records.identity(each, url): each for each in routes}
        if not suspects and not all(map(store.find, asked)):
            _require_target(routes, self.settings, token)
        return asked

    def close(self) -> None:
        """Release journals, connections and locks."""
        self._stack.close()

    def progress(self) -> tuple[list[CaseView], frozenset[str]]:
        """Return each case in words, as it is now, and the keys of those that are in work."""
        views: list[CaseView] = []
        working: frozenset[str] = frozenset()
        for run in self._runs:
            snapshot = run.snapshot()
            views += run.views(snapshot)
            working |= snapshot.progress.working
        return views, working

    def run(self, stop: threading.Event | None = None) -> list[Sent]:
        """Work until nothing more can be done now, or *stop* is set."""
        stop = stop or threading.Event()
        # A second `run` continues, and must not send again what the first one delivered.
        again, self._again = self._again, False
        busy = [run for run in self._runs if run.prepare(again=again)]
        with ThreadPoolExecutor(len(self._runs), thread_name_prefix="send") as pool:
            futures = [pool.submit(run.watch.run_once, stop) for run in busy]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                stop.set()  # the next call continues the others
                raise
        return [sent for run in self._runs for sent in run.sent(stop)]


# --- one order -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _SendItem:
    """A case of an order: its identity, record and route, and what this call wants."""

    identity: str
    record: SendRecord
    route: SingleCaseRoute
    wanted: Wanted


def _group_by_order(items: Sequence[_SendItem]) -> list[list[_SendItem]]:
    """Return the cases grouped by the orders in which they were sent first."""
    orders = dict.fromkeys(item.record.order for item in items)
    return [[item for item in items if item.record.order == each] for each in orders]


class _SendRun:
    """The requested cases of one order, and the `Watch` that works on them."""

    def __init__(self, items: Sequence[_SendItem], store: SendStore, watch: Watch) -> None:
        self.watch = watch
        self._store = store
        self._items = list(items)
        self._earlier: set[str] = set()

    def require_same_names(self) -> None:
        """Raise Misused if a case that is under way or delivered is to be called otherwise now."""
        for item in self._items:
            case = self._case(item)
            if case is not None and (case.is_open or case.ending == "delivered"):
                _require_same_names(item, case)

    def prepare(self, *, again: bool) -> bool:
        """Set up what is to be done; return whether there is anything."""
        for number, item in enumerate(self._items):
            case = self._case(item)
            if case is not None and case.ending == "delivered" and not again:
                self._earlier.add(case.key)
            elif case is None or not case.is_open:
                self._items[number] = self._as_wanted(item)
                if case is not None:
                    self.watch.retry(case)
            elif case.wait is not None:
                # Somebody asks now: the pause after the tries of the call before does not count.
                self.watch.journal.record(case.key, Retried())
        routes = [self._route(item) for item in self._items if not self._is_earlier(item)]
        self.watch.follow(replace(self.watch.settings, routes=tuple(routes)))
        return bool(routes)

    def snapshot(self) -> DaemonSnapshot:
        """Return what the work on these cases does at this moment."""
        cases = [case for item in self._items if (case := self._case(item))]
        return replace(self.watch.daemon_snapshot(cases), is_running=True, routes=None)

    def views(self, snapshot: DaemonSnapshot) -> Iterator[CaseView]:
        """Yield each case in words; one that has not begun yet is waiting."""
        for item in self._items:
            case = self._case(item)
            if case is None:
                yield CaseView("", "", readable_name(item.route.folder), "waiting", "", "")
            else:
                pace = self.watch.pace(case.route)
                yield case_view.case_view(case, pace, time.time(), snapshot)

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

    def _brought(self, sent: Sent, case: Case, item: _SendItem, transfers: Transfers) -> Sent:
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

    def _case(self, item: _SendItem) -> Case | None:
        """Return the latest case of an item, or None."""
        folder = item.route.folder
        found = self.watch.journal.known(item.record.route, [folder]).get(folder)
        return self.watch.journal.case(found.key) if found else None

    def _is_earlier(self, item: _SendItem) -> bool:
        case = self._case(item)
        return case is not None and case.key in self._earlier

    def _as_wanted(self, item: _SendItem) -> _SendItem:
        """Return an item that is started again, with all that is wanted now."""
        record = replace(item.record, **asdict(item.wanted))
        if record != item.record:
            self._store.save(item.identity, record)
        return replace(item, record=record)

    def _route(self, item: _SendItem) -> SingleCaseRoute:
        outbox = self._store.outbox(item.record)
        outbox.mkdir(parents=True, exist_ok=True)
        return item.route.model_copy(update={"name": item.record.route, "outbox": outbox})


_CONNECTIONS: Final = 4
_NOT_HERE: Final = "its results could not be put into this output folder."


def _require_same_names(item: _SendItem, case: Case) -> None:
    """Raise Misused if a case was sent with another title, or other names, than are wanted now."""
    for option, before, now in (
        ("title", item.record.title, item.wanted.title),
        ("names", item.record.names, item.wanted.names),
    ):
        if before is not None and before != now:
            was = f'with the {option} "{before}"' if before else f"without a {option}"
            link = case.submission.url if case.submission else ""
            page = f" You can change it on its page: {link}" * (option == "title" and bool(link))
            raise Misused(
                f"{readable_name(case.folder)} was sent {was}, and is so on the platform.",
                f"Give the same {option}, or send it once more (--again).{page}",
            )


@contextmanager
def _send_run(
    items: Sequence[_SendItem],
    store: SendStore,
    settings: Settings,
    options: SendOptions,
    token: str | None,
) -> Iterator[_SendRun]:
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
                metrics=Metrics(),  # these are the service's
                alerts=Alerts(),
            ),
            pace=options.pace or Pace(),
            progress=options.progress,
            token=token,
        )
        with closing(watch):
            yield _SendRun(items, store, watch)


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


# --- the target ------------------------------------------------------------------------------


def _is_known(route: SingleCaseRoute, url: str, store: SendStore) -> bool:
    """Whether a case was sent before; a folder with too many files never was."""
    with suppress(Misused):
        return store.find(records.identity(route, url)) is not None
    return False


def _require_target(
    routes: Sequence[SingleCaseRoute],
    settings: Settings,
    token: str | None,
    suspects: Sequence[SingleCaseRoute] = (),
) -> None:
    """Raise ConfigError unless the target exists, may be used, and accepts the inputs.

    Raise SeveralCases if some of the *suspects* are parents of cases.
    """
    platform = CachingGrandChallenge(connect(settings, token))
    found: list[Finding] = []
    with closing(platform):
        platform.me()
        with suppress(Unreachable):  # it answered a moment ago: the work itself tries again
            found += [
                each for each in check.check_target(routes[0], platform) if each.cause == "config"
            ]
            if suspects and not found:
                require_cases(routes, suspects, platform)
    if found:
        problems = [Problem(each.what, each.detail, each.hint) for each in found]
        raise ConfigError("The target", problems)
