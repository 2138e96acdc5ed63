"""How log lines are written, and what is removed from them first.

`emit("case.found", route="lobes", case="lobes-7f3k2q9d")` writes one line. No line names a patient
or holds a secret: see `_library_record`, `_error_as_type`, `_without_folder_name` and
`_without_secrets`.
"""

import contextlib
import json
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any, Protocol, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from gcwatch.core.clock import bounded_time
from gcwatch.core.errors import PASSING_ERRNOS, ConfigError, Problem
from gcwatch.log import journald
from gcwatch.log.events import CATALOGUE, COMMON_FIELDS
from gcwatch.log.redact import forget_secrets, hide_secrets, to_plain_json
from gcwatch.log.sentences import event_sentence

_NAME = "gcwatch"


# Libraries whose messages are constant templates. Other libraries put data into their messages
# (pydicom: header values), so only the place of such a message is logged.
_TEMPLATED = ("apscheduler", "urllib3", "watchdog")


class Settings(Protocol):
    """The settings that `configure` needs; `config.Log` has them."""

    @property
    def folder_names(self) -> bool:
        """Whether the folder name of a case may be logged."""

    @property
    def level(self) -> str:
        """The lowest level that is logged: debug, info or warning."""

    @property
    def file(self) -> Path | None:
        """File for JSON lines, besides the stream."""


@dataclass
class _State:
    """What `configure` sets and `reset_logging` undoes."""

    folder_names: bool = False
    host: str = ""
    handlers: tuple[logging.Handler, ...] = ()
    show_warning: Any = None


_state = _State()

# Not structlog.configure(): a program that imports gcwatch keeps its own configuration.
_logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
    logging.getLogger(_NAME),
    processors=[ProcessorFormatter.wrap_for_formatter],
    wrapper_class=structlog.stdlib.BoundLogger,
)
# A program that imports gcwatch and configures no log would get its warnings on standard error.
logging.getLogger(_NAME).addHandler(logging.NullHandler())


def emit(event: str, /, **facts: Any) -> None:
    """Given an event of the catalogue and its facts, write one line.

    An exception given as `error` becomes the name of its type, and `frames` if the event has them.

    Raises:
        KeyError: The catalogue has no such event.
        TypeError: The event has no such field.
    """
    spec = CATALOGUE[event]
    allowed = {*COMMON_FIELDS, *spec.fields, *(("folder",) if event.startswith("case.") else ())}
    if unknown := facts.keys() - allowed:
        raise TypeError(f"{event} has no field {', '.join(sorted(unknown))}")
    _logger.log(logging.getLevelNamesMapping()[spec.level.upper()], event, **facts)


def error_frames(error: BaseException) -> list[str]:
    """Return the call stack of an error, innermost last, as `module:function:line`: no values."""
    return list(_frames(error.__traceback__))


def configure(
    settings: Settings,
    *,
    stream: TextIO | None = None,
    tty: bool | None = None,
    journald_socket: Path = journald.SOCKET,
    host: str = "",
) -> None:
    """Given settings, start to log all events and the warnings of libraries.

    If the stream leads to journald, events are entries with fields instead of lines.

    Args:
        settings: The level, the file besides the stream, and whether folder names are written.
        stream: Where lines go; default: standard error.
        tty: Whether people read the stream (coloured lines) or programs (JSON lines); default:
            whether the stream is a terminal.
        journald_socket: Where journald listens.
        host: This host, which each line names if several write one history.

    Raises:
        ConfigError: The log file can't be opened.
    """
    _detach()
    stream = sys.stderr if stream is None else stream
    shown = _stream_handler(stream, tty=tty, journald_socket=journald_socket)
    _state.handlers = (shown, *_file_handlers(settings.file))
    _state.folder_names, _state.host = settings.folder_names, host
    for handler in _state.handlers:
        _attach(handler)
    logging.getLogger(_NAME).setLevel(settings.level.upper())
    hook: Any = _show_warning
    _state.show_warning, warnings.showwarning = warnings.showwarning, hook


def reconfigure(settings: Settings) -> None:
    """Given new settings, log as they say, to the same stream; without `configure` do nothing.

    Raises:
        ConfigError: The log file can't be opened; logging goes on as before.
    """
    if not _state.handlers:
        return
    shown, *former = _state.handlers
    # Opened before anything changes, so that an error leaves the log as it was.
    files = tuple(_file_handlers(settings.file))
    for handler in files:
        _attach(handler)
    _state.handlers = (shown, *files)
    _state.folder_names = settings.folder_names
    logging.getLogger(_NAME).setLevel(settings.level.upper())
    for handler in former:
        _drop(handler)


def reset_logging() -> None:
    """Undo `configure` and `hide_secret`: log nothing, and close all files."""
    _detach()
    logging.getLogger(_NAME).setLevel(logging.NOTSET)
    forget_secrets()
    _state.folder_names, _state.host = False, ""


# --- handlers ------------------------------------------------------------------------------------


class _Quiet(logging.Handler):
    """Loses a line if a disk is full or a pipe is closed; the work continues."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- logging's name
        """Print no record: the standard library would print its secrets, too."""
        if not isinstance(sys.exception(), OSError | ValueError):
            super().handleError(logging.makeLogRecord({"name": record.name, "msg": "a fault"}))


class _Stream(_Quiet, logging.StreamHandler[TextIO]):
    """Writes lines to a stream."""


class _Entries(_Stream):
    """Writes entries to journald, or lines to the stream if journald does not listen."""

    def __init__(self, stream: TextIO, journald_socket: Path) -> None:
        super().__init__(stream)
        self._socket = journald_socket

    def emit(self, record: logging.LogRecord) -> None:
        """Write an entry; lose it if journald takes none, as a line would block, too."""
        try:
            line = json.loads(self.format(record))
            fields = journald.entry_fields(line, event_sentence(line["event"], line))
            journald.send_entry(fields, self._socket)
        except TimeoutError:
            self.handleError(record)
        except OSError:
            super().emit(record)
        except Exception:  # noqa: BLE001 -- a logging handler must not raise
            self.handleError(record)


class _File(_Quiet, WatchedFileHandler):
    """Appends lines to a file that only its owner may read; opens it again after a rotation.

    If it can't be written, lines are lost, which the other log says once; each line tries again.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(file, delay=True)
        self._failed: logging.LogRecord | None = None
        self._is_told = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; the base class would let whoever logs it see what `_open` raises."""
        try:
            super().emit(record)
        except (OSError, ValueError):
            self.handleError(record)
        self._is_told &= self._failed is record

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- logging's name
        """Say it once, until a line is written again."""
        error = sys.exception()
        if isinstance(error, OSError) and not self._is_told:
            self._is_told = True
            emit("log.failed", error=error.strerror)
        self._failed = record  # only now: the line about it fails, too
        super().handleError(record)

    def close(self) -> None:
        """Close the file; lines that a full disk did not take are lost."""
        with contextlib.suppress(OSError):
            super().close()

    def open_now(self) -> None:
        """Open the file before the first line, to see whether that is possible."""
        self.stream = self._open()
        self._statstream()

    def _open(self) -> Any:
        # The open of the base class would let the umask decide who may read the file.
        # A pipe without a reader is refused; without O_NONBLOCK it would be waited for.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        return os.fdopen(os.open(self.baseFilename, flags, 0o600), "a", encoding="utf-8")


def _stream_handler(stream: TextIO, *, tty: bool | None, journald_socket: Path) -> logging.Handler:
    entries = journald.is_journald_stream(stream)
    handler = _Entries(stream, journald_socket) if entries else _Stream(stream)
    people = not entries and (stream.isatty() if tty is None else tty)
    handler.setFormatter(_formatter(people=people))
    return handler


def _file_handlers(file: Path | None) -> Iterator[logging.Handler]:
    if file is None:
        return
    handler = _File(file)
    try:
        handler.open_now()
    except OSError as error:
        if error.errno not in PASSING_ERRNOS:
            hint = "Make its folder, and give the user that runs gcwatch the right to write there."
            problem = Problem("log.file", f"can't be opened: {error.strerror}", hint)
            raise ConfigError(str(file), [problem]) from error
    handler.setFormatter(_formatter(people=False))
    yield handler


def _attach(handler: logging.Handler) -> None:
    handler.addFilter(_is_wanted)
    logging.getLogger().addHandler(handler)


def _drop(handler: logging.Handler) -> None:
    logging.getLogger().removeHandler(handler)
    handler.close()


def _detach() -> None:
    for handler in _state.handlers:
        _drop(handler)
    if _state.show_warning is not None:
        warnings.showwarning = _state.show_warning
    _state.handlers, _state.show_warning = (), None


def _is_wanted(record: logging.LogRecord) -> bool:
    """Return whether a record is an event of gcwatch, or a warning of a library."""
    return record.name == _NAME or record.levelno >= logging.WARNING


def _show_warning(
    _message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any
) -> None:
    """Log the kind and place of a Python warning; its text may hold data."""
    place = f"{category.__name__} at {PurePath(filename).name}:{lineno}"
    emit("library.message", logger="py.warnings", message=place)


# --- processors: from an event to a line -------------------------------------------


def _formatter(*, people: bool) -> ProcessorFormatter:
    return ProcessorFormatter(
        foreign_pre_chain=[_library_record],
        # Otherwise a library's arguments would already be part of the message.
        use_get_message=False,
        processors=[
            # It needs the record, which the next one removes.
            _common_fields_first,
            ProcessorFormatter.remove_processors_meta,
            _error_as_type,
            _without_folder_name,
            _as_plain_json,
            # Last, when all text has its final form.
            _without_secrets,
            *(_for_people() if people else [structlog.processors.JSONRenderer()]),
        ],
    )


def _for_people() -> list[Processor]:
    renderer = structlog.dev.ConsoleRenderer(
        colors="NO_COLOR" not in os.environ,
        timestamp_key="time",
        sort_keys=False,
        pad_level=False,
        pad_event_to=20,
    )
    return [_local_time, renderer]


def _local_time(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Show the local time."""
    moment = datetime.fromisoformat(event["time"]).astimezone()
    return {**event, "time": f"{moment:%H:%M:%S}"}


_PLACEHOLDER = re.compile(r"'?%[-#+0-9.]*[a-zA-Z]'?")
"""Where a library's message has an argument, perhaps in quotes."""


def _library_record(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Turn a library's record into an event, without its arguments: folder names and URLs."""
    record: logging.LogRecord = event["_record"]
    place = f"{record.module}:{record.lineno}"
    templated = record.name.partition(".")[0] in _TEMPLATED
    message = _PLACEHOLDER.sub("…", str(event["event"])) if templated else place
    said: dict[str, Any] = {"logger": record.name, "message": message}
    if record.exc_info:
        said["error"] = record.exc_info[1]
    kept = {key: event[key] for key in ("_record", "_from_structlog")}
    return {"event": "library.message", **said, **kept}


def _common_fields_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Put time, level, event, host, route and case first."""
    record: logging.LogRecord = event["_record"]
    created = datetime.fromtimestamp(bounded_time(record.created), UTC)
    moment = created.isoformat(timespec="milliseconds")
    first = {"time": moment.replace("+00:00", "Z"), "level": record.levelname.lower()}
    common = {key: event[key] for key in COMMON_FIELDS if key in event}
    host = {"host": _state.host} if _state.host else {}
    return {**first, "event": event["event"], **host, **common, **event}


def _error_as_type(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Reduce an exception to its type and its frames: its message may hold paths."""
    error = event.get("error")
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        if "frames" in CATALOGUE[event["event"]].fields:
            event.setdefault("frames", error_frames(error))
    return event


def _frames(trace: TracebackType | None) -> Iterator[str]:
    for frame, line in traceback.walk_tb(trace):
        module = frame.f_globals.get("__name__", "?")
        yield f"{module}:{frame.f_code.co_qualname}:{line}"


def _without_folder_name(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Remove the folder name unless the config allows it."""
    if not _state.folder_names:
        event.pop("folder", None)
    return event


def _as_plain_json(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep only JSON values of printable text."""
    return {key: to_plain_json(value) for key, value in event.items()}


def _without_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide every text that is, or looks like, a secret."""
    return {key: hide_secrets(value) for key, value in event.items()}
