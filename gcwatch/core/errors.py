"""All errors of gcwatch, as a tree; beside each, what helps.

    GcwatchError
    ├── Misused              ask for something else (exit 64)
    ├── ConfigError          correct the config file (exit 78)
    ├── StateError           correct the state directory (exit 78)
    │   └── JournalDamaged   restore the journal, or begin a new one (exit 65)
    ├── TokenRefused         replace the token; all work stops until then (exit 77)
    ├── Unreachable          wait for the platform (exit 69 if a command needs it)
    ├── Refused              the platform said no; the caller knows what that means
    ├── Stopped              the daemon stops; the next start continues
    ├── SourceChanged        the folder changed after it had settled: it settles again
    ├── SourceVanished       the folder is gone: the case ends
    ├── UploadsGone          the platform dropped the uploads: they are sent again
    └── CaseError            a problem with one case
        ├── TryAgain         try again later; the case fails when the reason's patience ends
        ├── NotYet           wait and try again; costs no attempt
        └── CannotSend       the case fails with this reason

Errors carry facts; `reasons` and `cli` turn them into sentences.
"""

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gcwatch.core.reasons import Reason, explain

PASSING_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
"""Errors of a disk that may pass: it is full or read-only, or does not answer."""


class GcwatchError(Exception):
    """Base class of all errors that gcwatch foresees; `hint` says what to do."""

    hint = ""


class Misused(GcwatchError):
    """The user asked for something that is not possible; `hint` says what is."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Problem:
    """One mistake in a config file: where it is, what is wrong, and what is right."""

    path: str
    message: str
    hint: str = ""
    line: int | None = None

    def __str__(self) -> str:
        """Return all of it on one line."""
        line = f"line {self.line}: " if self.line else ""
        where = f"{self.path} " if self.path else ""
        return "; ".join(filter(None, (f"{line}{where}{self.message}", self.hint)))


class ConfigError(GcwatchError):
    """The config file can't be used; `problems` are all mistakes in it."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        super().__init__("\n  ".join((f"{file} can't be used:", *map(str, problems))))
        self.file = file
        self.problems = tuple(problems)


class StateError(GcwatchError):
    """The state directory can't be used: locked, too new, or on a network file system."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class JournalDamaged(StateError):
    """The journal's file can't be read any more; only a person can decide what to do."""

    def __init__(self, journal: str, problem: str) -> None:
        super().__init__(
            f"The journal{journal and ' '}{journal} is damaged: {problem}.",
            "Restore a backup of the state directory: what was delivered since is found by its "
            "receipts. Without a backup, move the file away and take the folders whose job is "
            "still running out of the inboxes: gcwatch can't know them, and would send them again.",
        )


class JournalUnavailable(GcwatchError):
    """The journal can't be written or read at the moment: its disk is full, or it is locked.

    All work pauses, with the reason `pause`, and goes on when it can; `event` is logged.
    """

    pause = "disk_full"
    event = "journal.full"
    hint = "Make room on the disk of the state directory, or let gcwatch write there again."

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint or type(self).hint


class DatabaseAway(JournalUnavailable):
    """The database that holds the journal does not answer, or has no room."""

    pause = "database_away"
    event = "journal.away"
    hint = "Look after the database: gcwatch goes on by itself once it answers."


class JournalNewer(JournalUnavailable):
    """A newer gcwatch has upgraded the journal: this one does nothing until it is upgraded, too."""

    pause = "journal_newer"
    event = "journal.newer"
    hint = "Install the gcwatch of the other hosts here, too."


class TokenRefused(GcwatchError):
    """The platform does not accept the token, or a proxy removed it from the request."""

    hint = "Make a new token on the platform and write it into the token file."

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or type(self).hint


class Unreachable(GcwatchError):
    """The platform gave no usable answer; `doubt`: it may have acted on the call."""

    hint = "Check the network, the proxy and the platform's status page."

    def __init__(self, reason: Reason, *, doubt: bool = False) -> None:
        super().__init__(reason.code)
        self.reason = reason
        self.hint = explain(reason).hint or type(self).hint
        self.doubt = doubt

    def __str__(self) -> str:
        """Return the reason's code and what it means."""
        return _in_words(self.reason)


class Refused(GcwatchError):
    """The platform refused a call (a 4xx): `messages` are the sentences in its answer.

    `fields` are the keys in the answer: the parts of the request that the platform rejects.
    """

    def __init__(
        self, call: str, status: int, messages: Sequence[str], fields: Iterable[str] = ()
    ) -> None:
        super().__init__(f"{call}: {status}")
        self.call = call
        self.status = status
        self.messages = tuple(messages)
        self.fields = frozenset(fields)

    @property
    def reason(self) -> Reason:
        """Why a case does not go on after a refusal that nobody expected."""
        message = "; ".join(self.messages)[:500]
        facts = {"call": self.call, "status": self.status, "message": message}
        return Reason("unexpected", facts)

    def says(self, text: str) -> bool:
        """Whether one of the messages holds *text*."""
        return any(text in message for message in self.messages)


class Stopped(GcwatchError):
    """The daemon is stopping; running work continues at the next start."""


class LeaseLost(Stopped):
    """Another host works on this by now; here the work ends."""


class CaseError(GcwatchError):
    """A problem with one case; `reason` is in the catalogue."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.code)
        self.reason = reason
        self.hint = explain(reason).hint

    def __str__(self) -> str:
        """Return the reason's code and what it means."""
        return _in_words(self.reason)


class TryAgain(CaseError):
    """Try again after a pause that grows with each attempt."""


class NotYet(CaseError):
    """Try again after `wait` seconds; this costs no attempt."""

    def __init__(self, reason: Reason, wait: float) -> None:
        super().__init__(reason)
        self.wait = wait


class CannotSend(CaseError):
    """The case fails."""


class SourceChanged(GcwatchError):
    """The folder changed after it had settled."""


class SourceVanished(GcwatchError):
    """The folder is gone, although its inbox can be reached."""


class UploadsGone(GcwatchError):
    """The platform dropped the uploads before anything used them."""


def _in_words(reason: Reason) -> str:
    """Return a reason without names of files and folders: a traceback may end in a log."""
    words = explain(Reason(reason.code, reason.facts))
    return " ".join(filter(None, (f"{reason.code}: {words.plain}", words.detail, words.hint)))
