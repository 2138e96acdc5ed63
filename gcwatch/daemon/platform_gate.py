"""Whether work may begin: a refused token and a journal that can't be used pause all of it.

What the platform tells one host of an account holds for all that share its journal.

It also logs once that the platform is out of reach, and once that it is back.
"""

import threading
import time
from typing import Final

from gcwatch import log
from gcwatch.core import events
from gcwatch.core.case import Case
from gcwatch.core.errors import CaseError, JournalUnavailable, Refused, Unreachable
from gcwatch.core.events import Event
from gcwatch.daemon.current_config import CurrentConfig
from gcwatch.journal.hosts.limits import AllLimits
from gcwatch.journal.hosts.presence import LockFile
from gcwatch.journal.journal import Journal

DISK_PAUSE_SECONDS: Final = 60.0
DATABASE_PAUSE_SECONDS: Final = 5.0
LONGEST_BUSY_SECONDS: Final = 600.0
"""For how long one answer of the platform may hold up all hosts; its own case waits as asked."""
_BUSY, _TOKEN = "busy", "token:"
"""Names of limits of the account."""

_SEEN_WITHIN_REACH: Final = (
    events.UploadStarted,
    events.UploadCompleted,
    events.Submitted,
    events.StillRunning,
    events.Succeeded,
)
"""Events that only a platform within reach can bring."""


class PlatformGate:
    """Pauses all work while the token is refused or the journal can't be used.

    Args:
        current: The settings and connections of the moment.
        journal: It knows what the platform told all hosts of the account.
        lock_file: Where the reason of a pause is written for `gcwatch status`.
    """

    def __init__(self, current: CurrentConfig, journal: Journal, lock_file: LockFile) -> None:
        self._current, self._journal = current, journal
        self._limits = journal.limits
        self._lock_file = lock_file
        self._lock = threading.Lock()
        # On the monotonic clock, as all times here.
        self._paused_until = self._token_paused_until = self._refusal_told_until = 0.0
        self._busy_until = 0.0
        self._busy_since: float | None = None
        self._token = threading.RLock()  # what is known of the token, here and in the journal
        self._refused_token = ""
        self._journal_pause = ""
        self._is_token_refused = False
        self._is_out_of_reach = False

    @property
    def is_paused(self) -> bool:
        """Whether no work may begin at this moment."""
        return time.monotonic() < max(self._paused_until, self._token_paused_until)

    @property
    def is_token_refused(self) -> bool:
        """Whether the platform has refused the token, and not accepted it since."""
        return self._is_token_refused

    @property
    def pause(self) -> str:
        """The code of the reason for which all work is paused, or "" if it is not."""
        if self._is_token_refused:
            return "token_refused"
        return self._journal_pause

    def end_pause(self) -> None:
        """Work may begin: other connections, or another token, are to be tried at once."""
        self._paused_until = self._token_paused_until = 0.0

    def _pause(self, seconds: float) -> None:
        self._paused_until = time.monotonic() + seconds

    def on_journal_unavailable(self, error: JournalUnavailable) -> None:
        """Pause: the journal can't be used."""
        is_shared = self._current.settings.journal is not None
        with self._lock:
            if error.pause != self._journal_pause:  # many workers find it out, again and again
                log.emit(error.event, error=str(error))
            self._journal_pause = error.pause
            self._tell_pause()
        if is_shared:
            self._pause(min(DATABASE_PAUSE_SECONDS, self._current.base_pace.survey))
        else:
            self._pause(DISK_PAUSE_SECONDS)

    def on_journal_available(self) -> None:
        """After a pause: the journal can be used again."""
        if self._journal_pause:
            with self._lock:
                self._journal_pause = ""
                self._tell_pause()
            log.emit("journal.returned")

    def _tell_pause(self) -> None:
        """Let `gcwatch status` in another process know."""
        self._lock_file.write_pause(self.pause)

    # --- what holds for all hosts of the account -------------------------------------------------

    def follow_account(self) -> None:
        """Do as the platform told any host; let the others know what it told this one.

        Raises:
            JournalUnavailable: when the database can't be used at the moment.
        """
        wait = self._current.traffic.take_wait()
        if wait and self._limits.is_shared:
            self._limits.set(_BUSY, min(wait, LONGEST_BUSY_SECONDS))
        with self._token:
            limits = self._limits.all()
            self._follow_token(limits)
        self._follow_busy(limits[_BUSY].left if _BUSY in limits else 0.0)

    def _follow_busy(self, seconds: float) -> None:
        now = time.monotonic()
        if seconds > 0 and not self.is_busy:
            log.emit("platform.busy", seconds=round(seconds))
            with self._lock:
                self._busy_since = self._busy_since or now
        self._busy_until = now + seconds

    @property
    def is_busy(self) -> bool:
        """Whether the platform has asked the account to call later."""
        return time.monotonic() < self._busy_until

    @property
    def busy_seconds(self) -> float:
        """For how long it has done nothing but ask for that, if it does so now; else 0."""
        since = self._busy_since
        return time.monotonic() - since if self.is_busy and since is not None else 0.0

    def _token_name(self) -> str:
        """Return the name of the limit that says that the token of the moment is refused."""
        key = self._journal.shared_key() or b""
        return _TOKEN + self._current.token_mark(key)

    def _follow_token(self, limits: AllLimits) -> None:
        refused = {name: each.left for name, each in limits.items() if name.startswith(_TOKEN)}
        if not self._is_token_refused and max(refused.values(), default=0.0) <= 0:
            return
        name = self._token_name()
        left = refused.get(name, 0.0)
        if left > 0 and not self._is_token_refused:
            self._note_refusal(name, left)
        elif name == self._refused_token and name not in refused:
            self._note_acceptance()
        self._token_paused_until = time.monotonic() + left

    def on_token_refused(self) -> None:
        """Pause all work, loudly; no case fails, and the token is tried again."""
        seconds = self._current.base_pace.refused
        try:
            with self._token:
                if self._is_token_refused and time.monotonic() < self._refusal_told_until:
                    return  # another worker has just said so
                name = self._token_name()
                self._limits.set(name, seconds)
                self._note_refusal(name, seconds)
        except JournalUnavailable as error:
            self.on_journal_unavailable(error)

    def probe(self) -> None:
        """Ask whether the token is accepted, unless another host does so at this moment.

        Without an answer, all hosts with this token pause until one asks again.

        Raises:
            TokenRefused: when it is still refused.
            JournalUnavailable: when the database can't be used at the moment.
        """
        name = self._token_name()
        if not self._limits.take(name, self._current.base_pace.refused):
            return
        self._refusal_told_until = 0.0
        try:
            with self._current.transfers() as transfers:
                transfers.platform.me()
        except (Unreachable, CaseError, Refused):
            return
        with self._token:
            self._limits.remove(name)
            self._note_acceptance()

    def _note_refusal(self, name: str, seconds: float) -> None:
        now = time.monotonic()
        self._refused_token = name
        self._token_paused_until = self._refusal_told_until = now + seconds
        with self._lock:
            self._is_token_refused = True
            self._tell_pause()
        log.emit("platform.token_refused", seconds=round(seconds))

    def _note_acceptance(self) -> None:
        self._refused_token, self._token_paused_until = "", 0.0
        with self._lock:
            self._is_token_refused = False
            self._tell_pause()
        log.emit("platform.token_accepted")

    # --- within reach ----------------------------------------------------------------------------

    def on_event(self, case: Case, event: Event) -> None:
        """Given a case and what has just happened to it, log whether the platform is in reach."""
        with self._lock:  # many cases find it out at the same moment
            if isinstance(event, events.AttemptFailed) and event.reason.code in _OUT_OF_REACH:
                if not self._is_out_of_reach:
                    facts = event.reason.facts
                    error = facts.get("error") or facts.get("problem", "")
                    log.emit("platform.unreachable", error=error)
                self._is_out_of_reach = True
            elif _shows_reach(case, event):
                self._busy_since = None
                if self._is_out_of_reach:
                    log.emit("platform.reachable")
                self._is_out_of_reach = False


_OUT_OF_REACH = {"unreachable", "untrusted_certificate"}
"""Reasons of a platform from which no answer comes at all."""


def _shows_reach(case: Case, event: Event) -> bool:
    """Whether the platform must be within reach; a plain value is written without it."""
    if isinstance(event, events.OutputFetched):
        fetched = {file.output for file in event.files}
        return any(output.url for output in case.outputs or () if output.pk in fetched)
    return isinstance(event, _SEEN_WITHIN_REACH)
