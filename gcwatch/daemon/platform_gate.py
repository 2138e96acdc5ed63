"""Whether work may begin: a refused token and a full disk pause all of it.

It also logs once that the platform is out of reach, and once that it is back.
"""

import threading
import time
from typing import Final

from gcwatch import log
from gcwatch.core import events
from gcwatch.core.case import Case
from gcwatch.core.errors import CaseError, Refused, Unreachable
from gcwatch.core.events import Event
from gcwatch.daemon.current_config import CurrentConfig
from gcwatch.journal.presence import LockFile

DISK_PAUSE_SECONDS: Final = 60.0
DATABASE_PAUSE_SECONDS: Final = 5.0

_SEEN_WITHIN_REACH: Final = (
    events.UploadStarted,
    events.UploadCompleted,
    events.Submitted,
    events.StillRunning,
    events.Succeeded,
)
"""Events that only a platform within reach can bring."""


class PlatformGate:
    """Pauses all work while the token is refused or the journal's disk is full.

    Args:
        current: The settings and connections of the moment.
        lock_file: Where the reason of a pause is written for `gcwatch status`.
    """

    def __init__(self, current: CurrentConfig, lock_file: LockFile) -> None:
        self._current = current
        self._lock_file = lock_file
        self._lock = threading.Lock()
        self._paused_until = 0.0  # on the monotonic clock
        self._journal_pause = "database_away" if current.settings.journal else "disk_full"
        self._is_token_refused = self._is_journal_away = False
        self._is_out_of_reach = False

    @property
    def is_paused(self) -> bool:
        """Whether no work may begin at this moment."""
        return time.monotonic() < self._paused_until

    @property
    def is_token_refused(self) -> bool:
        """Whether the platform has refused the token, and not accepted it since."""
        return self._is_token_refused

    @property
    def pause(self) -> str:
        """The code of the reason for which all work is paused, or "" if it is not."""
        if self._is_token_refused:
            return "token_refused"
        return self._journal_pause if self._is_journal_away else ""

    def end_pause(self) -> None:
        """Work may begin: other connections, or another token, are to be tried at once."""
        self._paused_until = 0.0

    def _pause(self, seconds: float) -> None:
        self._paused_until = time.monotonic() + seconds

    def on_journal_unavailable(self, error: Exception) -> None:
        """Pause: the journal can't be written."""
        with self._lock:
            if not self._is_journal_away:  # many workers find it out, again and again
                log.emit(_UNAVAILABLE[self._journal_pause], error=str(error))
            self._is_journal_away = True
            self._tell_pause()
        is_shared = self._journal_pause == "database_away"
        longest = DATABASE_PAUSE_SECONDS if is_shared else DISK_PAUSE_SECONDS
        self._pause(min(longest, self._current.base_pace.survey) if is_shared else longest)

    def on_journal_available(self) -> None:
        """After a pause: the journal can be used again."""
        if self._is_journal_away:
            with self._lock:
                self._is_journal_away = False
                self._tell_pause()
            log.emit("journal.returned")

    def _tell_pause(self) -> None:
        """Let `gcwatch status` in another process know."""
        self._lock_file.write_pause(self.pause)

    # --- a refused token -------------------------------------------------------------------------

    def on_token_refused(self) -> None:
        """Pause all work, loudly; no case fails, and the token is tried again."""
        seconds = self._current.base_pace.refused
        with self._lock:
            if self._is_token_refused and self.is_paused:
                return  # another worker has just said so
            self._is_token_refused = True
            self._tell_pause()
            log.emit("platform.token_refused", seconds=round(seconds))
            self._pause(seconds)

    def probe(self) -> None:
        """Ask whether the token is accepted; without an answer, pause until the next probe.

        Raises:
            TokenRefused: when it is still refused.
        """
        try:
            with self._current.transfers() as transfers:
                transfers.platform.me()
        except (Unreachable, CaseError, Refused):
            self._pause(self._current.base_pace.refused)
            return
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
            elif self._is_out_of_reach and _shows_reach(case, event):
                self._is_out_of_reach = False
                log.emit("platform.reachable")


_UNAVAILABLE: Final = {"database_away": "journal.away", "disk_full": "journal.full"}
"""What is logged of each."""

_OUT_OF_REACH = {"unreachable", "untrusted_certificate"}
"""Reasons of a platform from which no answer comes at all."""


def _shows_reach(case: Case, event: Event) -> bool:
    """Whether the platform must be within reach; a plain value is written without it."""
    if isinstance(event, events.OutputFetched):
        fetched = {file.output for file in event.files}
        return any(output.url for output in case.outputs or () if output.pk in fetched)
    return isinstance(event, _SEEN_WITHIN_REACH)
