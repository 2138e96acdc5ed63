"""`gcwatch systemd`: the systemd drop-in that a config file needs.

The unit lets gcwatch write only to its state directory, and hides homes and temporary folders. The
drop-in opens exactly the folders that the config names (systemd.exec(5)).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from gcwatch.commands.systemd_unit import Unit
from gcwatch.config import Mirror, Route, Settings
from gcwatch.config.load import CREDENTIAL
from gcwatch.config.values.types import is_within
from gcwatch.core.errors import Misused

_HOMES: Final = (Path("/home"), Path("/root"), Path("/run/user"))
_TEMPORARY: Final = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 -- named to say no more than that


def dropin(settings: Settings, unit: Unit) -> str:
    """Given settings and the unit that will run with them, return the text of the drop-in.

    Raises:
        Misused: when a path can't be written in a unit file.
    """
    written, read = _written(settings, unit), _read(settings, unit)
    hidden = [each for each in (*written, *read) if _is_hidden(each)]
    lines = [
        f"# Save this as /etc/systemd/system/{unit.name}.service.d/paths.conf",
        f"# For the config {_one_line(settings.file)}; made by: gcwatch systemd",
        *_remarks(settings, unit, written, hidden),
        "[Unit]",
        *(f"RequiresMountsFor={_quoted(each)}" for each in _needed(settings, written, hidden)),
        "",
        "[Service]",
        *(["LoadCredential="] if settings.platform.token_file else []),
        *(f"LoadCredential={CREDENTIAL}:{each}" for each in _password(settings, unit)),
        *(["ProtectHome=tmpfs"] if any(_is_in(each, _HOMES) for each in hidden) else []),
        *(f"ReadWritePaths={_quoted(each)}" for each in written if each not in hidden),
        *(f"BindPaths={_bound(each)}" for each in written if each in hidden),
        *(f"BindReadOnlyPaths={_bound(each)}" for each in read if each in hidden),
    ]
    return "\n".join(lines) + "\n"


def _remarks(
    settings: Settings, unit: Unit, written: Iterable[Path], hidden: Iterable[Path]
) -> Iterator[str]:
    """Yield what a person has to do, as comments."""
    if settings.file.absolute() != unit.config:
        yield f"# But {unit.name}.service runs with {unit.config}"
    token = [] if settings.platform.token_file else [unit.token]
    for each in (*written, *hidden, *token, *_password(settings, unit)):
        if not each.exists():
            yield f"# This must be there before the service starts: {_one_line(each)}"
    for each in hidden:
        yield f"# Hidden from services, so it is bound by name: {_one_line(each)}"


# --- which folders -------------------------------------------------------------------------------


def _written(settings: Settings, unit: Unit) -> list[Path]:
    folders = [each for route in settings.routes for each in _of_route(route)]
    folders += [each for mirror in settings.mirrors for each in _of_mirror(mirror)]
    folders += [settings.log.file.parent] if settings.log.file else []
    textfile = settings.metrics.textfile
    folders += [textfile.parent] if textfile else []
    found = _outermost((settings.state, *folders))
    return [each for each in found if not is_within(each, unit.state)]


def _of_route(route: Route) -> Iterator[Path]:
    """Yield what a route writes to; its inbox too if it moves or deletes folders there."""
    yield route.outbox
    if route.report is not None:
        yield route.report.parent
    if route.after != "keep":
        yield route.inbox
    if route.done is not None:
        yield route.done


def _of_mirror(mirror: Mirror) -> Iterator[Path]:
    yield mirror.outbox
    if mirror.gone_to is not None:
        yield mirror.gone_to


def _read(settings: Settings, unit: Unit) -> list[Path]:
    """Return the paths that are only read and are not inside a written folder."""
    inboxes = [route.inbox for route in settings.routes]
    written = _written(settings, unit)
    found = _outermost([*inboxes, *_named(settings)])
    return [each for each in found if not any(is_within(each, other) for other in written)]


def _named(settings: Settings) -> list[Path]:
    """Return the single files that are read."""
    platform = settings.platform
    named = [settings.file, platform.token_file, platform.ca_bundle, settings.alerts.urls_file]
    journal = settings.journal.files if settings.journal is not None else []
    return [each for each in (*named, *journal) if each is not None]


def _password(settings: Settings, unit: Unit) -> list[Path]:
    """Return the file of a credential: the password of a journal that names no other way."""
    journal = settings.journal
    return [unit.journal_password] if journal is not None and journal.may_need_password else []


def _needed(settings: Settings, written: Iterable[Path], hidden: Iterable[Path]) -> list[Path]:
    """Return what has to be mounted before the service starts.

    Not a share that has only inboxes: it may be mounted later, and other routes do not wait for it.
    """
    return _outermost((*written, *hidden, *_named(settings)))


def _outermost(folders: Iterable[Path]) -> list[Path]:
    """Return the folders without those that lie inside another, sorted."""
    found: list[Path] = []
    for each in sorted(set(folders)):
        if not any(is_within(each, other) for other in found):
            found.append(each)
    return found


def _is_in(path: Path, places: Iterable[Path]) -> bool:
    return any(is_within(path, place) for place in places)


def _is_hidden(path: Path) -> bool:
    return _is_in(path, (*_HOMES, *_TEMPORARY))


# --- how systemd reads them ----------------------------------------------------------------------


def _quoted(path: Path) -> str:
    """Return a path as a unit file needs it: in quotes, without specifiers."""
    text = str(path)
    if not text.isprintable():
        raise Misused(
            f"A unit file can't name {_one_line(path)}.",
            "Rename the folder, with printable letters only.",
        )
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _bound(path: Path) -> str:
    """Return a path as the source and target of a bind mount, which a colon would divide."""
    return _quoted(path).replace(":", "\\:")


def _one_line(path: Path) -> str:
    return ascii(str(path))[1:-1]
