"""`gcwatch send`: files and folders sent now, by the daemon's own code, without a config file."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from gcwatch.api import Watch
from gcwatch.commands import check
from gcwatch.commands.finding import Finding
from gcwatch.commands.send import records
from gcwatch.commands.send.access import access_settings
from gcwatch.commands.send.options import Access, SendOptions
from gcwatch.commands.send.records import Paths, SendRecord, SendStore
from gcwatch.config import Alerts, Metrics, Settings
from gcwatch.core.case import Case, Ending
from gcwatch.core.errors import ConfigError, Problem, StateError, Unreachable
from gcwatch.core.events import Retried
from gcwatch.core.timing import Pace
from gcwatch.inbox.single import SingleCaseRoute
from gcwatch.journal.presence import only_daemon, running_daemon
from gcwatch.platform.client import CachingGrandChallenge
from gcwatch.platform.connect import connect
from gcwatch.wording import case_view
from gcwatch.wording.case_view import CaseView


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


class SendSession:
    """One call of `gcwatch.send`, ready to `run`; raises as that does.

    The daemon's own code does the work: after a crash, the same call continues where the first one
    stopped, and nothing is sent twice. What was delivered before is returned, not sent again.
    """

    def __init__(self, paths: Paths, options: SendOptions, access: Access) -> None:
        self.settings = access_settings(access)
        output = options.folder
        routes = records.routes(paths, options.route_keys(), output)
        asked = {records.identity(each, self.settings.platform.url): each for each in routes}
        store = SendStore(self.settings.state)
        # For a case that was sent before, the earlier call has checked the target.
        if not all(map(store.find, asked)):
            _require_target(routes[0], self.settings, access.token)
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
        items = [
            _SendItem(name, record, route, output)
            for (name, route), record in zip(
                asked.items(), store.find_or_create([*asked], output), strict=True
            )
        ]
        self._again = options.again
        with ExitStack() as stack:
            self._runs = [
                stack.enter_context(_send_run(some, store, self.settings, options, access.token))
                for some in _group_by_order(items)
            ]
            # All are open: from now on `close` closes them. After an error above, the stack does.
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Release journals, connections and locks."""
        self._stack.close()

    def views(self) -> list[CaseView]:
        """Return each case in words, as it is now."""
        return [view for run in self._runs for view in run.views()]

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
        return [sent for run in self._runs for sent in run.sent()]


# --- one order -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _SendItem:
    """A case of an order: its identity, record and route, and the wanted output folder."""

    identity: str
    record: SendRecord
    route: SingleCaseRoute
    output: Path | None


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

    def prepare(self, *, again: bool) -> bool:
        """Set up what is to be done; return whether there is anything."""
        for number, item in enumerate(self._items):
            case = self._case(item)
            if case is not None and case.ending == "delivered" and not again:
                self._earlier.add(case.key)
            elif case is None or not case.is_open:
                self._items[number] = self._with_new_outbox(item)
                if case is not None:
                    self.watch.retry(case)
            elif case.wait is not None:
                # Somebody asks now: the pause after the tries of the call before does not count.
                self.watch.journal.record(case.key, Retried())
        routes = [self._route(item) for item in self._items if not self._is_earlier(item)]
        self.watch.follow(replace(self.watch.settings, routes=tuple(routes)))
        return bool(routes)

    def views(self) -> Iterator[CaseView]:
        """Yield each case in words."""
        for item in self._items:
            case = self._case(item)
            if case is not None:
                yield case_view.case_view(case, self.watch.pace(case.route), time.time())

    def sent(self) -> Iterator[Sent]:
        """Yield the result of each case."""
        for item in self._items:
            case = self._case(item)
            if case is None:
                yield Sent("", item.route.folder)
            else:
                pace = self.watch.pace(case.route)
                view = case_view.case_view(case, pace, time.time())
                yield self._sent(case, view, self._store.outbox(item.record))

    def _sent(self, case: Case, view: CaseView, outbox: Path) -> Sent:
        result = outbox / case.result if case.ending == "delivered" else None
        return Sent(
            case=case.key,
            folder=case.folder,
            ending=case.ending,
            link=view.link,
            result=result,
            outputs=tuple(result / file.path for file in case.fetched) if result else (),
            reason=view.reason,
            why=f"{view.why} {view.detail}".strip(),
            hint=view.hint,
            warnings=view.warnings,
            earlier=case.key in self._earlier,
        )

    def _case(self, item: _SendItem) -> Case | None:
        """Return the latest case of an item, or None."""
        found = self.watch.journal.known(item.record.route).get(item.route.folder)
        return self.watch.journal.case(found.key) if found else None

    def _is_earlier(self, item: _SendItem) -> bool:
        case = self._case(item)
        return case is not None and case.key in self._earlier

    def _with_new_outbox(self, item: _SendItem) -> _SendItem:
        """Return an item that is started again, with the output folder that is wanted now."""
        wanted = "" if item.output is None else str(item.output)
        if item.record.outbox == wanted:
            return item
        record = replace(item.record, outbox=wanted)
        self._store.save(item.identity, record)
        return replace(item, record=record)

    def _route(self, item: _SendItem) -> SingleCaseRoute:
        outbox = self._store.outbox(item.record)
        outbox.mkdir(parents=True, exist_ok=True)
        return item.route.model_copy(update={"name": item.record.route, "outbox": outbox})


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


def _require_target(route: SingleCaseRoute, settings: Settings, token: str | None) -> None:
    """Raise ConfigError unless the target exists, may be used, and accepts the inputs."""
    platform = CachingGrandChallenge(connect(settings, token))
    found: list[Finding] = []
    with closing(platform):
        platform.me()
        with suppress(Unreachable):  # it answered a moment ago: the work itself tries again
            found += [
                each for each in check.check_target(route, platform) if each.cause == "config"
            ]
    if found:
        problems = [Problem(each.what, each.detail, each.hint) for each in found]
        raise ConfigError("The target", problems)
