"""Which gcwatch an inbox belongs to: two with different journals would send each folder twice.

Each gcwatch leaves a marker in its inboxes, one for each target. It names the state directory, by
an identity that lies there. If the inbox is read-only, the marker is in the outbox.
"""

import hashlib
import json
import secrets
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from gcwatch.config import Route
from gcwatch.core.errors import StateError
from gcwatch.files.atomic import FILE_MODE, write_atomically
from gcwatch.files.beneath import SharePath
from gcwatch.files.safe_open import read_small_file
from gcwatch.journal.databases.sqlite import no_access_error

_LONGEST_MARKER_BYTES: Final = 4096
IDENTITY_FILE: Final = "identity"


@dataclass(frozen=True)
class Owner:
    """A gcwatch: the identity of its state directory, and where that is, for people.

    Hosts that share a journal are one gcwatch: `state` is the journal's address, and `host` is "".
    """

    identity: str
    host: str
    state: str

    def is_same_place(self, other: "Owner") -> bool:
        """Whether both have the same state directory, although its content may be another."""
        return (self.host, self.state) == (other.host, other.state)


def this_owner(state: Path) -> Owner:
    """Given a state directory, return who it makes of this gcwatch; a new one gets an identity.

    Raises:
        JournalUnavailable: when its disk is full or read-only.
    """
    file = state / IDENTITY_FILE
    identity = (read_small_file(SharePath.of(file), _LONGEST_MARKER_BYTES) or b"").decode(
        "ascii", "ignore"
    )
    if not identity:
        identity = secrets.token_hex(16)
        try:
            write_atomically(file, identity.encode())
        except OSError as error:
            raise no_access_error(state, error) from error
    return Owner(identity, socket.gethostname(), str(state.resolve()))


def claim_inboxes(
    routes: Iterable[Route], owner: Owner, *, host: str = "", take_over: bool = False
) -> list[Owner]:
    """Mark the inboxes of some routes as this gcwatch's; return the former owners of others.

    `host` is the identity of this host: several may start at the same moment.

    An inbox is taken over with *take_over*, and if the former owner had the same state directory on
    this computer: then that directory's content is lost, and nobody else can be at work.

    Raises:
        StateError: when an inbox belongs to another gcwatch; then nothing is marked.
        OSError: when neither inbox nor outbox can be written.
    """
    found = [(route, _read_owner(route)) for route in routes if route.inbox.is_dir()]
    former = []
    for route, other in found:
        if other is not None and other.identity != owner.identity:
            if not take_over and not other.is_same_place(owner):
                raise _other_owner_error(route, other)
            former.append(other)
    for route, other in found:
        if other != owner:
            _write_owner(route, owner, host)
    return list(dict.fromkeys(former))


def _other_owner_error(route: Route, other: Owner) -> StateError:
    return StateError(
        f"The inbox {route.inbox} belongs to another gcwatch: {_in_words(other)}. Two would send "
        "each folder twice.",
        "Stop that one, or take the route out of one of the two configs. If that one is gone for "
        "good, start this one with --take-over, once.",
    )


def _in_words(owner: Owner) -> str:
    if not owner.host:
        return f"the one with the journal {owner.state}"
    return f"the one on {owner.host} with the state directory {owner.state}"


def _marker_name(route: Route) -> str:
    """Return the name of a route's marker: routes from one inbox to two targets have two."""
    digest = hashlib.sha256(f"{route.kind}/{route.target}".encode()).hexdigest()[:16]
    return f".gcwatch-{digest}.owner"


def _read_owner(route: Route) -> Owner | None:
    """Return the owner whom a route's marker names; None without one, or if it makes no sense."""
    for folder in (route.inbox, route.outbox):
        with suppress(OSError, ValueError, TypeError):
            marker = read_small_file(SharePath(folder) / _marker_name(route), _LONGEST_MARKER_BYTES)
            told = json.loads(marker or b"null")
            if isinstance(told, dict) and all(isinstance(each, str) for each in told.values()):
                return Owner(**told)
    return None


def _write_owner(route: Route, owner: Owner, host: str) -> None:
    content, name = json.dumps(asdict(owner)).encode(), _marker_name(route)
    try:
        write_atomically(SharePath(route.inbox) / name, content, FILE_MODE, writer=host)
    except OSError:
        write_atomically(SharePath(route.outbox) / name, content, FILE_MODE, writer=host)
