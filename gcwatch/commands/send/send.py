"""`gcwatch send`: files and folders sent now, by the daemon's own code, without a config file."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress

from gcwatch.commands import platform_check
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
from gcwatch.commands.send.records import Paths, SendStore
from gcwatch.commands.send.runs import SendItem, Sent, group_by_order, open_run
from gcwatch.config import Settings
from gcwatch.core.errors import (
    ConfigError,
    Misused,
    Problem,
    Unreachable,
)
from gcwatch.core.text import readable_name
from gcwatch.inbox.single import SingleCaseRoute
from gcwatch.platform.client import CachingGrandChallenge
from gcwatch.platform.connect import connect
from gcwatch.wording.case_view import CaseView


class SendSession:
    """One call of `gcwatch.send`, ready to `run`; raises as that does.

    The daemon's own code does the work: after a crash, the same call continues where the first one
    stopped, and nothing is sent twice. What was delivered before is returned, not sent again.
    """

    def __init__(self, paths: Paths, options: SendOptions, access: Access) -> None:
        self.settings = access_settings(access)
        store = SendStore(self.settings.state)
        keys = options.route_keys()
        if options.folder is not None:
            records.require_folder(options.folder)
        parents = _read_parents(paths, options) if options.each else []
        if parents:
            paths = [path for parent in parents for path in parent.folders]
        self.left_out = [parent.left_out for parent in parents if parent.left_out]
        routes = records.routes(paths, keys, options.folder)
        asked = self._identify(routes, store, access.token)
        if options.folder is not None:
            options.folder.mkdir(parents=True, exist_ok=True)
        items = [
            SendItem(name, record, route, options.wanted)
            for (name, route), record in zip(
                asked.items(), store.find_or_create([*asked], options.wanted), strict=True
            )
        ]
        self._again = options.again
        with ExitStack() as stack:
            self._runs = [
                stack.enter_context(open_run(some, store, self.settings, options, access.token))
                for some in group_by_order(items)
            ]
            for run in self._runs:
                run.require_same_names(again=self._again)
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
        seen = [run.progress() for run in self._runs]
        views = [view for some, _ in seen for view in some]
        return views, frozenset().union(*(working for _, working in seen))

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


def _read_parents(paths: Paths, options: SendOptions) -> list[ParentFolder]:
    """Given folders whose folders are the cases, return what is in them."""
    given = records.found_paths(paths)
    for each in given:
        if not each.is_dir():
            message = f"{readable_name(str(each))} is not a folder with folders of cases."
            raise Misused(message, "Name such a folder, or leave out --each.")
        records.keep_apart(each, options.folder)
    return [read_parent(each, options.ignore) for each in given]


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
                each
                for each in platform_check.check_target(routes[0], platform)
                if each.cause == "config"
            ]
            if suspects and not found:
                require_cases(routes, suspects, platform)
    if found:
        problems = [Problem(each.what, each.detail, each.hint) for each in found]
        raise ConfigError("The target", problems)
