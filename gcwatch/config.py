"""A TOML file becomes `Settings`, or every problem at once.

The models are the single source: their docstrings are the reference (`python -m gcwatch.config`
prints docs/configuration.md) and the editors' JSON Schema. Whoever sees a problem raises it as
`_wrong(message, hint)`; `load` gathers all of them and finds the line of each.
"""

import difflib
import ipaddress
import json
import os
import re
import stat
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import platformdirs
from apscheduler.triggers.cron import CronTrigger
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from gcwatch.errors import ConfigError, Problem

_Loc = tuple[str | int, ...]


def _wrong(message: str, hint: str) -> PydanticCustomError:
    # Braces would be read as a template; what users wrote may hold some.
    return PydanticCustomError("wrong", "{message}", {"message": message, "hint": hint})


# --- values: durations, schedules, paths, names ---------------------------------------------------

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = "^(?=[0-9])" + "".join(f"(?:([0-9]{{1,6}}){unit})?" for unit in _UNITS) + "$"
_DURATION_HINT = 'write it with units, as a string: "30s", "5m", "1h30m", "250ms"'
_POLL_HINT = 'write a duration ("60s") or a cron expression ("0 7 * * mon-fri")'


def _seconds(value: Any, info: ValidationInfo) -> float:
    """Given "1h30m", return 5400.0; a number is seconds in Python, but says no unit in a file."""
    if isinstance(value, str) and (found := re.fullmatch(_DURATION, value)):
        return sum(
            int(n or 0) * unit for n, unit in zip(found.groups(), _UNITS.values(), strict=True)
        )
    if isinstance(value, int | float) and info.context is None:
        return float(value)
    raise _wrong("must be a duration", _DURATION_HINT)


@dataclass(frozen=True)
class Every:
    """Again and again, `seconds` apart."""

    seconds: float

    def after(self, now: float) -> float:
        """Given a time (seconds since the epoch), return the next time after it."""
        return now + self.seconds


@dataclass(frozen=True)
class Cron:
    """When a five-field cron expression says so, on the clock of this machine.

    Raises:
        ValueError: The expression is none, or names a time that never comes.
    """

    expression: str

    def __post_init__(self) -> None:
        self.after(datetime.now().astimezone().timestamp())

    def after(self, now: float) -> float:
        """Given a time (seconds since the epoch), return the next time after it."""
        trigger = _trigger(self.expression)
        # The trigger counts the present as the next time.
        later = datetime.fromtimestamp(now, trigger.timezone) + timedelta(microseconds=1)
        moment = trigger.get_next_fire_time(None, later)
        if moment is None:
            raise ValueError("this time never comes")
        return float(moment.timestamp())


@lru_cache
def _trigger(expression: str) -> CronTrigger:
    if re.search("[0-9]", expression.rpartition(" ")[2]):
        raise ValueError("write days of the week as names (mon-fri): crons number them differently")
    return CronTrigger.from_crontab(expression)


def _schedule(value: Any, info: ValidationInfo) -> Every | Cron:
    """Given a duration or a cron expression, return when to poll."""
    if isinstance(value, Every | Cron):
        return value
    if not isinstance(value, str) or len(value.split()) != 5:
        if not isinstance(value, str) or not re.fullmatch(_DURATION, value):
            raise _wrong("must be a duration or a cron expression", _POLL_HINT)
        if not (seconds := _seconds(value, info)):
            raise _wrong("must be more than nothing", _POLL_HINT)
        return Every(seconds)
    try:
        return Cron(value)
    except ValueError as error:
        msg = f"is no cron expression: {error}"
        raise _wrong(msg, "minute hour day month weekday, such as 0 7 * * mon-fri") from error


def _absolute(value: Any, folder: Path) -> Path:
    """Given a path, return it absolute: "~" expanded, relative to a folder."""
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise _wrong("must be a path", 'write it as a string, such as "/srv/gcwatch/in"')
    try:
        path = Path(value).expanduser()
    except RuntimeError as error:
        raise _wrong(
            "starts with the home of a user that this machine does not know", "write the whole path"
        ) from error
    return folder.absolute() / path


def _location(value: Any, info: ValidationInfo) -> Path:
    """Given a path of the file, return it absolute; in Python, relative to where we are."""
    return _absolute(value, (info.context or {}).get("folder", Path()))


def _name(value: str) -> str:
    if not re.fullmatch("[a-z0-9][a-z0-9-]{0,39}", value):
        raise _wrong(
            "is no name for a route",
            "use up to 40 lower-case letters, digits and hyphens, no hyphen first",
        )
    return value


def _slug(value: str) -> str:
    if not re.fullmatch("[a-zA-Z0-9_-]+", value):
        raise _wrong(
            "is no slug", "it is the last part of the page's address: letters, digits, - and _"
        )
    return value


def _file_name(value: str) -> str:
    if value in {"", ".", ".."} or re.search(r"[/\\\0]", value):
        raise _wrong("must be the plain name of a file", 'such as "READY.txt", without folders')
    return value


def _inside(value: str) -> str:
    """Say no to a pattern or path that leads out of the case's folder."""
    path = PurePosixPath(value)
    if value == "" or path.is_absolute() or ".." in path.parts or "\0" in value:
        raise _wrong(
            "must be a path or pattern inside the case's folder",
            'such as "**/*.dcm", not empty, no leading slash, no ".."',
        )
    return value


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _web_address(value: str) -> str:
    """Say no to anything but http(s)://host…; the message never repeats it: it may be secret."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not value.isprintable() or " " in value:
        raise _wrong("is no web address", "such as https://host:port/path")
    return value


def _api_root(value: str) -> str:
    """Given the API's URL, return it with a slash at its end."""
    parts = urlsplit(_web_address(value))
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise _wrong(
            "must start with https://", "the token goes there; plain http is for this machine only"
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise _wrong(
            "must not hold a user, a password, a query or a fragment",
            "the token belongs into token_file",
        )
    return value if value.endswith("/") else value + "/"


# --- what a socket gets ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Glob:
    """The files of the case's folder that match `pattern`."""

    pattern: str


@dataclass(frozen=True)
class JsonFile:
    """The content of the JSON file `file` of the case's folder, as a plain value."""

    file: str


@dataclass(frozen=True)
class Constant:
    """The same JSON `value` for every case."""

    value: Any


_SOURCE_HINT = 'write a glob ("**/*.dcm"), { json = "volume.json" } or { value = 0.5 }'


def _source(value: Any) -> Glob | JsonFile | Constant:
    """Given what the file says a socket gets, return it as one of the three kinds."""
    match value:
        case Glob() | JsonFile() | Constant():
            return value
        case str():
            return Glob(_inside(value))
        case {"json": str(file), **others} if not others:
            return JsonFile(_inside(file))
        case {"value": constant, **others} if not others:
            return Constant(_json(constant))
        case _:
            raise _wrong("is no source of an input", _SOURCE_HINT)


def _json(value: Any) -> Any:
    """Say no to what TOML can write and JSON can't."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise _wrong(
            "holds a date, a time, inf or nan, which JSON does not have", "write a date as a string"
        ) from error
    return value


_SOURCE_SCHEMA = {
    "oneOf": [
        {"type": "string", "description": "A glob over the case's folder."},
        {
            "type": "object",
            "properties": {"json": {"type": "string", "description": "A JSON file of the folder."}},
            "required": ["json"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"value": {"description": "Any value; the same for every case."}},
            "required": ["value"],
            "additionalProperties": False,
        },
    ]
}

Location = Annotated[Path, PlainValidator(_location), WithJsonSchema({"type": "string"})]
Seconds = Annotated[
    float, PlainValidator(_seconds), WithJsonSchema({"type": "string", "pattern": _DURATION})
]
Schedule = Annotated[
    Every | Cron,
    PlainValidator(_schedule),
    WithJsonSchema(
        {"type": "string", "anyOf": [{"pattern": _DURATION}, {"pattern": r"^\S+( +\S+){4}$"}]}
    ),
]
Slug = Annotated[str, AfterValidator(_slug)]
Source = Annotated[
    Glob | JsonFile | Constant, PlainValidator(_source), WithJsonSchema(_SOURCE_SCHEMA)
]
_Inside = Annotated[str, AfterValidator(_inside)]


# --- the tables of the file -----------------------------------------------------------------------


class _Table(BaseModel):
    """What all tables have in common."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )


class Platform(_Table):
    """Where the platform is and how to reach it."""

    url: Annotated[str, AfterValidator(_api_root)] = "https://grand-challenge.org/api/v1/"
    """The root of the platform's API. Always https, except on this machine (sandbox)."""

    token_file: Location | None = None
    """File that holds the API token and that only its owner may read (chmod 600).

    Without it: the systemd credential gc-token, then $GRAND_CHALLENGE_AUTHORIZATION."""

    ca_bundle: Location | None = None
    """File of certificates to trust instead of the usual ones, for networks that inspect TLS."""

    proxy: Annotated[str, AfterValidator(_web_address)] | None = Field(default=None, repr=False)
    """Address of the proxy that leads to the platform. Without it: $HTTPS_PROXY and $NO_PROXY."""


class Limits(_Table):
    """How much is done at once."""

    cases: int = Field(default=4, ge=1, le=64)
    """Cases worked on at once."""

    connections: int = Field(default=16, ge=1, le=64)
    """Transfers at once, over all cases."""


class Log(_Table):
    """What is written down; docs/events.md lists every event."""

    folder_names: bool = False
    """Whether lines about a case hold its folder's name, which often is a patient's."""

    level: Literal["debug", "info", "warning"] = "info"
    """The lowest level that is written."""

    file: Location | None = None
    """File for JSON lines, besides standard error. Made readable for its owner only."""


class Route(_Table):
    """Joins an inbox to an algorithm and to an outbox; `[[route]]` once for each."""

    name: Annotated[str, AfterValidator(_name)]
    """Short name; every case's key starts with it. Lower-case letters, digits and hyphens."""

    inbox: Location
    """Folder that is watched. Each folder in it is a case. Nothing in it is changed (see after)."""

    outbox: Location
    """Folder for results: one folder a case, published whole. It may be another route's inbox."""

    algorithm: Slug
    """Slug of the algorithm: the last part of its page's address."""

    cases: Literal["folders"] = "folders"
    """What one case is: each folder of the inbox."""

    settle: Seconds = Field(default="30s", validate_default=True)
    """A folder is complete when it has not changed for this long."""

    ready: Annotated[str, AfterValidator(_file_name)] | None = None
    """Name of a marker file, such as READY.txt, that must be in the folder and ends the wait."""

    poll: Schedule = Field(default="60s", validate_default=True)
    """How often a job is asked after: a duration, or a cron expression on this machine's clock.

    Days of the week are written as names (0 7 * * mon-fri). Where both a day of the month and a day
    of the week are given, both must match."""

    names: Literal["opaque", "keep"] = "opaque"
    """What the platform sees: "opaque" keys, or ("keep") folder and file names, sanitised."""

    after: Literal["keep", "move", "delete"] = "keep"
    """What becomes of the folder once its results are delivered."""

    done: Location | None = Field(default=None, validate_default=True)
    """Folder that delivered folders are moved to; for after = "move" only."""

    ignore: Annotated[tuple[_Inside, ...], Field(strict=False)] = ()
    """Globs of files that are never part of a case, besides the usual ones (.DS_Store, *.tmp …)."""

    deidentify: bool = True
    """Whether DICOM files are de-identified on this machine, before anything is sent."""

    inputs: dict[Slug, Source] | None = Field(default=None, min_length=1)
    """What each of the algorithm's input sockets gets, by the socket's slug: the files that match a
    glob, { json = "volume.json" } for a value out of a JSON file of the folder, or { value = 0.5 }.

    May be left out where the algorithm asks for nothing but one image."""

    @field_validator("done")
    @classmethod
    def _done_goes_with_move(cls, done: Path | None, info: ValidationInfo) -> Path | None:
        if info.data.get("after") == "move" and done is None:
            raise _wrong(
                'is needed for after = "move"',
                "name the folder that delivered folders are moved to",
            )
        if info.data.get("after", "move") != "move" and done is not None:
            raise _wrong('is for after = "move" only', 'write after = "move", or take done away')
        return done


def _array(value: Any) -> Any:
    if not isinstance(value, list) or not value:
        raise _wrong(
            "must be at least one [[route]] table",
            "write [[route]] with double brackets, once for each route",
        )
    return value


class _Document(_Table):
    """The config file of gcwatch."""

    state: Location | None = None
    """Folder for the journal and for what is on its way; on a local disk.

    Without it: $STATE_DIRECTORY (systemd sets it), else a folder of the user's own."""

    platform: Platform = Field(default_factory=Platform)
    limits: Limits = Field(default_factory=Limits)
    log: Log = Field(default_factory=Log)
    route: Annotated[tuple[Route, ...], Field(strict=False), BeforeValidator(_array)]
    """Add a [[route]] table for each inbox."""


_TABLES: Mapping[str, type[_Table]] = {
    "platform": Platform,
    "limits": Limits,
    "log": Log,
    "route": Route,
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that a config file says; `file` is where it was read."""

    file: Path
    state: Path
    routes: tuple[Route, ...]
    platform: Platform = field(default_factory=Platform)
    limits: Limits = field(default_factory=Limits)
    log: Log = field(default_factory=Log)


# --- reading --------------------------------------------------------------------------------------


def find(explicit: Path | None = None) -> Path:
    """Return the config file to use: the explicit one, $GCWATCH_CONFIG, or one in a usual place.

    Raises:
        ConfigError: There is none; the problem names where it was looked for.
    """
    if explicit is not None:
        return explicit
    if chosen := os.environ.get("GCWATCH_CONFIG"):
        return Path(chosen)
    usual = (Path("gcwatch.toml"), Path("/etc/gcwatch/gcwatch.toml"))
    for file in usual:
        if file.is_file():
            return file.absolute()
    message = "no config file: $GCWATCH_CONFIG is not set, and there is none at " + " or ".join(
        str(file.absolute()) for file in usual
    )
    hint = "gcwatch --config FILE; config/gcwatch.toml of the sources is an example."
    raise ConfigError(usual[0].name, [Problem("", message, hint)])


def load(file: Path) -> Settings:
    """Given a config file, return what it says.

    Raises:
        ConfigError: With every problem of the file.
    """
    text = _read(file)
    data = _parse(file, text)
    folder = file.absolute().parent
    document, mistakes = _validate(data, folder)
    mistakes += _clashes(data, folder)
    if document is None or mistakes:
        raise ConfigError(str(file), _problems(mistakes, data, _lines(text)))
    return Settings(
        file=file.absolute(),
        state=_state(document.state),
        routes=document.route,
        platform=document.platform,
        limits=document.limits,
        log=document.log,
    )


def _read(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        problem = Problem("", f"can't be read: {error.strerror}", "Name it with --config FILE.")
        raise ConfigError(str(file), [problem]) from error
    try:
        # Some editors put a byte-order mark first.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = Problem("", "is not UTF-8", "Save it as UTF-8.", line)
        raise ConfigError(str(file), [problem]) from error


def _parse(file: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).rpartition(" (at ")
        line = re.match("line ([0-9]+)", place)
        hint = "Strings stand in quotes; each key once; see config/gcwatch.toml."
        number = int(line[1]) if line else text.rstrip().count("\n") + 1
        problem = Problem("", f"is no TOML: {message}", hint, number)
        raise ConfigError(str(file), [problem]) from error


def _state(configured: Path | None) -> Path:
    """Return where the state is: as configured, as systemd says, or the user's own folder."""
    if configured is not None:
        return configured
    if given := os.environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(given)
    return platformdirs.user_state_path("gcwatch")


@dataclass(frozen=True)
class _Mistake:
    """A problem before it has a line; `message` reads on from the key's name."""

    loc: _Loc
    message: str
    hint: str


def _validate(data: Any, folder: Path) -> tuple[_Document | None, list[_Mistake]]:
    try:
        return _Document.model_validate(data, context={"folder": folder}), []
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        return None, [_mistake(each) for each in found]


_KINDS = {
    "model_type": ("must be a table", "write it as [platform], or [[route]] for routes"),
    "dict_type": ("must be a table", "write it as [route.inputs], under its [[route]]"),
    "tuple_type": ("must be a list", 'write it in brackets: ["*.txt", "*.pdf"]'),
}


def _mistake(error: ErrorDetails) -> _Mistake:
    """Given one of pydantic's errors, return it in our words."""
    loc = tuple(part for part in error["loc"] if part != "[key]")
    match error["type"]:
        case "wrong":
            return _Mistake(loc, error["ctx"]["message"], error["ctx"]["hint"])
        case "missing":
            return _Mistake(loc, "is missing", _meaning(loc))
        case "extra_forbidden":
            return _Mistake(loc, "is no known key", _guess(loc))
        case kind if kind in _KINDS:
            return _Mistake(loc, *_KINDS[kind])
        case _:
            words = re.sub(r"^\w+ should", "must", error["msg"]).partition(" after validation")[0]
            return _Mistake(loc, words, _meaning(loc))


def _table(loc: _Loc) -> type[_Table]:
    """Return the model of the table that a key is in."""
    return _TABLES[str(loc[0])] if len(loc) > 1 else _Document


def _meaning(loc: _Loc) -> str:
    """Return what the innermost known key of a place means, in its first sentence."""
    fields = _table(loc).model_fields
    known = [fields[part] for part in loc if isinstance(part, str) and part in fields]
    return re.split(r"(?<=\.)\s", known[-1].description or "")[0] if known else ""


def _guess(loc: _Loc) -> str:
    """Given an unknown key, return which one was probably meant."""
    key, known = str(loc[-1]), list(_table(loc).model_fields)
    if close := difflib.get_close_matches(key, known, n=1):
        return f"did you mean {close[0]}?"
    if key in _Document.model_fields:
        return f"{key} stands at the top of the file, above the first [table]"
    return f"known here: {', '.join(known)}"


def _problems(
    mistakes: list[_Mistake], data: Mapping[str, Any], lines: Mapping[_Loc, int]
) -> list[Problem]:
    """Return mistakes with their paths and lines, in the order of the file."""
    found = [
        Problem(_path(each.loc, data), each.message, each.hint, _line(each.loc, lines))
        for each in mistakes
    ]
    return sorted(found, key=lambda problem: problem.line or 0)


def _path(loc: _Loc, data: Mapping[str, Any]) -> str:
    """Return a place as people name it: `platform.url`, `route 'lobes': settle`."""
    match loc:
        case ("route", int(index), *inner):
            return ": ".join(filter(None, [_label(index, data["route"][index]), _dotted(inner)]))
        case _:
            return _dotted(loc)


def _label(index: int, table: Any) -> str:
    name = table.get("name") if isinstance(table, dict) else None
    return f"route {name!r}" if isinstance(name, str) else f"route #{index + 1}"


def _dotted(parts: Iterable[str | int]) -> str:
    words = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return "".join(words).removeprefix(".")


# --- lines: where in the text a key is ------------------------------------------------------------


def _line(loc: _Loc, lines: Mapping[_Loc, int]) -> int | None:
    """Return the line of a place, or of the innermost table or key around it."""
    around = (loc[:size] for size in range(len(loc), 0, -1))
    return next((lines[each] for each in around if each in lines), None)


def _lines(text: str) -> dict[_Loc, int]:
    """Given valid TOML, return the line where each table and each key begins.

    The parser tells no lines, but it does tell whether a text is complete: a statement begins after
    the last one and ends with the first line that makes it parse.
    """
    lines: dict[_Loc, int] = {}
    arrays: dict[_Loc, int] = {}
    table: _Loc = ()
    begin, statement = 1, ""
    for number, line in enumerate(text.split("\n"), 1):
        statement += line + "\n"
        if (parsed := _complete(statement)) is None:
            continue
        if statement.lstrip().startswith("["):
            table = _enter(parsed, arrays)
            places = [table[:size] for size in range(1, len(table) + 1)]
        else:
            places = [(*table, *path) for path in _paths(parsed)]
        for place in places:
            lines.setdefault(place, begin)
        begin, statement = number + 1, ""
    return lines


def _complete(statement: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return None


def _enter(header: Any, arrays: dict[_Loc, int]) -> _Loc:
    """Given a parsed header, return its table's place; `arrays` counts arrays of tables."""
    table: _Loc = ()
    while header:
        [(key, header)] = header.items()
        table = (*table, key)
        if isinstance(header, list):
            arrays[table] = arrays.get(table, -1) + 1
            header = None
        if table in arrays:
            table = (*table, arrays[table])
    return table


def _paths(value: Any) -> Iterator[_Loc]:
    """Yield the path of everything inside a value."""
    match value:
        case dict():
            inner: Iterable[tuple[str | int, Any]] = value.items()
        case list():
            inner = enumerate(value)
        case _:
            return
    for key, item in inner:
        yield (key,)
        yield from ((key, *path) for path in _paths(item))


# --- checks across keys ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Places:
    """Where one route's folders really are, as far as its table says."""

    index: int
    label: str
    name: Any
    inbox: Path | None
    outbox: Path | None
    done: Path | None

    def wrong(self, key: str, message: str, hint: str) -> _Mistake:
        return _Mistake(("route", self.index, key), message, hint)


def _clashes(data: Mapping[str, Any], folder: Path) -> list[_Mistake]:
    """Return what does not fit together; keys that are wrong by themselves are passed over."""
    routes = data.get("route")
    tables = routes if isinstance(routes, list) else []
    places = [_places(i, t, folder) for i, t in enumerate(tables) if isinstance(t, dict)]
    state = (
        _real(data["state"], folder) if "state" in data else Path(os.path.realpath(_state(None)))
    )
    found: list[_Mistake] = []
    for one in places:
        found += _own_clashes(one)
        found += _state_clashes(one, state)
    for one, other in combinations(places, 2):
        found += _pair_clashes(one, other)
        found += _outbox_clashes(one, other)
        found += _outbox_clashes(other, one)
    return found + _circles(places)


def _places(index: int, table: Mapping[str, Any], folder: Path) -> _Places:
    inbox, outbox, done = (_real(table.get(key), folder) for key in ("inbox", "outbox", "done"))
    return _Places(index, _label(index, table), table.get("name"), inbox, outbox, done)


def _real(value: Any, folder: Path) -> Path | None:
    try:
        return Path(os.path.realpath(_absolute(value, folder)))
    except PydanticCustomError:
        return None


def _within(inner: Path | None, outer: Path | None) -> bool:
    """Tell whether a folder is another or lies inside it."""
    return inner is not None and outer is not None and inner.is_relative_to(outer)


def _own_clashes(route: _Places) -> Iterator[_Mistake]:
    apart = "put the two side by side: in and out"
    if _within(route.outbox, route.inbox):
        yield route.wrong("outbox", "lies inside its own inbox: results would be sent", apart)
    elif _within(route.inbox, route.outbox):
        yield route.wrong("inbox", "lies inside its own outbox", apart)
    if _within(route.done, route.inbox):
        message = "lies inside its own inbox: what is done would be sent again"
        yield route.wrong("done", message, "put it beside the inbox, on the same disk")


def _state_clashes(route: _Places, state: Path | None) -> Iterator[_Mistake]:
    for key, folder in (("inbox", route.inbox), ("outbox", route.outbox)):
        if _within(state, folder):
            message = f"lies inside the {key} of {route.label}"
            hint = "name a folder on a local disk that nothing else uses: state = …"
            yield _Mistake(("state",), message, hint)


def _pair_clashes(one: _Places, other: _Places) -> Iterator[_Mistake]:
    if one.name == other.name and isinstance(one.name, str):
        yield other.wrong("name", f"is the name of route #{one.index + 1} too", "name it otherwise")
    if _within(one.inbox, other.inbox) or _within(other.inbox, one.inbox):
        message = f"overlaps with the inbox of {one.label}: folders would be sent twice"
        yield other.wrong("inbox", message, "give each route an inbox of its own")


def _outbox_clashes(giver: _Places, taker: _Places) -> Iterator[_Mistake]:
    if _within(giver.outbox, taker.inbox) and giver.outbox != taker.inbox:
        message = f"lies inside the inbox of {taker.label}, which would take it for a case"
        hint = "make it that inbox itself, so that the routes chain, or put it elsewhere"
        yield giver.wrong("outbox", message, hint)


def _circles(places: list[_Places]) -> list[_Mistake]:
    """Return the first route of each chain that ends where it began: it would send for ever."""
    found = []
    for first in places:
        chain, here = [first], _next(first, places)
        while here is not None and here not in chain:
            chain.append(here)
            here = _next(here, places)
        if here is first and first.index == min(route.index for route in chain) and chain[1:]:
            message = "leads back to its own inbox: " + ", ".join(each.label for each in chain)
            hint = "let the last route's outbox be no route's inbox"
            found.append(first.wrong("outbox", message, hint))
    return found


def _next(route: _Places, places: list[_Places]) -> _Places | None:
    """Return the route whose inbox is this route's outbox."""
    takers = (each for each in places if each.inbox == route.outbox and each is not route)
    return next(takers, None) if route.outbox else None


# --- the token ------------------------------------------------------------------------------------

_CREDENTIAL = "gc-token"
_VARIABLE = "GRAND_CHALLENGE_AUTHORIZATION"
_TOKEN_HINT = (
    "Write the token into a file that only its owner may read and name it as platform.token_file, "
    f"or give it as the systemd credential {_CREDENTIAL}, or set ${_VARIABLE}."
)


def read_token(settings: Settings) -> str:
    """Given settings, return the API token that they lead to.

    Raises:
        ConfigError: There is none, or it lies open; no message holds any of it.
    """
    credential = _credentials() / _CREDENTIAL
    if file := settings.platform.token_file or (credential if credential.is_file() else None):
        return _token(_secret(file, settings), f"{file} holds", settings)
    return _token(os.environ.get(_VARIABLE, ""), f"${_VARIABLE} holds", settings)


def _token(text: str, holder: str, settings: Settings) -> str:
    """Given "TOKEN" or "BEARER TOKEN", return the token."""
    words = text.split()
    if len(words) not in {1, 2} or not (words[-1].isascii() and words[-1].isprintable()):
        found = "no token" if not words else "something that is no token"
        raise _token_error(settings, f"{holder} {found}")
    return words[-1]


def _credentials() -> Path:
    return Path(os.environ.get("CREDENTIALS_DIRECTORY") or "/nonexistent")


def _secret(file: Path, settings: Settings) -> str:
    """Return the text of a secret's file, unless others can read it too."""
    try:
        mode = file.stat().st_mode
        text = file.read_text("ascii", "replace")
    except OSError as error:
        raise _token_error(settings, f"{file} can't be read: {error.strerror}") from error
    # systemd guards its credentials by the folder, not by the file.
    guarded = _within(Path(os.path.realpath(file)), Path(os.path.realpath(_credentials())))
    if stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO) and not guarded:
        raise _token_error(settings, f"{file} can be read by others", f"chmod 600 {file}")
    return text


def _token_error(settings: Settings, message: str, hint: str = _TOKEN_HINT) -> ConfigError:
    return ConfigError(str(settings.file), [Problem("platform.token_file", message, hint)])


# --- for editors and readers ----------------------------------------------------------------------


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the file, with which editors complete and check it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_Document.model_json_schema(),
        "title": "gcwatch",
    }


_INTRODUCTION = """# Configuration

<!-- Generated from gcwatch/config.py: `python -m gcwatch.config`. -->

One TOML file: `--config FILE`, `$GCWATCH_CONFIG`, `./gcwatch.toml` or `/etc/gcwatch/gcwatch.toml`.
[config/gcwatch.toml](../config/gcwatch.toml) is a commented example; `gcwatch check` tells every
mistake at once; `gcwatch schema` prints a JSON Schema for editors. Relative paths are relative to
the file's folder, `~` is your home. Durations are strings with units: `"250ms"`, `"30s"`, `"1h"`.
Folders must not get in each other's way: inboxes do not overlap, an outbox is not inside an inbox
(but may be another route's inbox, so that routes chain), the state is in neither."""


def reference() -> str:
    """Return docs/configuration.md."""
    own = [key for key in _Document.model_fields if key not in _TABLES]
    parts = [_INTRODUCTION, *_section("At the top", "", _Document, own)]
    for key, table in _TABLES.items():
        title = f"`[[{key}]]`" if key == "route" else f"`[{key}]`"
        parts += _section(title, table.__doc__ or "", table, list(table.model_fields))
    return "\n".join(parts) + "\n"


def _section(title: str, about: str, table: type[_Table], keys: list[str]) -> Iterator[str]:
    yield f"\n## {title}\n"
    if about:
        yield f"{about}\n"
    yield "| key | default | meaning |\n|---|---|---|"
    for key in keys:
        field = table.model_fields[key]
        default = "required" if field.is_required() else _shown(field.default)
        meaning = " ".join((field.description or "").split())
        yield f"| `{key}` | {default} | {meaning} |"


def _shown(default: Any) -> str:
    return "" if default is None else f"`{json.dumps(default)}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
