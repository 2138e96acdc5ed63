"""The types of values: durations, schedules, paths, names, templates, and sources of inputs."""

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from string import Formatter
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from pydantic import AfterValidator, PlainValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from gcwatch.config.values.cron import Cron
from gcwatch.core.rules.procedure_format import parse_procedure
from gcwatch.core.rules.region import parse_region
from gcwatch.core.rules.upload_limit import UploadRule, parse_rule
from gcwatch.core.timing import Every

Loc = tuple[str | int, ...]


def value_error(message: str, hint: str) -> PydanticCustomError:
    """Given what is wrong and what is right, return the error that a validator raises."""
    # pydantic takes braces for a template, and the user's text may hold some.
    return PydanticCustomError("wrong", "{message}", {"message": message, "hint": hint})


# --- values: durations, schedules, paths, names ---------------------------------------------------

_UNITS = {"y": 365 * 86400.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = "^(?=[0-9])" + "".join(f"(?:([0-9]{{1,6}}){unit})?" for unit in _UNITS) + "$"
_DURATION_HINT = 'write it with units, as a string: "30s", "5m", "1h30m", "250ms"'
_POLL_HINT = 'write a duration ("60s") or a cron expression ("0 7 * * mon-fri")'


def parse_duration(text: str) -> float | None:
    """Given "1h30m", return 5400.0, in seconds; None if the text is no duration."""
    found = re.fullmatch(_DURATION, text)
    if found is None:
        return None
    return sum(int(n or 0) * unit for n, unit in zip(found.groups(), _UNITS.values(), strict=True))


def _seconds(value: Any, info: ValidationInfo) -> float:
    """Given "1h30m", return 5400.0; a bare number is refused in a file: it has no unit."""
    if isinstance(value, str) and (seconds := parse_duration(value)) is not None:
        return seconds
    if isinstance(value, int | float) and info.context is None:
        return float(value)
    raise value_error("must be a duration", _DURATION_HINT)


def parse_schedule(value: Any, info: ValidationInfo) -> Every | Cron:
    """Given a duration or a cron expression, return when to poll."""
    if isinstance(value, Every | Cron):
        return value
    if not isinstance(value, str) or len(value.split()) != 5:
        if not isinstance(value, str) or not re.fullmatch(_DURATION, value):
            raise value_error("must be a duration or a cron expression", _POLL_HINT)
        if not (seconds := _seconds(value, info)):
            raise value_error("must be more than 0", _POLL_HINT)
        return Every(seconds)
    try:
        return Cron(value)
    except ValueError as error:
        msg = f"is not a cron expression: {error}"
        raise value_error(
            msg, "write minute hour day month weekday, such as 0 7 * * mon-fri"
        ) from error


def absolute_path(value: Any, folder: Path) -> Path:
    """Given a path, return it absolute: with "~" expanded, a relative path below *folder*."""
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise value_error("must be a path", 'write it as a string, such as "/srv/gcwatch/in"')
    try:
        path = Path(value).expanduser()
    except RuntimeError as error:
        raise value_error(
            "starts with the home of a user that this machine does not know", "write the full path"
        ) from error
    return folder.absolute() / path


def _location(value: Any, info: ValidationInfo) -> Path:
    """Given a path, return it absolute; without a config file, below the working directory."""
    return absolute_path(value, (info.context or {}).get("folder", Path()))


def check_route_name(value: str) -> str:
    """Given a name of a route or mirror, return it; a case's key starts with it."""
    if not re.fullmatch("[a-z0-9][a-z0-9-]{0,39}", value):
        raise value_error(
            "is not a valid name",
            "use up to 40 lower-case letters, digits and hyphens; do not start with a hyphen",
        )
    return value


def check_slug(value: str) -> str:
    """Given a slug, return it if it is valid."""
    if not re.fullmatch("[a-zA-Z0-9_-][a-zA-Z0-9._-]*", value):
        raise value_error(
            "is not a slug",
            "a slug is the last part of the page's address: letters, digits, - _ and .",
        )
    return value


def check_file_name(value: str) -> str:
    """Given a file name, return it if it names no folder."""
    if value in {"", ".", ".."} or re.search(r"[/\\\0]", value):
        raise value_error("must be a plain name of a file", 'such as "READY.txt", without folders')
    return value


def check_textfile(path: Path) -> Path:
    """Refuse a file of metrics that node_exporter would not read."""
    if path.suffix != ".prom" or path.name.startswith("."):
        raise value_error(
            "must end with .prom", "node_exporter reads no other: name it gcwatch.prom"
        )
    return path


def check_inside(value: str) -> str:
    """Refuse a pattern or path that leads out of the case's folder."""
    path = PurePosixPath(value)
    if value == "" or path.is_absolute() or ".." in path.parts or "\0" in value:
        raise value_error(
            "must be a path or pattern inside the case's folder",
            'such as "**/*.dcm", not empty, no leading slash, no ".."',
        )
    return value


def is_loopback(host: str) -> bool:
    """Given a host's name or address, return whether it is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_web_address(value: str) -> str:
    """Refuse anything but http(s)://host…; the message does not repeat it, as it may be secret."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not value.isprintable() or " " in value:
        raise value_error("is not a web address", "write it as https://host:port/path")
    return value


def check_api_root(value: str) -> str:
    """Given the API's URL, return it with a slash at its end."""
    parts = urlsplit(check_web_address(value))
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise value_error(
            "must start with https://", "it protects the token; http is for this machine only"
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise value_error(
            "must not hold a user, a password, a query or a fragment",
            "write the token into the file that token_file names",
        )
    if not parts.netloc.isascii():
        raise value_error("is not a web address", f"write it as {_ascii_address(parts)}")
    # The token goes to one origin, so there is one way to write it.
    value = urlunsplit(parts._replace(netloc=parts.netloc.lower()))
    return value if value.endswith("/") else value + "/"


def _ascii_address(parts: SplitResult) -> str:
    """Given the parts of a URL whose host has other letters, return it as browsers send it."""
    try:
        host = (parts.hostname or "").encode("idna").decode()
    except UnicodeError:
        return "https://host:port/path, with a host of ASCII letters"
    return urlunsplit(parts._replace(netloc=f"{host}:{parts.port}" if parts.port else host))


# --- titles ---------------------------------------------------------------------------------------

_OPAQUE_FIELDS = frozenset({"key", "id", "route", "pseudonym"})
_TITLE_FIELDS = _OPAQUE_FIELDS | {"folder", "number"}
_TITLE_HINT = (
    'fields: {key}, {id} (its random part), {route}; with names = "keep" also {folder} and '
    "{number} (the last number in the folder's name)"
)


def check_template(value: Any) -> str:
    """Given the template of a title or an order, return it; a number is a template, too."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise value_error("must be a text", _TITLE_HINT)
    try:
        fields = template_fields(value)
    except ValueError as error:
        raise value_error(f"is not a template: {error}", _TITLE_HINT) from error
    if not fields <= _TITLE_FIELDS:
        unknown = ", ".join(sorted(fields - _TITLE_FIELDS))
        raise value_error(f"has an unknown field: {unknown}", _TITLE_HINT)
    return value


def template_fields(value: str) -> set[str]:
    """Given a template, return its fields; raise ValueError if it is not valid."""
    return {name for _, name, _, _ in Formatter().parse(value) if name is not None}


def names_each_case(value: str) -> bool:
    """Whether a template gives another text for each case."""
    return not template_fields(value).isdisjoint({"key", "id"})


def shows_folder_name(value: str) -> bool:
    """Whether a template uses the folder's name."""
    return not template_fields(value) <= _OPAQUE_FIELDS


# --- what a socket gets ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Glob:
    """The files of the case's folder that match `pattern`; `optional`: there may be none."""

    pattern: str
    optional: bool = False


@dataclass(frozen=True)
class JsonFile:
    """The content of the JSON file `file` in the case's folder, as a value."""

    file: str
    optional: bool = False


@dataclass(frozen=True)
class Named:
    """The image of `socket` in the folder's gcwatch.json, which is already on the platform."""

    socket: str
    optional: bool = False


@dataclass(frozen=True)
class Constant:
    """The same JSON `value` for every case."""

    value: Any


@dataclass(frozen=True)
class Column:
    """The value in a `column` of the inbox's cases.csv; `optional`: its cell may be empty."""

    column: str
    optional: bool = False


_SOURCE_HINT = (
    'write a glob ("**/*.dcm"), { json = "volume.json" }, { value = 0.5 }, { column = "age" } or '
    '{ socket = "ct-image" }; for files that may be missing { files = "*.mha", optional = true }'
)


def _source(value: Any) -> Glob | JsonFile | Constant | Named | Column:
    """Given the value of an input in the file, return it as one of the kinds of source."""
    match value:
        case Glob() | JsonFile() | Constant() | Named() | Column():
            return value
        case str():
            return Glob(check_inside(value))
        case {"value": constant, **others} if not others:
            return Constant(_json(constant))
        case {"optional": bool(optional), **rest} if len(rest) == 1:
            return _from_folder(rest, optional=optional)
        case {**given}:
            return _from_folder(given, optional=False)
        case _:
            raise value_error("is not a source of an input", _SOURCE_HINT)


def _from_folder(value: Mapping[Any, Any], *, optional: bool) -> Glob | JsonFile | Named | Column:
    match value:
        case {"column": str(column), **others} if not others:
            return Column(_check_column(column), optional)
        case {"files": str(pattern), **others} if not others:
            return Glob(check_inside(pattern), optional)
        case {"json": str(file), **others} if not others:
            return JsonFile(check_inside(file), optional)
        case {"socket": str(name), **others} if not others:
            return Named(check_slug(name), optional)
        case _:
            raise value_error("is not a source of an input", _SOURCE_HINT)


def _check_column(column: str) -> str:
    if column.lower() in {"folder", "title", "order"}:
        raise value_error("names a column that cases.csv has for itself", "use another name")
    return check_slug(column)


def _json(value: Any) -> Any:
    """Refuse TOML values that JSON does not have."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise value_error(
            "holds a date, a time, inf or nan, which JSON does not have", "write a date as a string"
        ) from error
    return value


_SOURCE_SCHEMA = {
    "oneOf": [
        {"type": "string", "description": "A glob over the case's folder."},
        *(
            {
                "type": "object",
                "properties": {
                    key: {"type": "string", "description": meaning},
                    "optional": {"type": "boolean", "description": "Whether it may be missing."},
                },
                "required": [key],
                "additionalProperties": False,
            }
            for key, meaning in (
                ("files", "A glob over the case's folder."),
                ("json", "A JSON file of the folder."),
                ("socket", "A socket in the folder's gcwatch.json; its image is used again."),
                ("column", "A column of the inbox's cases.csv with its value for each folder."),
            )
        ),
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
    PlainValidator(parse_schedule),
    WithJsonSchema(
        {"type": "string", "anyOf": [{"pattern": _DURATION}, {"pattern": r"^\S+( +\S+){4}$"}]}
    ),
]
Slug = Annotated[str, AfterValidator(check_slug)]
Template = Annotated[
    str, PlainValidator(check_template), WithJsonSchema({"type": ["string", "integer"]})
]
Source = Annotated[
    Glob | JsonFile | Constant | Named | Column,
    PlainValidator(_source),
    WithJsonSchema(_SOURCE_SCHEMA),
]
_Inside = Annotated[str, AfterValidator(check_inside)]


def _check_area(value: str) -> str:
    """Refuse what is no region of a picture."""
    try:
        parse_region(value)
    except ValueError:
        raise value_error(
            'must be "left,top,width,height", in pixels or percent',
            'such as "0,0,100%,12%" for the upper 12 percent',
        ) from None
    return value


def _upload_rules(value: Any) -> tuple[UploadRule, ...]:
    """Given one limit or a list of limits, return them."""
    hint = 'write "20 Mbit/s", or with times ["20 Mbit/s", "mon-fri 07-19 5 Mbit/s"]'
    if isinstance(value, tuple):
        return value
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
        raise value_error("must be a limit such as 20 Mbit/s, or a list of limits", hint)
    found = []
    for each in texts:
        try:
            found.append(parse_rule(each))
        except ValueError as error:
            raise value_error(f"has {each!r}, which {error}", hint) from None
    return tuple(found)


UploadRules = Annotated[
    tuple[UploadRule, ...],
    PlainValidator(_upload_rules),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]

Area = Annotated[str, AfterValidator(_check_area)]
_MOST_PROCEDURE_BYTES = 16 * 1024 * 1024


def check_procedure(path: Path | None) -> Path | None:
    """Refuse a file that is no procedure of de-identification."""
    if path is None:
        return None
    try:
        with path.open("rb") as stream:
            parse_procedure(stream.read(_MOST_PROCEDURE_BYTES))
    except OSError as error:
        raise value_error(
            f"can't be read: {error.strerror}", "name a file that the service can read"
        ) from None
    except ValueError as error:
        raise value_error(f"is no procedure: {error}", "its format is in docs/privacy.md") from None
    return path


def is_within(inner: Path | None, outer: Path | None) -> bool:
    """Whether a folder is *outer* or lies inside it."""
    return inner is not None and outer is not None and inner.is_relative_to(outer)
