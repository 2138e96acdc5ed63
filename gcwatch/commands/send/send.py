"""One-off sending, without a config file: the daemon's engine over the paths that are given."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

from pydantic import ValidationError

from gcwatch import config
from gcwatch.api import Watch
from gcwatch.commands import check
from gcwatch.commands.send import records
from gcwatch.commands.send.records import Paths, SendRecord, SendStore
from gcwatch.config import Platform, Settings, Source
from gcwatch.config.model import state_folder
from gcwatch.core.case import Case, Ending
from gcwatch.core.errors import ConfigError, Misused, Problem, StateError, Unreachable
from gcwatch.core.kinds import KIND_NAMES
from gcwatch.core.timing import Pace
from gcwatch.daemon.step_context import TransferProgress, no_progress
from gcwatch.explain import case_view
from gcwatch.explain.case_view import CaseView
from gcwatch.inbox.single import SingleCaseRoute
from gcwatch.journal.presence import only_daemon, running_daemon
from gcwatch.platform.client import CachingGrandChallenge
from gcwatch.platform.connect import connect


class Options(TypedDict, total=False):
    """How cases are sent: keys of a route (docs/configuration.md), with the same meaning."""

    inputs: Mapping[str, Source | str | Mapping[str, Any]]
    title: str
    order: str | int
    names: Literal["opaque", "keep"]
    deidentify: bool
    integrity: Literal["refuse", "warn"]
    leftovers: Literal["warn", "fail"]
    reuse: bool
    ignore: Sequence[str]
    poll: str


class Access(TypedDict, total=False):
    """Which platform, by whose leave, and where is remembered what was sent.

    What is not given comes from the config file, if there is one (see `gcwatch.open`), else from
    the usual places: the systemd credential gc-token, $GRAND_CHALLENGE_AUTHORIZATION, the state
    directory of the user. A config's token goes to that config's url only.
    """

    url: str
    token: str
    token_file: str | Path
    config: str | Path
    state: str | Path


class SendArguments(Options, Access, total=False):
    """What may be said of an order besides its paths and its target."""

    algorithm: str | None
    reader_study: str | None
    archive: str | None
    output: str | Path | None
    again: bool
    progress: TransferProgress
    pace: Pace


@dataclass(frozen=True)
class Sent:
    """What became of one case.

    Attributes:
        case: Its key, as the platform and the logs know it; empty if it was not begun.
        folder: Its name: that of the folder, or one made of the files' names.
        ending: How it ended; None while it is open: then the same call goes on with it.
        link: Its page on the platform, once it has one.
        result: The folder that holds its results and its receipt, once it is delivered.
        outputs: The files of the results.
        reason: The code of the reason why it failed or waits, if it does.
        why: In words: the reason, or what it is at or came to, if nothing hinders it.
        hint: What to do about it.
        warnings: What is odd about what was sent or came back.
        earlier: Whether it had been delivered before this call, which then sent nothing.
    """

    case: str
    folder: str
    ending: Ending | None = None
    link: str = ""
    result: Path | None = None
    outputs: tuple[Path, ...] = ()
    reason: str = ""
    why: str = "It was not begun."
    hint: str = ""
    warnings: tuple[str, ...] = ()
    earlier: bool = False


def send(
    paths: Paths, *, stop: threading.Event | None = None, **more: Unpack[SendArguments]
) -> list[Sent]:
    """Send files or folders, wait for what becomes of them, and return it: no config file needed.

    Each folder is a case of its own; all files together are one case. An algorithm run on two
    images and a number, the results put into a folder::

        [sent] = gcwatch.send(
            ["ct.mha", "lungs.mha"],
            algorithm="lobe-segmentation",
            inputs={"ct-image": "ct.mha", "lungs": "lungs.mha", "threshold": {"value": 0.5}},
            output="results",
        )
        print(sent.ending, sent.link, *sent.outputs)

    It is the daemon's work, with the daemon's promises: the same call again after a crash goes on
    where the first one was, and nothing is sent twice. What was delivered before is only told of.

    Args:
        paths: The files and folders; nothing in them is changed.
        stop: Ends the work early once it is set; the same call goes on.
        more: See `Sending`, `Options` and `Access`.

    Returns:
        One `Sent` a case. A case that failed is among them, with its reason.

    Raises:
        Misused: when this can't be asked for.
        ConfigError: when the config file can't be used, the platform has no such target for this
            token, or the target does not take such inputs.
        TokenRefused: when the platform does not take the token, or there is none.
        Unreachable: when the platform could not be asked about the target.
        StateError: when the same is being sent at this moment, or the state can't be written.
    """
    with closing(SendSession(paths, **more)) as sending:
        return sending.run(stop)


class SendSession:
    """What `send` was asked for, ready to `run`; raises as `send` does.

    Args:
        paths: The files and folders.
        more: `algorithm`, `reader_study` or `archive`, one of them: the slug of what they are for.
            `output`: folder for results and receipts, needed for an algorithm. `again`: whether
            what was delivered before is sent once more, as new cases. `progress`: told how far
            transfers are. `pace`: how fast things go. Besides, see `Options` and `Access`.
    """

    def __init__(self, paths: Paths, **more: Unpack[SendArguments]) -> None:
        self.settings = _settings(more)
        output = _output(more)
        routes = records.routes(paths, _options(more), output)
        asked = {records.identity(each, self.settings.platform.url): each for each in routes}
        shelf = SendStore(self.settings.state)
        if not all(map(shelf.find, asked)):
            _require_target(routes[0], self.settings, more.get("token"))
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
        items = [
            _Item(name, ticket, route, output)
            for (name, route), ticket in zip(
                asked.items(), shelf.take([*asked], output), strict=True
            )
        ]
        self._again = more.get("again", False)
        with ExitStack() as stack:
            self._parties = [
                stack.enter_context(_send_run(some, shelf, self.settings, more))
                for some in _by_order(items)
            ]
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Release journals, connections and locks."""
        self._stack.close()

    def views(self) -> list[CaseView]:
        """Return where each case is at this moment, in words."""
        return [view for party in self._parties for view in party.views()]

    def run(self, stop: threading.Event | None = None) -> list[Sent]:
        """Work until nothing is left that could be done now, or *stop* is set."""
        stop = stop or threading.Event()
        again, self._again = self._again, False
        busy = [party for party in self._parties if party.prepare(again=again)]
        with ThreadPoolExecutor(len(self._parties), thread_name_prefix="send") as pool:
            runs = [pool.submit(party.watch.run_once, stop) for party in busy]
            try:
                for run in runs:
                    run.result()
            except BaseException:
                stop.set()  # whatever the others are at goes on with the next call
                raise
        return [sent for party in self._parties for sent in party.sent()]


# --- one order -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Item:
    """A case of an order: its identity, ticket and route, and where its results are wanted."""

    identity: str
    ticket: SendRecord
    route: SingleCaseRoute
    output: Path | None


def _by_order(items: Sequence[_Item]) -> list[list[_Item]]:
    """Return what is asked for, by the orders in which it was asked for first."""
    orders = dict.fromkeys(item.ticket.order for item in items)
    return [[item for item in items if item.ticket.order == each] for each in orders]


class _SendRun:
    """Those cases of one order that are asked for, and the engine for them."""

    def __init__(self, items: Sequence[_Item], shelf: SendStore, watch: Watch) -> None:
        self.watch = watch
        self._shelf = shelf
        self._items = list(items)
        self._earlier: set[str] = set()

    def prepare(self, *, again: bool) -> bool:
        """Give the engine what is to be done; return whether that is anything."""
        for number, item in enumerate(self._items):
            case = self._case(item)
            if case is not None and case.ending == "delivered" and not again:
                self._earlier.add(case.key)
            elif case is None or not case.is_open:
                self._items[number] = self._moved(item)
                if case is not None:
                    self.watch.retry(case)
        routes = [self._route(item) for item in self._items if not self._is_earlier(item)]
        self.watch.follow(replace(self.watch.settings, routes=tuple(routes)))
        return bool(routes)

    def views(self) -> Iterator[CaseView]:
        """Yield where each case is."""
        for item in self._items:
            case = self._case(item)
            if case is not None:
                yield case_view.case_view(case, self.watch.pace(case.route), time.time())

    def sent(self) -> Iterator[Sent]:
        """Yield what became of each case."""
        for item in self._items:
            case = self._case(item)
            if case is None:
                yield Sent("", item.route.folder)
            else:
                pace = self.watch.pace(case.route)
                view = case_view.case_view(case, pace, time.time())
                yield self._sent(case, view, self._shelf.outbox(item.ticket))

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

    def _case(self, item: _Item) -> Case | None:
        """Return an item's latest case, if it has any."""
        found = self.watch.journal.known(item.ticket.route).get(item.route.folder)
        return self.watch.journal.case(found.key) if found else None

    def _is_earlier(self, item: _Item) -> bool:
        case = self._case(item)
        return case is not None and case.key in self._earlier

    def _moved(self, item: _Item) -> _Item:
        """What is begun anew may have its results where they are wanted now."""
        wanted = "" if item.output is None else str(item.output)
        if item.ticket.outbox == wanted:
            return item
        ticket = replace(item.ticket, outbox=wanted)
        self._shelf.put(item.identity, ticket)
        return replace(item, ticket=ticket)

    def _route(self, item: _Item) -> SingleCaseRoute:
        outbox = self._shelf.outbox(item.ticket)
        outbox.mkdir(parents=True, exist_ok=True)
        return item.route.model_copy(update={"name": item.ticket.route, "outbox": outbox})


@contextmanager
def _send_run(
    items: Sequence[_Item], shelf: SendStore, settings: Settings, more: SendArguments
) -> Iterator[_SendRun]:
    """Open an order for as long as the context is open; nobody else may meanwhile."""
    state = shelf.state(items[0].ticket)
    with _one_at_a_time(state):
        watch = Watch(
            replace(settings, state=state, routes=(), mirrors=()),
            pace=more.get("pace", Pace()),
            progress=more.get("progress", no_progress),
            token=more.get("token"),
        )
        with closing(watch):
            yield _SendRun(items, shelf, watch)


@contextmanager
def _one_at_a_time(state: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(only_daemon(state / "turn"))
        except StateError as error:
            holder = running_daemon(state / "turn")
            message = f"This is being sent already, by process {holder}."
            raise StateError(message, "Wait for it, or end it and send again.") from error
        yield


# --- what is asked for ---------------------------------------------------------------------------


def _output(more: SendArguments) -> Path | None:
    output = more.get("output")
    return None if output is None else Path(output).expanduser().absolute()


def _options(more: SendArguments) -> dict[str, Any]:
    """Return what a route says of an order; raise Misused if it is not for one target."""
    if unknown := more.keys() - SendArguments.__annotations__.keys():
        raise Misused(f"{min(unknown)} is no known option.")
    given = [key for key in KIND_NAMES if more.get(key) is not None]
    if len(given) != 1:
        message = "One target is needed: an algorithm, a reader study or an archive."
        raise Misused(message, f"Given: {' and '.join(given)}." if given else "None is given.")
    if given == ["algorithm"] and more.get("output") is None:
        raise Misused("The results of an algorithm need an output folder.", "Name one.")
    if given != ["algorithm"] and not more.get("inputs"):
        message = "A reader study or archive needs inputs: the sockets to fill, and what with."
        raise Misused(message, "For example the socket ct-image with the files **/*.dcm.")
    known = (*KIND_NAMES, *Options.__annotations__)
    options = {key: value for key, value in more.items() if key in known and value is not None}
    if inputs := more.get("inputs"):
        options["inputs"] = dict(inputs)
    if "poll" not in options:
        options["poll"] = more.get("pace", _PACE).poll
    return options


_PACE = Pace(poll=config.Every(5.0))
"""Somebody waits: at first a job is asked after more often than by a daemon; see `steps.due`."""


def _settings(more: SendArguments) -> Settings:
    """Return the platform, the limits and the state: as given, as the config says, as usual."""
    file = _config_file(more.get("config"))
    state = more.get("state")
    if file is None:
        base = Settings(file=Path("gcwatch send"), state=state_folder(None))
    else:
        base = config.load(file)
    return replace(
        base,
        platform=_platform(base.platform, more.get("url"), more.get("token_file")),
        state=Path(state).expanduser().absolute() if state is not None else base.state,
    )


def _config_file(named: str | Path | None) -> Path | None:
    """Return the config file that is named, or found where one usually is."""
    try:
        return config.find(Path(named) if named is not None else None)
    except ConfigError:
        return None


def _platform(base: Platform, url: str | None, token_file: str | Path | None) -> Platform:
    try:
        if url is not None and Platform(url=url).url != base.url:
            base = Platform(url=url)  # what a config says of one platform is not for another
        if token_file is not None:
            base = Platform(**{**base.model_dump(), "token_file": token_file})
    except ValidationError as error:
        raise records.misused(error, "platform") from error
    return base


def _require_target(route: SingleCaseRoute, settings: Settings, token: str | None) -> None:
    """Raise ConfigError unless the target is there, may be used, and takes the inputs."""
    platform = CachingGrandChallenge(connect(settings, token))
    found: list[check.Finding] = []
    with closing(platform):
        platform.me()
        with suppress(Unreachable):  # it was there a moment ago: the engine tries again
            found += [each for each in check.target(route, platform) if each.cause == "config"]
    if found:
        problems = [Problem(each.what, each.detail, each.hint) for each in found]
        raise ConfigError("The target", problems)
