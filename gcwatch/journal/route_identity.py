"""Recognises a route that got a new name in the config.

The journal stores the name of its route with every case. If a route is gone and a new one has the
same inbox and target, it is the same route: its cases get the new name, and nothing is sent again.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from gcwatch.config import Route


@dataclass(frozen=True)
class RouteIdentity:
    """What identifies a route: its inbox, and its target, such as algorithm/lobes."""

    inbox: Path
    target: str

    def has_inbox_of(self, other: "RouteIdentity") -> bool:
        """Whether both watch the same folder, even by different paths."""
        return os.path.realpath(self.inbox) == os.path.realpath(other.inbox)

    def is_same(self, other: "RouteIdentity") -> bool:
        """Whether inbox and target are the same."""
        return self.target == other.target and self.has_inbox_of(other)


RouteIdentities = Mapping[str, RouteIdentity]
"""Identities by route name."""


def route_identities(routes: Iterable[Route]) -> dict[str, RouteIdentity]:
    """Given routes, return their identities by name."""
    return {each.name: RouteIdentity(each.inbox, f"{each.kind}/{each.target}") for each in routes}


def renamed_routes(known: RouteIdentities, wanted: RouteIdentities) -> dict[str, str]:
    """Given the routes in the journal and those in the config, return new names by old ones.

    A route with the same name and inbox is unchanged. Of the others, the same inbox and target
    make the same route. If another route has taken the name of a route that is gone, the gone one
    gets a name that no config can use, such as lobes.2.
    """
    same = {name for name in known.keys() & wanted if known[name].has_inbox_of(wanted[name])}
    left = {name: place for name, place in known.items() if name not in same}
    new = {name: place for name, place in wanted.items() if name not in same}
    moved = _by_place(left, new)
    taken = set(moved.values()) & (left.keys() - moved.keys())
    return moved | {name: _set_aside(name, known) for name in sorted(taken)}


def _by_place(known: RouteIdentities, wanted: RouteIdentities) -> dict[str, str]:
    """Return the new name of each known route whose inbox and target a new route has."""
    found: dict[str, str] = {}
    for name, place in wanted.items():
        former = (old for old, each in known.items() if old not in found and each.is_same(place))
        if (old := next(former, None)) is not None:
            found[old] = name
    return found


def _set_aside(name: str, known: Iterable[str]) -> str:
    return next(free for n in count(2) if (free := f"{name}.{n}") not in known)
