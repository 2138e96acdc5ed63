"""A first config file: choices become its text, its folders and itself (`gcwatch init`)."""

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import TypeAdapter, ValidationError

from gcwatch import config
from gcwatch.commands import check, systemd_unit
from gcwatch.commands.check import Finding
from gcwatch.commands.send import records
from gcwatch.commands.systemd_unit import Unit
from gcwatch.config import Constant, Glob, JsonFile, Named, Platform, Settings, Source
from gcwatch.config.token import token_in
from gcwatch.core.errors import ConfigError, Misused, Refused
from gcwatch.core.kinds import KIND_NAMES
from gcwatch.files.atomic import write_atomically
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.connect import connect
from gcwatch.platform.models import Algorithm, Collection, Interface, Socket

Kind = Literal["algorithm", "reader_study", "archive", "mirror"]
"""What a config is for; a mirror is of an archive."""

KINDS: Final[Mapping[Kind, str]] = {
    **{kind: names.purpose for kind, names in KIND_NAMES.items()},
    "mirror": "mirror an archive into a folder",
}

SHARED: Final = 0o2770
"""Inbox and outbox: for the user that runs gcwatch and for a group, which new folders inherit."""

_PRIVATE: Final = 0o700
_PASSABLE: Final = 0o755
_ASKED_FOR: Final = 40
"""Of longer lists rights are not asked for: each is a call."""


@dataclass(frozen=True)
class Choices:
    """All that `gcwatch init` asks for. Paths are absolute; `inbox` is None for a mirror.

    Without `inputs` an algorithm gets the whole folder as its one image. An empty `settle` or
    `poll` leaves the key away. With `unit`, a service runs it: the folders are its user's, and
    the file is for its group.
    """

    file: Path
    state: Path
    platform: Platform
    kind: Kind
    slug: str
    name: str
    outbox: Path
    inbox: Path | None = None
    inputs: Mapping[str, Source] = field(default_factory=dict)
    settle: str = ""
    poll: str = ""
    unit: Unit | None = None

    @property
    def folders(self) -> list[Path]:
        """Those for cases."""
        return [self.outbox, *([self.inbox] if self.inbox else [])]


@dataclass(frozen=True)
class Offer:
    """What the token can see; `usable` is whether it may be used, None if that was not asked."""

    slug: str
    title: str
    usable: bool | None


# --- what there is to choose from ----------------------------------------------------------------


def offers(platform: GrandChallenge, kind: Kind) -> list[Offer]:
    """Given a kind, return all of it that the token can see, what it may use told apart."""
    seen = _seen(platform, kind)
    is_short = len(seen) <= _ASKED_FOR
    return [
        Offer(each.slug, each.title, _may_use(platform, kind, each) if is_short else None)
        for each in seen
    ]


def _seen(platform: GrandChallenge, kind: Kind) -> Sequence[Algorithm | Collection]:
    match kind:
        case "algorithm":
            return platform.algorithms()
        case "reader_study":
            return platform.reader_studies()
        case "archive" | "mirror":
            return platform.archives()


def _may_use(platform: GrandChallenge, kind: Kind, seen: Algorithm | Collection) -> bool:
    try:
        match kind:
            case "algorithm":
                return platform.may_run(seen.api_url)
            case "reader_study":
                return platform.may_add("reader_study", seen.slug)
            case "archive":
                return platform.may_add("archive", seen.api_url)
            case "mirror":
                return True
    except Refused:
        return False


def interfaces(platform: GrandChallenge, slug: str) -> tuple[Interface, ...]:
    """Given an algorithm's slug, return what it takes; nothing if it can't be seen."""
    found = platform.algorithm(slug)
    return found.interfaces if found else ()


def proposed(interface: Interface) -> dict[str, Source]:
    """Return what each socket could get: all files, or else a place of its own in the folder."""
    if len(interface.inputs) == 1:
        return {each.slug: proposal(each) for each in interface.inputs}
    return {each.slug: _apart(each) for each in interface.inputs}


def proposal(socket: Socket) -> Source:
    """Return what a socket could get if it is the only one."""
    return Glob("**/*") if socket.super_kind == "Image" else _apart(socket)


def _apart(socket: Socket) -> Source:
    if socket.super_kind == "Image":
        return Glob(f"{socket.slug}/**/*")
    name = socket.relative_path.rpartition("/")[2] or f"{socket.slug}.json"
    return JsonFile(name) if socket.super_kind == "Value" else Glob(name)


# --- what is said of sockets ---------------------------------------------------------------------


_SOURCE: Final[TypeAdapter[Source]] = TypeAdapter(Source)


def source(what: str) -> Source:
    """Given `@FILE` (a value in each folder's JSON file), a value as JSON, or a glob, return it."""
    try:
        return _SOURCE.validate_python(_plain(what))
    except ValidationError as error:
        [problem, *_] = error.errors(include_url=False, include_input=False)
        raise Misused(f"{what} {problem['msg']}.") from error


def _plain(what: str) -> Any:
    if what.startswith("@"):
        return {"json": what[1:]}
    try:
        return {"value": json.loads(what)}
    except ValueError:
        return what


def shown(given: Source) -> str:
    """Return a source as `source` reads it."""
    match given:
        case Constant(value):
            return json.dumps(value)
        case JsonFile(file):
            return f"@{file}"
        case Named(name):
            return name
        case Glob(pattern):
            return pattern


def name_of(slug: str) -> str:
    """Given a slug, return a name for its route."""
    return re.sub("[^a-z0-9]+", "-", slug.lower())[:40].strip("-") or "route"


# --- the token -----------------------------------------------------------------------------------


def owner(settings: Settings, entered: str) -> str:
    """Given what somebody entered as a token, return whose it is; TokenRefused if nobody's."""
    token = token_in(entered)
    if not token:
        raise Misused("This is no token.")
    platform = connect(settings, token)
    with closing(platform):
        return platform.me()


def keep_token(file: Path, entered: str) -> None:
    """Write a token into a file that only its owner can read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, f"{token_in(entered)}\n".encode(), 0o600)


# --- the file ------------------------------------------------------------------------------------


def text(choices: Choices) -> str:
    """Given choices, return the config file."""
    return "\n".join(_lines(choices)) + "\n"


def _lines(choices: Choices) -> Iterator[str]:
    def place(path: Path) -> str:
        folder = choices.file.parent
        return str(path.relative_to(folder) if path.is_relative_to(folder) else path)

    yield "# Written by gcwatch init. Every key: docs/configuration.md, or gcwatch schema."
    yield f"state = {_toml(place(choices.state))}"
    platform = {
        key: place(value) if isinstance(value, Path) else value
        for key, value in choices.platform.model_dump(exclude_defaults=True).items()
    }
    if platform:
        yield from ("", "[platform]", *_pairs(platform))
    inbox = place(choices.inbox) if choices.inbox else None
    yield from _table(choices, inbox, place(choices.outbox))


def _table(choices: Choices, inbox: str | None, outbox: str) -> Iterator[str]:
    """Yield the route, or the mirror."""
    is_mirror = choices.kind == "mirror"
    keys = {
        "name": choices.name,
        "inbox": inbox,
        "outbox": outbox,
        "archive" if is_mirror else choices.kind: choices.slug,
        "settle": choices.settle,
        "every" if is_mirror else "poll": choices.poll,
    }
    yield from ("", "[[mirror]]" if is_mirror else "[[route]]")
    yield from _pairs({key: value for key, value in keys.items() if value})
    if choices.inputs:
        yield from ("", "[route.inputs]")
        yield from (f"{_toml(slug)} = {_given(each)}" for slug, each in choices.inputs.items())


def _pairs(table: Mapping[str, Any]) -> Iterator[str]:
    return (f"{key} = {_toml(value)}" for key, value in table.items())


def _given(given: Source) -> str:
    match given:
        case Constant(value):
            return _toml({"value": value})
        case JsonFile(file):
            return _toml({"json": file})
        case Named(name):
            return _toml({"socket": name})
        case Glob(pattern):
            return _toml(pattern)


def _toml(value: Any) -> str:
    match value:
        case None:
            raise Misused("A config file can't say null.", "Put the value into a JSON file: @FILE")
        case dict():
            pairs = ", ".join(f"{_key(key)} = {_toml(item)}" for key, item in value.items())
            return f"{{ {pairs} }}"
        case list():
            return f"[{', '.join(map(_toml, value))}]"
        case _:
            # JSON's surrogate pairs are no TOML, and TOML wants DEL escaped.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else _toml(key)


def settings(choices: Choices) -> Settings:
    """Return what the file will say.

    Raises:
        ConfigError: it can't be used: folders overlap, a name is none.
    """
    try:
        return config.parse(choices.file, text(choices))
    except ConfigError as error:
        # The lines are of a file that nobody has seen.
        raise ConfigError(
            error.file, [replace(each, line=None) for each in error.problems]
        ) from None


def findings(choices: Choices, platform: Platform) -> list[Finding]:
    """Given choices, and the platform with a token that can be read here, return what is wrong.

    That is about the token, the target and its sockets; nothing is written.
    """
    found = check.at_platform(replace(settings(choices), platform=platform))
    return [each for each in found if not each.is_fine]


# --- putting it there ----------------------------------------------------------------------------


def require_free(file: Path, *, force: bool) -> None:
    """Raise Misused if the file can't be written, or is there already and may not be replaced."""
    if file.exists() and not force:
        raise Misused(f"{file} is there already.", "Name another with --config, or say --force.")
    place = next(each for each in file.parents if each.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        raise Misused(f"{place} can't be written.", "Name another file with --config, or be root.")


def put(choices: Choices) -> list[Path]:
    """Make the folders that are missing, then the file, whole; return the folders made."""
    owner = systemd_unit.ids() if choices.unit else (-1, -1)
    wanted = [(choices.state, _PRIVATE), *((each, SHARED) for each in choices.folders)]
    made = [folder for folder, mode in wanted if _make(folder, mode, owner)]
    choices.file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(choices.file, _encoded(text(choices)), 0o600)
    if choices.unit:
        os.chown(choices.file, -1, owner[1])
        choices.file.chmod(0o640)
    return made


def _make(folder: Path, mode: int, owner: tuple[int, int]) -> bool:
    """Make a folder with a mode, whatever the umask; one that is there is left as it is."""
    if folder.exists():
        return False
    for above in reversed([each for each in folder.parents if not each.exists()]):
        above.mkdir()
        above.chmod(_PASSABLE)
    folder.mkdir(_PRIVATE)
    os.chown(folder, *owner)
    folder.chmod(mode)
    return True


def _encoded(written: str) -> bytes:
    try:
        return written.encode()
    except UnicodeEncodeError as error:
        raise Misused("A path is not UTF-8, which a config file has to be.") from error


def next_commands(choices: Choices) -> list[str]:
    """Return the two commands that come next: one looks once more, one works."""
    file = choices.file
    if choices.unit:
        return choices.unit.commands(_program())
    try:
        is_found = config.find().resolve() == file.resolve()
    except ConfigError:
        is_found = False
    named = "" if is_found else f" --config {shlex.quote(os.fspath(file))}"
    return [f"gcwatch check{named}", f"gcwatch run{named}"]


def _program() -> str:
    """Return the path of this program, for those who don't have it on their PATH."""
    called = Path(shutil.which(sys.argv[0]) or "")
    return str(called.absolute()) if called.name == "gcwatch" else "gcwatch"


def platform_of(**keys: Any) -> Platform:
    """Given keys of the table [platform], return it; Misused if one can't be."""
    try:
        return Platform(**{key: value for key, value in keys.items() if value is not None})
    except ValidationError as error:
        raise records.misused(error, "platform") from error
