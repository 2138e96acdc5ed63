"""Looks for troubles, and tells whoever is to know.

A thread of its own: no case waits for a mail server. What was told is on disk before it is sent, so
only a kill between sending and noting that can repeat a message.
"""

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from typing import Final, cast

from gcwatch import log
from gcwatch.config import Settings
from gcwatch.core.alerts import AlertPolicy, Trouble, TroubleKind, next_alert, troubles_of
from gcwatch.core.errors import ConfigError, JournalUnavailable, LeaseLost, StateError
from gcwatch.core.timing import retry_pause
from gcwatch.daemon.current_config import CurrentConfig
from gcwatch.daemon.reporting.alert_channels import Channel, open_channels
from gcwatch.daemon.reporting.condition import Condition, ConditionReader
from gcwatch.journal.alert_memory import (
    AlertState,
    WaitingAlert,
    read_alert_state,
    write_alert_state,
)
from gcwatch.journal.hosts.hosts import Notes
from gcwatch.journal.hosts.leases import Lease
from gcwatch.threads.periodic import PeriodicThread

_LOOK_SECONDS: Final = 10.0
_STOP_PATIENCE_SECONDS: Final = 2.0
_JOURNAL: Final = ("disk_full", "database_away", "journal_newer")
_MOST_WAITING: Final = 20
"""Alerts that wait for delivery; more of them would say nothing new."""

_CALM_SURVEYS: Final = 10
"""Survey intervals after a start or a pause in which no case begins to count as stalled, as work
has just begun again; after a start, nobody knows yet whether the token is refused."""


class AlertSender(PeriodicThread):
    """Tells what the config wants to be told, from start to end; without that, idle.

    Args:
        current: The settings of the moment.
        reader: What is known of cases, inboxes and mirrors.
        clock: The time in seconds since the epoch.
        notes: Where it remembers what was told.
        kinds: The kinds of troubles that it tells.
        duty: Returns the lease of telling them, or None if another host has that.
        is_short: Whether this run ends by itself: then it looks once at its end.
    """

    def __init__(
        self,
        current: CurrentConfig,
        reader: ConditionReader,
        clock: Callable[[], float],
        *,
        notes: Notes,
        kinds: Collection[TroubleKind],
        duty: Callable[[], Lease | None],
        is_short: bool,
    ) -> None:
        pace = current.base_pace
        super().__init__("alerts", min(_LOOK_SECONDS, pace.survey / 4), _STOP_PATIENCE_SECONDS)
        self._current = current
        self._reader = reader
        self._clock = clock
        self._notes, self._kinds = notes, kinds
        self._duty, self._lease = duty, cast("Lease | None", None)
        self._is_short = is_short
        self._state: AlertState | None = None
        self._calm_seconds = _CALM_SURVEYS * pace.survey
        self._calm_until = self._known_at = 0.0 if is_short else clock() + self._calm_seconds
        self._next_try = 0.0  # on the monotonic clock
        self._problem = ""

    def tick(self) -> None:
        """Look for troubles, and send what waits."""
        settings = self._current.settings
        # Another host tells it, or nobody can at the moment.
        with suppress(JournalUnavailable, LeaseLost):
            if settings.alerts.is_on and self._has_duty():
                if self._state is None:
                    self._state = read_alert_state(self._notes)
                self._look(settings, self._state)
                self._send(settings)

    def _has_duty(self) -> bool:
        """Whether this host tells; another one may have told something meanwhile."""
        lease = self._duty()
        if lease is not self._lease:
            self._lease, self._state = lease, None
        return lease is not None

    def on_stop(self) -> None:
        """Look once: whoever runs gcwatch by cron is told as well."""
        if self._is_short:
            self._next_try = 0.0
            self.tick()

    def _remember(self, state: AlertState) -> None:
        if state == self._state:
            return
        if self._lease is None or self._lease.is_over:
            raise LeaseLost("alerts")
        self._state = state
        with suppress(OSError):  # on a full disk a restart may repeat an alert
            write_alert_state(self._notes, state)

    # --- looking ---------------------------------------------------------------------------------

    def _look(self, settings: Settings, state: AlertState) -> None:
        now, policy = self._clock(), settings.alerts.policy
        unknown: set[str] = set()
        try:
            condition = self._reader.read()
        except (JournalUnavailable, StateError):
            condition = self._reader.without_journal()
            unknown |= {"failed", "to_check", "stalled"}
        if condition.pause:
            self._calm_until = now + self._calm_seconds
        if now < self._calm_until:
            unknown |= {"stalled"}
        if now < self._known_at:
            unknown |= {"token_refused", *_JOURNAL, "inbox_away"}
        troubles = {each.trouble: each.keys for each in state.memory.told(unknown)}
        found = _troubles(condition, now, policy, is_calm="stalled" in unknown)
        troubles |= {each: keys for each, keys in found.items() if each.kind in self._kinds}
        memory, alert = next_alert(state.memory, troubles, now, policy)
        waiting = (*state.waiting, *([WaitingAlert(alert)] if alert else []))
        self._remember(AlertState(memory, waiting[-_MOST_WAITING:]))

    # --- sending ---------------------------------------------------------------------------------

    def _send(self, settings: Settings) -> None:
        """Deliver what waits, in order; after a failure pause, longer each time."""
        if self._state is None or not self._state.waiting or time.monotonic() < self._next_try:
            return
        try:
            channels = open_channels(settings)
        except ConfigError as error:
            self._on_failure("; ".join(map(str, error.problems)))
            return
        while self._state.waiting:
            problem = self._deliver(channels)
            if problem:
                self._on_failure(problem)
                return
            first, *rest = self._state.waiting
            self._remember(replace(self._state, waiting=tuple(rest)))
            self._problem = ""
            log.emit("alert.sent", alerts=[*first.alert.events])

    def _deliver(self, channels: list[Channel]) -> str:
        """Send the oldest alert to those who do not have it; return what went wrong."""
        problems = []
        for channel in channels:
            first = self._first()
            if channel.ident in first.done:
                continue
            problem = channel.send(first.alert)
            if problem:
                problems.append(problem)
            else:
                self._replace_first(replace(first, done=(*first.done, channel.ident)))
        return "; ".join(problems)

    def _on_failure(self, problem: str) -> None:
        first, pace = self._first(), self._current.base_pace
        tries = first.tries + 1
        self._replace_first(replace(first, tries=tries))
        pause = retry_pause(tries, pace.backoff, pace.slowest)
        self._next_try = time.monotonic() + pause
        if problem != self._problem:
            log.emit("alert.failed", error=problem)
        self._problem = problem

    def _first(self) -> WaitingAlert:
        assert self._state is not None, "only what waits is sent"
        return self._state.waiting[0]

    def _replace_first(self, first: WaitingAlert) -> None:
        assert self._state is not None, "only what waits is sent"
        waiting = (first, *self._state.waiting[1:])
        self._remember(replace(self._state, waiting=waiting))


def _troubles(
    condition: Condition, now: float, policy: AlertPolicy, *, is_calm: bool
) -> dict[Trouble, frozenset[str]]:
    """Return all troubles, each with the keys of its cases."""
    found = troubles_of(condition.cases, condition.progress, now, policy, is_calm=is_calm)
    match condition.pause:
        case "token_refused" | "disk_full" | "database_away" | "journal_newer" as kind:
            found[Trouble(kind)] = frozenset()
    found |= {Trouble("inbox_away", route): frozenset() for route in condition.away}
    failed = [name for name, last in condition.mirrors.items() if last.reason or last.failed]
    return found | {Trouble("mirror_failed", name): frozenset() for name in failed}
