"""The event catalogue, and how lines are written.

One line an event: `emit("case.found", route="lobes", case="lobes-7f3k2q9d")`. The catalogue below
is all that gcwatch ever says; `make docs` writes it to docs/events.md. Nothing is
written that could name a patient or open a door: `_foreign`, `_trouble`, `_anonymous`, `_redact`.
"""

import json
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from logging.handlers import WatchedFileHandler
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any, Protocol, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from gcwatch import journald
from gcwatch.errors import ConfigError, Problem


@dataclass(frozen=True)
class Spec:
    """One event: its level, what it means in a sentence, and the fields that it may carry."""

    level: str
    meaning: str
    fields: tuple[str, ...] = ()


def _debug(meaning: str, *fields: str) -> Spec:
    return Spec("debug", meaning, fields)


def _info(meaning: str, *fields: str) -> Spec:
    return Spec("info", meaning, fields)


def _warning(meaning: str, *fields: str) -> Spec:
    return Spec("warning", meaning, fields)


def _error(meaning: str, *fields: str) -> Spec:
    return Spec("error", meaning, fields)


_ITEM = ("display_set", "archive_item")
_SUBMISSION = ("job", *_ITEM)

CATALOGUE: Mapping[str, Spec] = {
    # --- the daemon and what carries it ----------------------------------------------------------
    "daemon.started": _info("The daemon works from now on.", "version", "routes", "pid"),
    "daemon.stopping": _info("A signal asked for the end; running steps are let out.", "signal"),
    "daemon.cut_short": _warning(
        "What was under way at a stop took too long and is cut; the next start goes on from there.",
        "seconds",
    ),
    "daemon.stopped": _info("Everything is put down; the next start goes on from here."),
    "config.loaded": _info("The config file was read and holds no mistake.", "file", "routes"),
    "config.reloaded": _info(
        "The config file was read anew and is followed from now on; nothing under way was cut off.",
        *("file", "added", "changed", "removed", "tables"),
    ),
    "config.refused": _error(
        "The config file was read anew and is refused; the one before is followed. Mend it, and"
        " reload again.",
        *("file", "problems"),
    ),
    "route.renamed": _info("A route has another name; its cases go on under it.", "old"),
    "journal.upgraded": _info("The journal was brought to a newer schema.", "old", "new"),
    "journal.full": _error("The journal can't be written; nothing new is begun.", "error"),
    "scheduler.job_failed": _error("A scheduled task ended in an error.", "job", "error", "frames"),
    "scheduler.job_missed": _warning("A scheduled task did not run at its time.", "job"),
    "watchdog.silent": _error(
        "Something hangs or is dead: systemd gets no sign of life until it goes on.",
        *("who", "seconds"),
    ),
    # --- watching --------------------------------------------------------------------------------
    "watch.started": _info("New folders are noticed at once.", "folders"),
    "watch.overflowed": _warning(
        "Too much changed at once; the next survey finds what was missed."
    ),
    "watch.failed": _warning(
        "Changes are not noticed at once; the survey still finds them.", "error"
    ),
    "inbox.away": _warning("An inbox is missing, empty or unreadable; its cases wait.", "error"),
    "inbox.returned": _info("An inbox that was away is back."),
    "inbox.on_network_file_system": _warning(
        "An inbox lies on a network file system; new folders are found by the survey only.",
        "file_system",
    ),
    "inbox.loose_files_ignored": _info(
        "Files lie beside the folders of an inbox; only folders are cases.", "files"
    ),
    "inbox.folders_ignored": _info(
        "Folders stand in an inbox whose files are the cases; they are left alone.", "folders"
    ),
    "report.failed": _warning(
        "A route's report can't be written, or another file stands in its place.", "error"
    ),
    "report.returned": _info("A route's report is kept up to date again."),
    "inbox.links_ignored": _warning("Symbolic links of an inbox are not followed.", "links"),
    # --- the platform ----------------------------------------------------------------------------
    "platform.token_refused": _error(
        "The platform refused the token; all work pauses and is tried again.", "seconds"
    ),
    "platform.token_accepted": _info("The platform accepts the token again; work goes on."),
    "platform.unreachable": _warning("The platform can't be reached; it is tried again.", "error"),
    "platform.reachable": _info("The platform can be reached again."),
    "platform.unknown_status": _warning(
        "The platform named a status that gcwatch does not know; it counts as running.", "status"
    ),
    # --- a case on its way -----------------------------------------------------------------------
    "case.found": _info("A new folder stands in an inbox."),
    "case.changed": _info("The folder changed; it has to settle (again).", "files", "bytes"),
    "case.settled": _info(
        "The folder is complete; it was watched for so many seconds.", "files", "bytes", "seconds"
    ),
    "case.vanished": _warning("The folder was taken away before everything was sent."),
    "case.planned": _info(
        "The folder's files are matched to the target's inputs.", "inputs", "why"
    ),
    "upload.begun": _info(
        "An upload begins; files that the input does not ask for are left out.",
        *("socket", "upload", "bytes", "files", "left_out"),
    ),
    "upload.resumed": _info(
        "An upload goes on after a cut; the platform has all but the missing parts.",
        "upload",
    ),
    "upload.completed": _info(
        "The platform has every byte of an upload.", "socket", "upload", "bytes", "seconds"
    ),
    "upload.files_completed": _info(
        "The platform has every byte of some files of a DICOM image set.",
        *("socket", "files", "bytes"),
    ),
    "uploads.expired": _warning("The platform dropped the uploads unused; they are sent again."),
    "session.prepared": _info("The platform is ready to read an image.", "socket", "session"),
    "case.submitting": _info("The job, display set or archive item is about to be asked for."),
    "case.submitted": _info("The job, display set or archive item exists.", *_SUBMISSION, "url"),
    "case.filled": _info("The platform took what the item is to hold, and imports it.", *_ITEM),
    "case.warned": _warning(
        "Something is odd about what was sent; the case goes on.", "reason", "plain", "detail"
    ),
    "import.status_changed": _info("The import's status is another.", *_ITEM, "status"),
    "import.stalled": _warning(
        "The import takes longer than can be right; it is still watched.",
        *(*_ITEM, "status", "hours"),
    ),
    "import.succeeded": _info("Everything is attached.", *_ITEM, "images", "seconds"),
    "job.status_changed": _info("The job's status is another than before.", "job", "status"),
    "job.stalled": _warning(
        "The job takes longer than can be right; it is still watched.", "job", "status", "hours"
    ),
    "job.succeeded": _info("The job is done and holds results.", "job", "outputs", "seconds"),
    "output.fetched": _info("One output is here, whole and checked.", "output", "files", "bytes"),
    "case.delivered": _info(
        "The results stand in the outbox; the source was kept, moved or deleted, or has changed.",
        *("files", "bytes", "seconds", "source"),
    ),
    # --- a case that does not move ---------------------------------------------------------------
    "case.failed": _error("The case is given up for this reason.", "reason", "plain", "detail"),
    "case.explained": _info("The failure's explanation stands in the outbox."),
    "case.faltered": _warning(
        "A step did not work out; it is tried again, later each time.",
        *("step", "attempt", "reason", "plain", "detail"),
    ),
    "case.postponed": _info(
        "It is not this case's turn for so many seconds; this costs no attempt.",
        *("step", "reason", "plain", "detail", "seconds"),
    ),
    "case.orphaned": _warning(
        "The config has no such route any more; the case rests as it is until the route is back."
    ),
    "case.retried": _info("The operator wants the case tried again."),
    "case.withdrawn": _info("The operator took the case back."),
    "case.changed_late": _warning("The folder changed after it was sent; nothing is sent again."),
    "case.left": _debug("The folder of a closed case is no longer in the inbox."),
    "case.returned": _debug("The folder of a closed case is back as it was."),
    "step.crashed": _error("A fault in gcwatch stopped a step.", "step", "error", "frames"),
    # --- mirrors ---------------------------------------------------------------------------------
    "mirror.started": _info(
        "The archive was listed, and is compared with what is held of it.",
        *("mirror", "items", "held", "new", "changed"),
    ),
    "mirror.listing_empty": _warning(
        "The archive lists no item though some are held; nothing held is touched.",
        *("mirror", "held"),
    ),
    "mirror.item_fetched": _info(
        "An item stands in the mirror.", "mirror", "item", "files", "bytes", "seconds"
    ),
    "mirror.item_changed": _info(
        "An item was brought to what the archive has of it now.",
        *("mirror", "item", "files", "bytes", "seconds"),
    ),
    "mirror.item_gone": _warning(
        "An item left the archive; here it is kept, or moved away.", "mirror", "item", "gone"
    ),
    "mirror.item_returned": _info("An item that had left the archive is back.", "mirror", "item"),
    "mirror.item_failed": _warning(
        "An item can't be had for now; the next run tries again.",
        *("mirror", "item", "reason", "plain", "detail"),
    ),
    "mirror.finished": _info(
        "The mirror's run has come to its end.",
        *("mirror", "items", "fetched", "changed", "unchanged", "gone", "failed"),
        *("bytes", "seconds"),
    ),
    "mirror.failed": _warning(
        "A mirror's run did not work out; it is tried again after so many seconds.",
        *("mirror", "reason", "plain", "detail", "seconds"),
    ),
    # --- everything else -------------------------------------------------------------------------
    "library.message": _warning(
        "A library says something; the message never holds its arguments.",
        *("logger", "message", "error", "frames"),
    ),
}

_COMMON = ("route", "case")
_NAME = "gcwatch"
_HIDDEN = "[hidden]"

# What may be a secret: the platform's tokens are 64 hex digits, presigned URLs sign their queries.
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)(authorization['\"]?\s*[:=]\s*['\"]?)(?:\w+\s+)?[^\s'\",}]+"), r"\1[hidden]"),
    (re.compile(r"(?i)\b(bearer\s+)[^\s'\",}]+"), r"\1[hidden]"),
    (re.compile(r"(?i)\b(x-amz-[a-z-]+|signature|awsaccesskeyid)=[^&\s'\"]+"), r"\1=[hidden]"),
    (re.compile(r"(\bhttps?://[^\s?'\"]+|(?<!\S)/[^\s?'\"]*)\?[^\s'\"]+"), r"\1?[hidden]"),
    (re.compile(r"(://)[^/\s@]+@"), r"\1[hidden]@"),
    (re.compile(r"\b[0-9a-fA-F]{64}\b"), _HIDDEN),
)

# Libraries whose messages are constant templates. Others build theirs with f-strings (pydicom puts
# what it reads in a header into them), so of those only the place is told.
_TEMPLATED = ("apscheduler", "urllib3", "watchdog")


class Settings(Protocol):
    """What `configure` wants to know; `config.Log` has it."""

    @property
    def folder_names(self) -> bool:
        """Whether the `folder` of a case may be written."""

    @property
    def level(self) -> str:
        """The lowest level that is written: debug, info or warning."""

    @property
    def file(self) -> Path | None:
        """Where JSON lines go besides the stream."""


@dataclass
class _State:
    """What `configure` and `hide` set, for `reset` to undo."""

    secrets: tuple[str, ...] = ()
    folder_names: bool = False
    handlers: tuple[logging.Handler, ...] = ()
    show_warning: Any = None


_state = _State()

# Wrapped by hand: a program that only imports gcwatch keeps its own structlog configuration.
_logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
    logging.getLogger(_NAME),
    processors=[ProcessorFormatter.wrap_for_formatter],
    wrapper_class=structlog.stdlib.BoundLogger,
)
logging.getLogger(_NAME).addHandler(logging.NullHandler())


def emit(event: str, /, **facts: Any) -> None:
    """Given an event of the catalogue and its facts, write one line.

    An exception as the fact `error` becomes its type's name, and `frames` where the event has them.

    Raises:
        KeyError: The catalogue has no such event.
        TypeError: The event has no such field.
    """
    spec = CATALOGUE[event]
    allowed = {*_COMMON, *spec.fields, *(("folder",) if event.startswith("case.") else ())}
    if unknown := facts.keys() - allowed:
        raise TypeError(f"{event} has no field {', '.join(sorted(unknown))}")
    _logger.log(logging.getLevelNamesMapping()[spec.level.upper()], event, **facts)


def hide(secret: str) -> None:
    """Given a secret, never write it from now on."""
    if secret.strip():
        known = {*_state.secrets, secret}
        _state.secrets = tuple(sorted(known, key=len, reverse=True))


def frames(error: BaseException) -> list[str]:
    """Return where an error came by, innermost last, as `module:function:line`: no values."""
    return list(_frames(error.__traceback__))


def configure(
    settings: Settings,
    *,
    stream: TextIO | None = None,
    tty: bool | None = None,
    journal: Path = journald.SOCKET,
) -> None:
    """Given settings, write all events, and what libraries log, as lines.

    A stream that leads into systemd's journal gets entries with fields in its place.

    Args:
        settings: The level, the file besides the stream, and whether folder names are written.
        stream: Where lines go; standard error unless given.
        tty: Whether people read the stream (coloured lines) or programs (JSON lines); asked of
            the stream unless given.
        journal: Where the journal listens.

    Raises:
        ConfigError: The log file can't be opened.
    """
    _detach()
    stream = sys.stderr if stream is None else stream
    shown = _shown(stream, tty=tty, journal=journal)
    _state.handlers = (shown, *_file_handlers(settings.file))
    _state.folder_names = settings.folder_names
    for handler in _state.handlers:
        _attach(handler)
    logging.getLogger(_NAME).setLevel(settings.level.upper())
    hook: Any = _show_warning
    _state.show_warning, warnings.showwarning = warnings.showwarning, hook


def reconfigure(settings: Settings) -> None:
    """Given other settings, write as they say, to the same stream; nothing if nothing is written.

    Raises:
        ConfigError: The log file can't be opened; everything is written as before.
    """
    if not _state.handlers:
        return
    shown, *former = _state.handlers
    files = tuple(_file_handlers(settings.file))
    for handler in files:
        _attach(handler)
    _state.handlers = (shown, *files)
    _state.folder_names = settings.folder_names
    logging.getLogger(_NAME).setLevel(settings.level.upper())
    for handler in former:
        _drop(handler)


def reset() -> None:
    """Undo `configure` and `hide`: nothing is written, nothing is kept open."""
    _detach()
    logging.getLogger(_NAME).setLevel(logging.NOTSET)
    _state.secrets = ()
    _state.folder_names = False


def reference() -> str:
    """Return the catalogue as docs/events.md."""
    return "\n".join([_INTRODUCTION, *_tables()]) + "\n"


# --- handlers ------------------------------------------------------------------------------------


class _Quiet(logging.Handler):
    """Loses a line rather than the work when a disk is full or a pipe is closed."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- logging's name
        """Say nothing: the standard library would print the record, secrets and all."""
        if not isinstance(sys.exception(), OSError | ValueError):
            super().handleError(logging.makeLogRecord({"name": record.name, "msg": "a fault"}))


class _Stream(_Quiet, logging.StreamHandler[TextIO]):
    """Lines to a stream."""


class _Entries(_Stream):
    """Entries to systemd's journal; lines to the stream where no journal listens."""

    def __init__(self, stream: TextIO, journal: Path) -> None:
        super().__init__(stream)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        """Lose the entry if the journal is full: a line to its stream would wait for it, too."""
        try:
            line = json.loads(self.format(record))
            fields = journald.entry(line, CATALOGUE[line["event"]].meaning)
            journald.send(fields, self._journal)
        except TimeoutError:
            self.handleError(record)
        except OSError:
            super().emit(record)
        except Exception:  # noqa: BLE001 -- logging's own contract: a handler never raises
            self.handleError(record)


class _File(_Quiet, WatchedFileHandler):
    """Lines appended to a file that only its owner may read; opened anew once it was rotated."""

    def _open(self) -> Any:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        return os.fdopen(os.open(self.baseFilename, flags, 0o600), "a", encoding="utf-8")


def _shown(stream: TextIO, *, tty: bool | None, journal: Path) -> logging.Handler:
    entries = journald.is_output(stream)
    handler = _Entries(stream, journal) if entries else _Stream(stream)
    people = not entries and (stream.isatty() if tty is None else tty)
    handler.setFormatter(_formatter(people=people))
    return handler


def _file_handlers(file: Path | None) -> Iterator[logging.Handler]:
    if file is None:
        return
    try:
        handler = _File(file)
    except OSError as error:
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
    """Say yes to gcwatch's own events, and to what libraries find worth a warning."""
    return record.name == _NAME or record.levelno >= logging.WARNING


def _show_warning(
    _message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any
) -> None:
    """Tell a Python warning's kind and place; its text may quote what was read."""
    place = f"{category.__name__} at {PurePath(filename).name}:{lineno}"
    emit("library.message", logger="py.warnings", message=place)


# --- processors: from what was said to what is written -------------------------------------------


def _formatter(*, people: bool) -> ProcessorFormatter:
    return ProcessorFormatter(
        foreign_pre_chain=[_foreign],
        use_get_message=False,
        processors=[
            _stamp,
            ProcessorFormatter.remove_processors_meta,
            _trouble,
            _anonymous,
            _plain,
            _redact,
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
    return [_ease, renderer]


def _ease(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Show the time of the wall clock."""
    moment = datetime.fromisoformat(event["time"]).astimezone()
    return {**event, "time": f"{moment:%H:%M:%S}"}


def _foreign(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Make an event of a library's record; its arguments name folders and URLs, so they go."""
    record: logging.LogRecord = event["_record"]
    place = f"{record.module}:{record.lineno}"
    templated = record.name.partition(".")[0] in _TEMPLATED
    said = {"logger": record.name, "message": event["event"] if templated else place}
    if record.exc_info:
        said["error"] = record.exc_info[1]
    kept = {key: event[key] for key in ("_record", "_from_structlog")}
    return {"event": "library.message", **said, **kept}


def _stamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Put time, level, event, route and case first."""
    record: logging.LogRecord = event["_record"]
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    first = {"time": moment.replace("+00:00", "Z"), "level": record.levelname.lower()}
    order = ("event", *_COMMON)
    return {**first, **{key: event[key] for key in order if key in event}, **event}


def _trouble(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Reduce an exception to its type and its frames: messages carry paths, locals carry all."""
    error = event.get("error")
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        if "frames" in CATALOGUE[event["event"]].fields:
            event.setdefault("frames", frames(error))
    return event


def _frames(trace: TracebackType | None) -> Iterator[str]:
    for frame, line in traceback.walk_tb(trace):
        module = frame.f_globals.get("__name__", "?")
        yield f"{module}:{frame.f_code.co_qualname}:{line}"


def _anonymous(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drop the folder's name unless the config wants it."""
    if not _state.folder_names:
        event.pop("folder", None)
    return event


def _plain(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Leave nothing but JSON values of printable text."""
    return {key: _as_json(value) for key, value in event.items()}


def _as_json(value: Any) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case str() | PurePath():
            return _printable(str(value))
        case Mapping():
            return {_printable(str(key)): _as_json(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_as_json(item) for item in value]
        case _:
            return type(value).__name__


def _printable(text: str) -> str:
    """Escape what terminals obey and what UTF-8 can't hold."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide whatever is, or looks like, a secret."""
    return {key: _hidden(value) for key, value in event.items()}


def _hidden(value: Any) -> Any:
    match value:
        case str():
            return _hidden_text(value)
        case dict():
            return {_hidden_text(key): _hidden(item) for key, item in value.items()}
        case list():
            return [_hidden(item) for item in value]
        case _:
            return value


def _hidden_text(text: str) -> str:
    for secret in _state.secrets:
        text = text.replace(secret, _HIDDEN)
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


# --- docs/events.md ------------------------------------------------------------------------------

_INTRODUCTION = """# Events

<!-- Generated from gcwatch/log.py: `make docs`. -->

One line an event: JSON on a pipe and in `[log] file`; coloured on a terminal.
Every line has `time` (ISO 8601, UTC), `level` and `event`, then `route` and `case` (the key) where
it is about one. With `[log] folder_names = true`, `case.*` events also have `folder`.
In systemd's journal an event is an entry: `MESSAGE` says it in a sentence, `PRIORITY` is its level
(error 3, warning 4, info 6, debug 7), `MESSAGE_ID` is its kind as below, and each field has a name
like `GCWATCH_EVENT`, `GCWATCH_CASE` or `GCWATCH_BYTES`; a list has a line for each of its values.
`bytes` are sizes, `seconds` and `hours` durations; `reason` is a code, said in words for a nurse in
`plain` and for an engineer in `detail`.
An `error` is the name of its type; `frames` are `module:function:line`, without any values."""

_HEAD = "| event | level | meaning | fields | MESSAGE_ID |\n|---|---|---|---|---|"


def _tables() -> Iterator[str]:
    grouped = sorted(CATALOGUE.items(), key=lambda item: item[0].partition(".")[0])
    for group, events in groupby(grouped, key=lambda item: item[0].partition(".")[0]):
        yield f"\n## {group}\n\n{_HEAD}"
        for name, spec in events:
            fields = ", ".join(f"`{field}`" for field in spec.fields)
            kind = journald.message_id(name)
            yield f"| `{name}` | {spec.level} | {spec.meaning} | {fields} | `{kind}` |"
