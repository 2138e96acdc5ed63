"""What `gcwatch send` remembers: which paths were sent where, so that nothing is sent twice.

The cases that one call sends for the first time are an order. Orders are in the folder `send` of
the state directory, apart from the daemon's journal:

    send/<identity>.json     a case's record: its order, and where its results go
    send/order-<...>/        an order's own state directory: journal, spool and lock

A case's identity is a digest of its target, its path and the state of its files. It never leaves
this directory.
"""

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from gcwatch.config import Source
from gcwatch.config.messages import describe_error
from gcwatch.core.errors import CaseError, Misused, SourceVanished, StateError
from gcwatch.core.reasons import explain
from gcwatch.core.text import readable_name
from gcwatch.files.atomic import sync_folder, write_atomically
from gcwatch.files.lock import exclusive_lock
from gcwatch.inbox.layouts import inbox_of
from gcwatch.inbox.single import SingleCaseRoute

Paths = str | Path | Sequence[str | Path]
"""One path or several."""

NAME: Final = "send"
"""The folder in the state directory, and the beginning of the cases' keys."""


def routes(paths: Paths, options: Mapping[str, Any], output: Path | None) -> list[SingleCaseRoute]:
    """Given paths and the keys of a route, return a route for each case.

    Each folder is a case, and all files together are one.

    Raises:
        Misused: when a path does not exist, or a key of *options* is wrong.
    """
    found = found_paths(paths)
    folders = [path for path in found if path.is_dir()]
    files = [path for path in found if not path.is_dir()]
    if not found:
        raise Misused("There is nothing to send.", "Name the files and folders to send.")
    for folder in folders:
        keep_apart(folder, output)
    cases = [_folder(path) for path in dict.fromkeys(folders)]
    if files:
        cases.append(_files(list(dict.fromkeys(files))))
    return [_route({**case, **options, "outbox": output or Path.cwd()}) for case in cases]


def found_paths(paths: Paths) -> list[Path]:
    """Return each path without symbolic links; raise Misused if one does not exist."""
    return [_found(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]


def _found(given: str | Path) -> Path:
    """Given a path, return it without symbolic links; a link to a file keeps its own name."""
    if not str(given):
        raise Misused("A path to send is empty.", "Name a file or folder; . is this folder.")
    path = Path(given).expanduser()
    try:
        real = path.resolve(strict=True)
        mode = real.stat().st_mode
    except OSError as error:
        raise Misused(f"{readable_name(str(given))}: {error.strerror}.") from error
    if stat.S_ISREG(mode):
        return path.parent.resolve() / path.name
    if not stat.S_ISDIR(mode):
        raise Misused(f"{readable_name(str(given))} is neither a file nor a folder.")
    return real


def require_folder(folder: Path) -> None:
    """Raise Misused if a folder that is to be made is something else already."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise Misused(f"{readable_name(str(folder))} is not a folder.", "Name another folder.")


def keep_apart(folder: Path, output: Path | None) -> None:
    """Raise Misused if results would be in what is sent: they would be a case the next time."""
    if output is not None and output.resolve().is_relative_to(folder):
        message = f"The output folder is inside {readable_name(str(folder))}, which is to be sent."
        raise Misused(message, "Name a folder outside it.")


def _folder(path: Path) -> Mapping[str, Any]:
    return {"folder": path.name, "inbox": path.parent, "given": (path.name,), "whole": True}


def _files(paths: Sequence[Path]) -> Mapping[str, Any]:
    """Return the keys of a case of files; they are named by their paths below a common folder."""
    above = Path(os.path.commonpath([path.parent for path in paths]))
    given = tuple(str(path.relative_to(above)) for path in paths)
    name = paths[0].name.partition(".")[0] if len(paths) == 1 else above.name
    return {"folder": name or "files", "inbox": above, "given": given, "whole": False}


def _route(keys: Mapping[str, Any]) -> SingleCaseRoute:
    try:
        return SingleCaseRoute(name=NAME, settle=0.0, **keys)
    except ValidationError as error:
        raise usage_error(error, "route", 0) from error


def usage_error(error: ValidationError, *table: str | int) -> Misused:
    """Given an error in a table of the config, return it as an error of usage."""
    [first, *_] = error.errors(include_url=False, include_input=False)
    found = describe_error({**first, "loc": (*table, *first["loc"])})
    key = ".".join(map(str, found.loc[len(table) :]))
    return Misused(f"{key} {found.message}", found.hint)


# --- identity ------------------------------------------------------------------------------------


def identity(route: SingleCaseRoute, url: str) -> str:
    """Given a case's route and the platform's URL, return the identity of the case.

    Raises:
        Misused: when it has no files to send, or can't be read.
    """
    where = f"{readable_name(str(route.inbox / route.folder))}"
    try:
        seen = inbox_of(route).snapshot_case(route.folder)
    except CaseError as error:
        words = explain(error.reason)
        raise Misused(f"{where}: {readable_name(words.detail)}", words.hint) from error
    except SourceVanished as error:
        raise Misused(f"{where} does not exist any more.") from error
    if not seen.files:
        raise Misused(f"{where} has no files to send.")
    inputs = {slug: _plain(source) for slug, source in (route.inputs or {}).items()}
    target = [url, route.kind, route.target, inputs]
    # In hex: a name may have bytes that JSON can't hold.
    source = [os.fsencode(route.inbox).hex(), os.fsencode(route.folder).hex(), seen.digest]
    return hashlib.sha256(json.dumps([target, source], sort_keys=True).encode()).hexdigest()


def _plain(source: Source) -> Mapping[str, Any]:
    """Given a socket's source, return it as JSON that later versions must return as well."""
    # Without what is False: a new option of a later version then changes no identity.
    facts = {key: value for key, value in asdict(source).items() if value is not False}
    return {type(source).__name__: facts}


# --- records --------------------------------------------------------------------------


@dataclass(frozen=True)
class SendRecord:
    """The record of a case: its order, its route there, and where its results go.

    `outbox` is empty if there is no output folder: the order's own folder has the receipt. `names`
    and `title` are those that it was sent with; None in a record of an earlier version.
    """

    order: str
    route: str
    outbox: str
    names: str | None = None
    title: str | None = None


@dataclass(frozen=True)
class Wanted:
    """What a call wants besides the identity of a case: the fields of a `SendRecord`."""

    outbox: str
    names: str
    title: str


class SendStore:
    """The records of one state directory, and the folders of its orders."""

    def __init__(self, state: Path) -> None:
        self.root = state / NAME

    def find(self, name: str) -> SendRecord | None:
        """Given the identity of a case, return its record, or None if it was never sent."""
        try:
            return SendRecord(**json.loads((self.root / f"{name}.json").read_bytes()))
        except FileNotFoundError:
            return None

    def save(self, name: str, record: SendRecord) -> None:
        """Write the record of a case."""
        write_atomically(self.root / f"{name}.json", json.dumps(asdict(record)).encode())

    def find_or_create(self, names: Sequence[str], wanted: Wanted) -> list[SendRecord]:
        """Given the identities of cases, return their records; the new cases become one order."""
        with self._locked():
            known = {name: self.find(name) for name in names}
            new = [name for name in known if known[name] is None]
            if new:
                order = Path(tempfile.mkdtemp(prefix="order-", dir=self.root)).name
                # The folder of the order is on the disk before a record names it.
                sync_folder(self.root)
            for number, name in enumerate(new, 1):
                self.save(name, SendRecord(order, f"{NAME}-{number}", **asdict(wanted)))
            return [record for name in names if (record := self.find(name)) is not None]

    def state(self, record: SendRecord) -> Path:
        """Return the state directory of a record's order."""
        return self.root / record.order

    def outbox(self, record: SendRecord) -> Path:
        """Return the folder for the results and the receipt of a case."""
        return Path(record.outbox) if record.outbox else self.state(record) / "out"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from creating records meanwhile."""
        with ExitStack() as stack:
            try:
                self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
                stack.enter_context(exclusive_lock(self.root / "lock", wait_seconds=None))
            except OSError as error:
                message = f"The state directory {self.root} can't be used: {error.strerror}."
                raise StateError(
                    message, "Name another in a config file, with the key state."
                ) from error
            yield
