"""Which routes are the same though they are called otherwise.

The journal knows cases by their route's name. A route with a new name, and with the inbox and the
target of one that is not there any more, is that route: its cases get the new name with it, and
nothing is sent again.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from gcwatch.config import Route


@dataclass(frozen=True)
class RouteIdentity:
    """What a route joins: an inbox, and what its cases are sent to, such as algorithm/lobes."""

    inbox: Path
    target: str

    def has_inbox_of(self, other: "RouteIdentity") -> bool:
        """Whether both watch the same folder, by whatever path."""
        return os.path.realpath(self.inbox) == os.path.realpath(other.inbox)

    def is_same(self, other: "RouteIdentity") -> bool:
        """Whether inbox and target are the same."""
        return self.target == other.target and self.has_inbox_of(other)


RouteIdentities = Mapping[str, RouteIdentity]
"""Places by the names of their routes."""


def route_identities(routes: Iterable[Route]) -> dict[str, RouteIdentity]:
    """Given routes, return their places."""
    return {each.name: RouteIdentity(each.inbox, f"{each.kind}/{each.target}") for each in routes}


def renamed_routes(known: RouteIdentities, wanted: RouteIdentities) -> dict[str, str]:
    """Given the routes that the journal knows and those of the config, return new names by old.

    Who has name and inbox as before is the same; then inbox and target tell, and then the name. A
    route that is gone and whose name another has now gets one that no config can give.
    """
    same = {name for name in known.keys() & wanted if known[name].has_inbox_of(wanted[name])}
    left = {name: place for name, place in known.items() if name not in same}
    new = {name: place for name, place in wanted.items() if name not in same}
    moved = _by_place(left, new)
    taken = set(moved.values()) & (left.keys() - moved.keys())
    return moved | {name: _set_aside(name, known) for name in sorted(taken)}


def _by_place(known: RouteIdentities, wanted: RouteIdentities) -> dict[str, str]:
    """Return, by the names of those that are known, who is at their place now; each once."""
    found: dict[str, str] = {}
    for name, place in wanted.items():
        former = (old for old, each in known.items() if old not in found and each.is_same(place))
        if (old := next(former, None)) is not None:
            found[old] = name
    return found


def _set_aside(name: str, known: Iterable[str]) -> str:
    return next(free for n in count(2) if (free := f"{name}.{n}") not in known)
