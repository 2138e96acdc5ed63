"""What does not fit together across keys and routes."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from pydantic_core import PydanticCustomError

from gcwatch.config.mistakes import Mistake, label
from gcwatch.config.tables import state_folder
from gcwatch.config.values import absolute, within


@dataclass(frozen=True)
class _Places:
    """Where one route's folders really are, as far as its table says."""

    index: int
    label: str
    name: Any
    inbox: Path | None
    outbox: Path | None
    done: Path | None

    def wrong(self, key: str, message: str, hint: str) -> Mistake:
        return Mistake(("route", self.index, key), message, hint)


def clashes(data: Mapping[str, Any], folder: Path) -> list[Mistake]:
    """Return what does not fit together; keys that are wrong by themselves are passed over."""
    routes = data.get("route")
    tables = routes if isinstance(routes, list) else []
    places = [_places(i, t, folder) for i, t in enumerate(tables) if isinstance(t, dict)]
    state = (
        _real(data["state"], folder)
        if "state" in data
        else Path(os.path.realpath(state_folder(None)))
    )
    found: list[Mistake] = []
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
    return _Places(index, label(index, table), table.get("name"), inbox, outbox, done)


def _real(value: Any, folder: Path) -> Path | None:
    try:
        return Path(os.path.realpath(absolute(value, folder)))
    except PydanticCustomError:
        return None


def _own_clashes(route: _Places) -> Iterator[Mistake]:
    apart = "put the two side by side: in and out"
    if within(route.outbox, route.inbox):
        yield route.wrong("outbox", "lies inside its own inbox: results would be sent", apart)
    elif within(route.inbox, route.outbox):
        yield route.wrong("inbox", "lies inside its own outbox", apart)
    if within(route.done, route.inbox):
        message = "lies inside its own inbox: what is done would be sent again"
        yield route.wrong("done", message, "put it beside the inbox, on the same disk")


def _state_clashes(route: _Places, state: Path | None) -> Iterator[Mistake]:
    for key, folder in (("inbox", route.inbox), ("outbox", route.outbox)):
        if within(state, folder):
            message = f"lies inside the {key} of {route.label}"
            hint = "name a folder on a local disk that nothing else uses: state = …"
            yield Mistake(("state",), message, hint)


def _pair_clashes(one: _Places, other: _Places) -> Iterator[Mistake]:
    if one.name == other.name and isinstance(one.name, str):
        yield other.wrong("name", f"is the name of route #{one.index + 1} too", "name it otherwise")
    if within(one.inbox, other.inbox) or within(other.inbox, one.inbox):
        message = f"overlaps with the inbox of {one.label}: folders would be sent twice"
        yield other.wrong("inbox", message, "give each route an inbox of its own")


def _outbox_clashes(giver: _Places, taker: _Places) -> Iterator[Mistake]:
    if within(giver.outbox, taker.inbox) and giver.outbox != taker.inbox:
        message = f"lies inside the inbox of {taker.label}, which would take it for a case"
        hint = "make it that inbox itself, so that the routes chain, or put it elsewhere"
        yield giver.wrong("outbox", message, hint)


def _circles(places: list[_Places]) -> list[Mistake]:
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
