"""Following a config file that has changed: without a stop, and without cutting work off."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict

from gcwatch import config, log
from gcwatch.config import Route, Settings
from gcwatch.core.errors import ConfigError, JournalUnavailable, Problem, StateError
from gcwatch.daemon.current_config import CurrentConfig
from gcwatch.daemon.mirrors import MirrorScheduler
from gcwatch.daemon.platform_gate import PlatformGate
from gcwatch.daemon.reporting.alert_channels import open_channels
from gcwatch.daemon.waking.wakeup import Wakeup
from gcwatch.files.atomic import FOLDER_MODE
from gcwatch.inbox.scanner import InboxScanner, log_network_inbox
from gcwatch.inbox.single import SingleCaseRoute
from gcwatch.journal.hosts.ownership import claim_inboxes, this_owner
from gcwatch.journal.journal import Journal
from gcwatch.journal.route_identity import RouteIdentities, route_identities


class ConfigFollower:
    """Lets routes find their cases in the journal, at the start and after each reload.

    `is_refused` while the config file that was read last holds a mistake.
    """

    def __init__(  # noqa: PLR0917 -- all that a reload changes
        self,
        current: CurrentConfig,
        journal: Journal,
        scanner: InboxScanner,
        mirrors: MirrorScheduler,
        gate: PlatformGate,
        wakeup: Wakeup,
    ) -> None:
        self._current = current
        self._journal = journal
        self._scanner = scanner
        self._mirrors = mirrors
        self._gate = gate
        self._wakeup = wakeup
        self.is_refused = False

    def start(self, *, take_over: bool = False) -> None:
        """Claim the inboxes, and let each route find its cases, also under its former name.

        Raises:
            StateError: when an inbox belongs to another gcwatch, and `take_over` is not set.
            ConfigError: when certificates, or the addresses of alerts, can't be used.
        """
        config.require_certificates(self._current.settings)
        open_channels(self._current.settings)
        self._claim_inboxes(self._current.settings, take_over=take_over)
        for route in self._current.routes.values():
            log_network_inbox(route)
        self._log_others(self._current.settings)
        self._rename_routes(self._current.settings)
        self._log_orphans()
        self._journal.reschedule()

    def reload(self) -> None:
        """Read the config file again and follow it; one with a mistake changes nothing."""
        try:
            self._follow(config.load(self._current.settings.file))
            self.is_refused = False
        except ConfigError as error:
            self.is_refused = True
            log.emit("config.refused", file=error.file, problems=list(map(str, error.problems)))

    def _follow(self, settings: Settings) -> None:
        """Work by other settings from now on; each step under way ends as it began.

        Raises:
            ConfigError: when they can't be followed; then nothing is changed.
        """
        former = self._current.settings
        config.require_same_home(former, settings)
        config.require_certificates(settings)
        open_channels(settings)
        try:
            self._claim_inboxes(settings)
        except StateError as error:
            problem = Problem("", f"can't be followed: {error}", error.hint)
            raise ConfigError(str(settings.file), [problem]) from error
        log.reconfigure(settings.log)
        try:
            renamed = self._switch(settings)
        except JournalUnavailable as error:
            log.reconfigure(former.log)
            raise _unwritable_journal_error(settings) from error
        self._mirrors.follow(settings.own_mirrors)
        self._watch_inboxes(former.own_routes)
        changes = config.find_changes(former, settings, renamed)
        log.emit("config.reloaded", file=settings.file, **asdict(changes))
        self._log_others(settings)
        with suppress(JournalUnavailable):  # the daemon's loop meets it, too, and logs it
            self._log_orphans(changes.removed)
            self._journal.reschedule()

    def _switch(self, settings: Settings) -> Mapping[str, str]:
        """Change journal and settings at once; return new names of routes by old."""
        with self._current.switching:
            renamed = self._rename_routes(settings)
            if self._current.follow(settings):
                self._gate.end_pause()  # a new token is tried at once
            return renamed

    def _watch_inboxes(self, former: Collection[Route]) -> None:
        """Watch the inboxes that there are now, and no other."""
        self._scanner.watch_only(self._current.routes)
        watched = {route.inbox for route in former}
        for route in self._current.routes.values():
            if route.inbox not in watched:
                log_network_inbox(route)
        self._wakeup.request_scan()

    def _claim_inboxes(self, settings: Settings, *, take_over: bool = False) -> None:
        """Mark the inboxes as this gcwatch's, as far as they can be reached at the moment."""
        for source in filter(settings.is_own, settings.sources):
            with suppress(OSError):  # its first run makes it, if there is room again
                source.outbox.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        owner, host = self._journal.hosts.owner(), this_owner(settings.state).identity
        routes = filter(settings.is_own, _lasting(settings))
        for former in claim_inboxes(routes, owner, host=host, take_over=take_over):
            log.emit("inbox.taken_over", host=former.host, state=former.state)

    def _rename_routes(self, settings: Settings) -> Mapping[str, str]:
        wanted = _identities(settings)
        renamed = self._journal.rename_routes(wanted) if wanted else {}
        for old, new in renamed.items():
            log.emit("route.renamed", route=new, old=old)
        return renamed

    def _log_others(self, settings: Settings) -> None:
        """Name the routes and mirrors that the config leaves to other hosts."""
        for each in (*settings.routes, *settings.mirrors):
            if not settings.is_own(each):
                log.emit("route.elsewhere", route=each.name, host=settings.host, hosts=each.hosts)

    def _log_orphans(self, former: Collection[str] | None = None) -> None:
        """Name open cases whose route is gone; with *former* routes, only the cases of those."""
        settings = self._current.settings
        for case in self._journal.open_cases() if _identities(settings) else ():
            if case.route not in settings.route_names and (former is None or case.route in former):
                log.emit("case.orphaned", route=case.route, case=case.key)


def _identities(settings: Settings) -> RouteIdentities:
    """Return which routes a config file has; a single case's route has no name that may change."""
    return route_identities(_lasting(settings))


def _lasting(settings: Settings) -> list[Route]:
    """Return the routes of a config file, without those that `send` makes for a single case."""
    return [route for route in settings.routes if not isinstance(route, SingleCaseRoute)]


def _unwritable_journal_error(settings: Settings) -> ConfigError:
    hint = "Make room on the disk of the state directory."
    problem = Problem("", "can't be followed: the journal can't be written", hint)
    return ConfigError(str(settings.file), [problem])
