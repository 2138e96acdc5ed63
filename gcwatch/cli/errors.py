"""Errors as sentences for people and as exit codes."""

from collections.abc import Iterator
from enum import IntEnum

from gcwatch.core import reasons
from gcwatch.core.errors import (
    CaseError,
    ConfigError,
    GcwatchError,
    JournalDamaged,
    JournalUnavailable,
    Misused,
    Problem,
    Refused,
    StateError,
    TokenRefused,
    Unreachable,
)
from gcwatch.core.text import count_noun

__all__ = ["Exit", "ExitExactly", "Misused", "explain"]


class Exit(IntEnum):
    """Exit codes of commands; the numbers from 64 are those of sysexits.h."""

    DONE = 0
    WRONG = 1
    SOME_FAILED = 3
    USAGE = 64
    DAMAGED = 65
    UNREACHABLE = 69
    IO = 74
    WAITING = 75
    TOKEN = 77
    CONFIG = 78
    INTERRUPTED = 130


class ExitExactly(SystemExit):
    """Ends the process with this code, also with 2, by which Typer means wrong use."""


def explain(error: GcwatchError | OSError) -> tuple[str, int]:
    """Given an error, return the text for people, hints included, and the exit code."""
    match error:
        case ConfigError():
            return "\n".join(_problems(error)), Exit.CONFIG
        case StateError():
            code = Exit.DAMAGED if isinstance(error, JournalDamaged) else Exit.CONFIG
            return _with_hint(str(error), error.hint), code
        case TokenRefused():
            said = f" ({error.message})" if error.message else ""
            return _with_hint(f"The token is not accepted{said}.", error.hint), Exit.TOKEN
        case Unreachable():
            words = reasons.explain(error.reason)
            return _with_hint(f"{words.plain} {words.detail}", error.hint), Exit.UNREACHABLE
        case Refused():
            said = "; ".join(error.messages)
            return f"{error.call} was answered {error.status}: {said}", Exit.UNREACHABLE
        case CaseError():
            words = reasons.explain(error.reason)
            return _with_hint(f"{words.plain} {words.detail}", words.hint), Exit.WAITING
        case Misused():
            return _with_hint(str(error), error.hint), Exit.USAGE
        case JournalUnavailable():
            return _with_hint(f"The journal can't be used: {error}.", error.hint), Exit.IO
        case OSError():
            place = f"{error.filename}: " if error.filename else ""
            return f"{place}{error.strerror or error}", Exit.IO
        case _:
            return _with_hint(str(error) or type(error).__name__, error.hint), Exit.WRONG


def _with_hint(text: str, hint: str) -> str:
    return f"{text}\n  {hint}" if hint else text


def _problems(error: ConfigError) -> Iterator[str]:
    yield f"{error.file} can't be used: {count_noun(len(error.problems), 'problem')}."
    for problem in error.problems:
        yield _with_hint(f"  {_place(problem)}{problem.message}", f"  {problem.hint}".rstrip())


def _place(problem: Problem) -> str:
    line = f"line {problem.line}: " if problem.line else ""
    return f"{line}{problem.path} " if problem.path else line
