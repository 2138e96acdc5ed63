"""A one-off order: paths and a target become routes for one case each, and are remembered.

What is remembered lies in `send` in the state directory, apart from the daemon's own journal:

    send/<identity>.json     which order a case belongs to, and where its results go
    send/order-<...>/        one order's journal, spool and lock: a state directory of its own

A case's identity is a digest over where it goes, where it lies and what it looks like. It never
leaves this directory.
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
from gcwatch.config.messages import mistake
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
"""What the keys of one-off cases begin with."""


def routes(paths: Paths, options: Mapping[str, Any], output: Path | None) -> list[SingleCaseRoute]:
    """Given paths and what a route says, return a route for each case.

    Each folder is a case, and all files together are one.

    Raises:
        Misused: when a path is not there, or a key of *options* is wrong.
    """
    found = [_found(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    folders = [path for path in found if path.is_dir()]
    files = [path for path in found if not path.is_dir()]
    if not found:
        raise Misused("There is nothing to send.", "Name the files and folders to send.")
    for folder in folders:
        _keep_apart(folder, output)
    cases = [_folder(path) for path in dict.fromkeys(folders)]
    if files:
        cases.append(_files(list(dict.fromkeys(files))))
    return [_route({**case, **options, "outbox": output or Path.cwd()}) for case in cases]


def _found(given: str | Path) -> Path:
    """Given a path, return the real one; only a link to a file keeps its own name."""
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


def _keep_apart(folder: Path, output: Path | None) -> None:
    if output is not None and output.resolve().is_relative_to(folder):
        message = (
            f"The output folder lies inside {readable_name(str(folder))}, which is to be sent."
        )
        raise Misused(message, "Name one that lies elsewhere.")


def _folder(path: Path) -> Mapping[str, Any]:
    return {"folder": path.name, "inbox": path.parent, "given": (path.name,), "whole": True}


def _files(paths: Sequence[Path]) -> Mapping[str, Any]:
    """Several files go by their names; by their places below one folder where those are equal."""
    above = Path(os.path.commonpath([path.parent for path in paths]))
    given = tuple(str(path.relative_to(above)) for path in paths)
    name = paths[0].name.partition(".")[0] if len(paths) == 1 else above.name
    return {"folder": name or "files", "inbox": above, "given": given, "whole": False}


def _route(keys: Mapping[str, Any]) -> SingleCaseRoute:
    try:
        return SingleCaseRoute(name=NAME, settle=0.0, **keys)
    except ValidationError as error:
        raise misused(error, "route", 0) from error


def misused(error: ValidationError, *table: str | int) -> Misused:
    """Given what is wrong with keys of a table of the config, return it as wrong usage."""
    [first, *_] = error.errors(include_url=False, include_input=False)
    found = mistake({**first, "loc": (*table, *first["loc"])})
    key = ".".join(map(str, found.loc[len(table) :]))
    return Misused(f"{key} {found.message}", found.hint)


# --- identity ------------------------------------------------------------------------------------


def identity(route: SingleCaseRoute, url: str) -> str:
    """Given a case's route and the platform, return what makes it this case and no other.

    Raises:
        Misused: when there is nothing in it to send, or it can't be read.
    """
    where = f"{readable_name(str(route.inbox / route.folder))}"
    try:
        seen = inbox_of(route).snapshot_case(route.folder)
    except CaseError as error:
        words = explain(error.reason)
        raise Misused(f"{where}: {readable_name(words.detail)}", words.hint) from error
    except SourceVanished as error:
        raise Misused(f"{where} is gone.") from error
    if not seen.files:
        raise Misused(f"{where} holds no files that could be sent.")
    inputs = {slug: _plain(source) for slug, source in (route.inputs or {}).items()}
    target = [url, route.kind, route.target, inputs]
    source = [os.fsencode(route.inbox).hex(), os.fsencode(route.folder).hex(), seen.digest]
    return hashlib.sha256(json.dumps([target, source], sort_keys=True).encode()).hexdigest()


def _plain(source: Source) -> Mapping[str, Any]:
    """Given a socket's source, return it as JSON that later versions of gcwatch make as well."""
    facts = {key: value for key, value in asdict(source).items() if value is not False}
    return {type(source).__name__: facts}


# --- what is remembered --------------------------------------------------------------------------


@dataclass(frozen=True)
class SendRecord:
    """What is remembered of a case: its order, its route there, and where its results go.

    `outbox` is empty where the order itself keeps the receipt.
    """

    order: str
    route: str
    outbox: str


class SendStore:
    """The tickets of one state directory, and the folders of its orders."""

    def __init__(self, state: Path) -> None:
        self.root = state / NAME

    def find(self, name: str) -> SendRecord | None:
        """Given a case's identity, return its ticket, if it ever was in an order."""
        try:
            return SendRecord(**json.loads((self.root / f"{name}.json").read_bytes()))
        except FileNotFoundError:
            return None

    def put(self, name: str, ticket: SendRecord) -> None:
        """Remember a ticket."""
        write_atomically(self.root / f"{name}.json", json.dumps(asdict(ticket)).encode())

    def take(self, names: Sequence[str], outbox: Path | None) -> list[SendRecord]:
        """Given the identities of cases, return their tickets; the new ones become one order."""
        kept = "" if outbox is None else str(outbox)
        with self._alone():
            known = {name: self.find(name) for name in names}
            new = [name for name in known if known[name] is None]
            if new:
                order = Path(tempfile.mkdtemp(prefix="order-", dir=self.root)).name
                sync_folder(self.root)
            for number, name in enumerate(new, 1):
                self.put(name, SendRecord(order, f"{NAME}-{number}", kept))
            return [ticket for name in names if (ticket := self.find(name)) is not None]

    def state(self, ticket: SendRecord) -> Path:
        """Return the state directory of a ticket's order."""
        return self.root / ticket.order

    def outbox(self, ticket: SendRecord) -> Path:
        """Return where a ticket's results and its receipt go."""
        return Path(ticket.outbox) if ticket.outbox else self.state(ticket) / "out"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold off others that would make tickets at this moment; it takes no time."""
        with ExitStack() as stack:
            try:
                self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
                stack.enter_context(exclusive_lock(self.root / "lock", wait_seconds=None))
            except OSError as error:
                message = f"The state directory {self.root} can't be used: {error.strerror}."
                raise StateError(message, "Name another with --state, or a config file.") from error
            yield
