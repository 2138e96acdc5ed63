"""`gcwatch init`: what can be chosen, and a config file with its folders from the choices."""

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import tomli_w
from pydantic import TypeAdapter, ValidationError

from gcwatch import config
from gcwatch.commands import platform_check, systemd_unit
from gcwatch.commands.existing_config import ExistingConfig
from gcwatch.commands.finding import Finding
from gcwatch.commands.send import records
from gcwatch.commands.systemd_unit import Unit
from gcwatch.config import Column, Constant, Glob, JsonFile, Named, Platform, Settings, Source
from gcwatch.config.token import token_in
from gcwatch.core.errors import ConfigError, Misused, Refused
from gcwatch.core.kinds import KIND_NAMES, ItemKind
from gcwatch.files.atomic import write_atomically
from gcwatch.journal.hosts.presence import running_daemon
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.connect import connect
from gcwatch.platform.models import Algorithm, Collection, Interface, Socket

Kind = Literal["algorithm", "reader_study", "archive", "mirror", "answers"]
"""What a config is for; "mirror" copies an archive, "answers" what readers answered in a study."""

MIRRORED: Final[Mapping[Kind, ItemKind]] = {"mirror": "archive", "answers": "reader_study"}
"""What a mirror is a copy of: also the key for its slug."""

KINDS: Final[Mapping[Kind, str]] = {
    **{kind: names.purpose for kind, names in KIND_NAMES.items()},
    "mirror": "mirror an archive into a folder",
    "answers": "mirror the answers of a reader study into a folder",
}

SHARED_MODE: Final = 0o2770
"""Mode of inbox and outbox: for gcwatch's user and for a group, which new folders inherit."""

PARENT_MODE: Final = 0o2755
"""Mode of the folder above them: gcwatch's user can keep a status file (`report`) there."""

_PRIVATE_MODE: Final = 0o700
_PASSABLE_MODE: Final = 0o755
_MAX_CALLS: Final = 40
"""Rights are not checked in longer lists: each takes a call."""


@dataclass(frozen=True)
class Choices:
    """Everything that `gcwatch init` asks. Paths are absolute; `inbox` is None for a mirror.

    `source` is the archive whose items are the cases of a route without an inbox.
    Without `inputs` an algorithm gets the whole folder as its one image. If `settle` or `poll` is
    empty, the config does not have the key. With `unit`, a service runs gcwatch: the folders
    belong to its user, and its group may read the file. With `existing`, the route or mirror is
    added to that config, which has the rest already.
    """

    file: Path
    state: Path
    platform: Platform
    kind: Kind
    slug: str
    name: str
    outbox: Path
    inbox: Path | None = None
    source: str = ""
    inputs: Mapping[str, Source] = field(default_factory=dict)
    settle: str = ""
    poll: str = ""
    unit: Unit | None = None
    existing: ExistingConfig | None = None

    @property
    def folders(self) -> list[Path]:
        """The folders for cases."""
        return [self.outbox, *([self.inbox] if self.inbox else [])]


@dataclass(frozen=True)
class Offer:
    """A target that the token can see; `usable` is None if the right to it was not checked."""

    slug: str
    title: str
    usable: bool | None


# --- what there is to choose from ----------------------------------------------------------------


def offers(platform: GrandChallenge, kind: Kind) -> list[Offer]:
    """Given a kind, return all that the token can see of it, and whether it may use each."""
    seen = _seen(platform, kind)
    is_short = len(seen) <= _MAX_CALLS
    return [
        Offer(each.slug, each.title, _may_use(platform, kind, each) if is_short else None)
        for each in seen
    ]


def _seen(platform: GrandChallenge, kind: Kind) -> Sequence[Algorithm | Collection]:
    match kind:
        case "algorithm":
            return platform.algorithms()
        case "reader_study" | "answers":
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
            case "mirror" | "answers":
                return True
    except Refused:
        return False


def interfaces(platform: GrandChallenge, slug: str) -> tuple[Interface, ...]:
    """Given an algorithm's slug, return its interfaces; none if the token can't see it."""
    found = platform.algorithm(slug)
    return found.interfaces if found else ()


def propose_sources(interface: Interface) -> dict[str, Source]:
    """Return a source for each socket: all files, or a subfolder or file of its own."""
    if len(interface.inputs) == 1:
        return {each.slug: propose_source(each) for each in interface.inputs}
    return {each.slug: _apart(each) for each in interface.inputs}


def propose_source(socket: Socket) -> Source:
    """Return a source for a socket that is the only one."""
    return Glob("**/*") if socket.super_kind == "Image" else _apart(socket)


def _apart(socket: Socket) -> Source:
    if socket.super_kind == "Image":
        return Glob(f"{socket.slug}/**/*")
    name = socket.relative_path.rpartition("/")[2] or f"{socket.slug}.json"
    return JsonFile(name) if socket.super_kind == "Value" else Glob(name)


# --- sources of sockets ---------------------------------------------------------------------


_SOURCE: Final[TypeAdapter[Source]] = TypeAdapter(Source)


def read_source(what: str) -> Source:
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


def source_text(given: Source) -> str:
    """Return a source as `read_source` reads it."""
    match given:
        case Constant(value):
            return json.dumps(value)
        case JsonFile(file):
            return f"@{file}"
        case Column(column):
            return f"{{column: {column}}}"
        case Named(name):
            return name
        case Glob(pattern):
            return pattern


def name_of(slug: str) -> str:
    """Given a slug, return a name for its route."""
    return re.sub("[^a-z0-9]+", "-", slug.lower())[:40].strip("-") or "route"


# --- the token -----------------------------------------------------------------------------------


def token_owner(settings: Settings, entered: str) -> str:
    """Given a token as entered, return its owner; raise TokenRefused if it has none."""
    token = token_in(entered)
    if not token:
        raise Misused("This is not a token.")
    platform = connect(settings, token)
    with closing(platform):
        return platform.me()


def save_token(file: Path, entered: str) -> None:
    """Save a token in a file that only its owner can read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, f"{token_in(entered)}\n".encode(), 0o600)


# --- the file ------------------------------------------------------------------------------------


def text(choices: Choices) -> str:
    """Given choices, return the config file, or what is added to the existing one.

    Raises:
        Misused: an input is to be null, which TOML does not have.
    """
    # By itself tomli-w writes one short route as an inline table, where nobody adds a second one.
    table = "mirror" if choices.kind in MIRRORED else "route"
    parts = [f"[[{table}]]\n{_toml(_keys(choices), choices)}"]
    inputs = {slug: _written(each) for slug, each in choices.inputs.items()}
    for key, held in {"source": _source(choices), "inputs": inputs}.items():
        if held:
            parts.append(_toml({"route": {key: held}}, choices))
    if choices.existing:
        return f"\n{_ADDED}\n" + "\n".join(parts)
    platform = choices.platform.model_dump(exclude_defaults=True)
    top = {"state": choices.state, **({"platform": platform} if platform else {})}
    return f"{_HEADING}\n" + "\n".join([_toml(top, choices), *parts])


_ADDED = "# Added by gcwatch init --add."
_HEADING = "# Written by gcwatch init. Every key: docs/configuration.md, or gcwatch schema."


def _keys(choices: Choices) -> dict[str, Any]:
    """Return the keys of the route, or of the mirror, that have a value."""
    is_mirror = choices.kind in MIRRORED
    keys = {
        "name": choices.name,
        "inbox": choices.inbox,
        "outbox": choices.outbox,
        MIRRORED.get(choices.kind, choices.kind): choices.slug,
        "settle": choices.settle,
        "every" if is_mirror else "poll": choices.poll,
    }
    return {key: value for key, value in keys.items() if value}


def _source(choices: Choices) -> dict[str, str]:
    return {"archive": choices.source} if choices.source else {}


def _written(given: Source) -> Any:
    """Return a socket's source as a config file has it."""
    match given:
        case Constant(value):
            return {"value": value}
        case JsonFile(file):
            return {"json": file}
        case Column(column):
            return {"column": column}
        case Named(name):
            return {"socket": name}
        case Glob(pattern):
            return pattern


def _toml(table: Mapping[str, Any], choices: Choices) -> str:
    """Return a table as TOML; paths below the config file's folder are relative to it."""
    try:
        return tomli_w.dumps(_with_paths(table, choices.file.parent))
    except TypeError as error:  # JSON has nothing else that TOML has not
        message = "A config file can't say null."
        raise Misused(message, "Put the value into a JSON file: @FILE") from error


def _with_paths(value: Any, folder: Path) -> Any:
    match value:
        case dict():
            return {key: _with_paths(each, folder) for key, each in value.items()}
        case Path():
            return str(value.relative_to(folder) if value.is_relative_to(folder) else value)
        case _:
            return value


def settings(choices: Choices) -> Settings:
    """Return the settings of the file that will be written.

    Raises:
        ConfigError: they can't be used: folders overlap, or a name is not allowed.
    """
    before = choices.existing.text if choices.existing else ""
    try:
        return config.parse(choices.file, before + text(choices))
    except ConfigError as error:
        # Nobody has seen the file yet, so its line numbers would not help.
        raise ConfigError(
            error.file, [replace(each, line=None) for each in error.problems]
        ) from None


def findings(choices: Choices, platform: Platform) -> list[Finding]:
    """Given choices, and the platform with a readable token, return what is wrong.

    It checks the token, the target and its sockets; nothing is written.
    """
    chosen = settings(choices)
    # An existing config's other routes are none of this choice.
    new = replace(
        chosen,
        routes=tuple(each for each in chosen.routes if each.name == choices.name),
        mirrors=tuple(each for each in chosen.mirrors if each.name == choices.name),
        sources=tuple(each for each in chosen.sources if each.name == choices.name),
        platform=platform,
    )
    found = platform_check.check_platform(new)
    return [each for each in found if not each.is_fine]


# --- writing it ----------------------------------------------------------------------------


def require_free(file: Path, *, force: bool) -> None:
    """Raise Misused if the file can't be written, or exists already and *force* is not given."""
    if file.exists() and not force:
        raise Misused(f"{file} exists already.", "Name another with --config, or use --force.")
    place = next(each for each in file.parents if each.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        raise Misused(
            f"{place} can't be written.", "Name another with --config, or run this as root."
        )


def write_config(choices: Choices) -> list[Path]:
    """Make the missing folders, then the file, atomically; return the folders that were made."""
    owner = systemd_unit.user_and_group() if choices.unit else (-1, -1)
    wanted = [*((each.parent, PARENT_MODE) for each in choices.folders)]
    wanted += [(each, SHARED_MODE) for each in choices.folders]
    if choices.existing is None:
        wanted = [(choices.state, _PRIVATE_MODE), *wanted]
    made = [folder for folder, mode in wanted if _make(folder, mode, owner)]
    if choices.existing is not None:
        choices.existing.append(text(choices))
        return made
    choices.file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(choices.file, _encoded(text(choices)), 0o600)
    if choices.unit:
        os.chown(choices.file, -1, owner[1])
        choices.file.chmod(0o640)
    return made


def _make(folder: Path, mode: int, owner: tuple[int, int]) -> bool:
    """Make a folder with a mode, whatever the umask; leave an existing one as it is."""
    if folder.exists():
        return False
    for above in reversed([each for each in folder.parents if not each.exists()]):
        above.mkdir()
        above.chmod(_PASSABLE_MODE)
    folder.mkdir(_PRIVATE_MODE)
    os.chown(folder, *owner)
    folder.chmod(mode)
    return True


def _encoded(written: str) -> bytes:
    try:
        return written.encode()
    except UnicodeEncodeError as error:
        raise Misused("A path is not UTF-8; a config file must be.") from error


def next_commands(choices: Choices) -> list[str]:
    """Return the two next commands: one checks the config, one lets gcwatch run by it."""
    file = choices.file
    if choices.unit:
        return choices.unit.commands(_program(), is_running=choices.existing is not None)
    try:
        is_found = config.find().resolve() == file.resolve()
    except ConfigError:
        is_found = False
    named = "" if is_found else f" --config {shlex.quote(os.fspath(file))}"
    pid = running_daemon(choices.state) if choices.existing else None
    follow = f"gcwatch run{named}" if pid is None else f"kill -HUP {pid}"
    return [f"gcwatch check{named}", follow]


def _program() -> str:
    """Return the path of this program, which may not be on an administrator's PATH."""
    called = Path(shutil.which(sys.argv[0]) or "")
    return str(called.absolute()) if called.name == "gcwatch" else "gcwatch"


def platform_of(**keys: Any) -> Platform:
    """Given keys of the table [platform], return it; raise Misused if one is wrong."""
    try:
        return Platform(**{key: value for key, value in keys.items() if value is not None})
    except ValidationError as error:
        raise records.usage_error(error, "platform") from error
