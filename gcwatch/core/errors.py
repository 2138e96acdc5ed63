"""What can go wrong, drawn as a tree by remedy.

    GcwatchError
    ├── Misused              ask for something else (exit 64)
    ├── ConfigError          mend the config file (exit 78)
    ├── StateError           mend the state directory (exit 78)
    ├── TokenRefused         mend the token; all work stops until then (exit 77)
    ├── Unreachable          wait for the platform (exit 69 where nothing else can be done)
    ├── Refused              the platform said no; the caller knows what the call meant
    ├── Stopped              the daemon stops; the next start goes on
    └── CaseError            something about one case
        ├── TryAgain         back off and repeat; gives up when the reason's patience ends
        ├── NotYet           not our turn; wait and repeat, at no cost
        ├── CannotSend       the case fails with this reason
        ├── SourceChanged    the folder is not as it was when it settled
        ├── SourceVanished   the folder is gone
        └── UploadsGone      the platform dropped the uploads; send again

Errors carry facts; `reasons` and `cli` make prose of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gcwatch.core.reasons import Reason


class GcwatchError(Exception):
    """Any trouble that gcwatch knows by name; `hint` says what to do."""

    hint = ""


class Misused(GcwatchError):
    """What was asked for can't be done; `hint` says what can."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a config file: where, what, and what would be right."""

    path: str
    message: str
    hint: str = ""
    line: int | None = None

    def __str__(self) -> str:
        """All of it on one line."""
        line = f"line {self.line}: " if self.line else ""
        where = f"{self.path} " if self.path else ""
        return "; ".join(filter(None, (f"{line}{where}{self.message}", self.hint)))


class ConfigError(GcwatchError):
    """The config file can't be used; `problems` are all of them."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        super().__init__(f"{file}: {len(problems)} problem(s)")
        self.file = file
        self.problems = tuple(problems)


class StateError(GcwatchError):
    """The state directory can't be used: locked, too new, or on a network file system."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class JournalUnavailable(GcwatchError):
    """The journal can't be written or read at the moment: its disk is full, or it is locked.

    All work pauses and goes on when it can.
    """


class TokenRefused(GcwatchError):
    """The platform does not know the token, or the header was lost on the way."""

    hint = "Make a new token on the platform and write it into the token file."

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unreachable(GcwatchError):
    """No answer, or no sensible one; `doubt` if the platform may have acted all the same."""

    hint = "Check the network, the proxy and the platform's status page."

    def __init__(self, reason: Reason, *, doubt: bool = False) -> None:
        super().__init__(reason.code)
        self.reason = reason
        self.doubt = doubt


class Refused(GcwatchError):
    """The platform said no (a 4xx): `messages` are the sentences of its answer's body.

    `fields` are the keys of that body: what of the request it found fault with.
    """

    def __init__(
        self, call: str, status: int, messages: Sequence[str], fields: Iterable[str] = ()
    ) -> None:
        super().__init__(f"{call}: {status}")
        self.call = call
        self.status = status
        self.messages = tuple(messages)
        self.fields = frozenset(fields)

    def says(self, text: str) -> bool:
        """Whether *text* stands in one of the messages."""
        return any(text in message for message in self.messages)


class Stopped(GcwatchError):
    """The daemon is stopping; what was under way goes on at the next start."""


class CaseError(GcwatchError):
    """Trouble with one case, for a reason of the catalogue."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.code)
        self.reason = reason


class TryAgain(CaseError):
    """Back off and repeat."""


class NotYet(CaseError):
    """Not our turn: repeat after `wait` seconds."""

    def __init__(self, reason: Reason, wait: float) -> None:
        super().__init__(reason)
        self.wait = wait


class CannotSend(CaseError):
    """The case fails for good."""


class SourceChanged(GcwatchError):
    """The folder is not as it was when it settled."""


class SourceVanished(GcwatchError):
    """The folder is gone, from an inbox that is there."""


class UploadsGone(GcwatchError):
    """The platform dropped the uploads before anything used them."""
