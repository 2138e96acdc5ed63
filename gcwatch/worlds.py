"""The world that steps work in, and how it is exchanged while some are at work in the old one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gcwatch.perform import World


@dataclass
class _Held:
    """A world, and how many work in it."""

    world: World
    users: int = 0


class Worlds:
    """The one that is worked in from now on; a former one ends when the last has left it."""

    def __init__(self, world: World) -> None:
        self._held = _Held(world)
        self._lock = threading.Lock()

    def change(self, world: World) -> None:
        """Whoever begins from now on works in another world."""
        with self._lock:
            former, self._held = self._held, _Held(world)
        self._end(former)

    @contextmanager
    def now(self) -> Iterator[World]:
        """Work in what is the world now; it stays as it is for as long as the block lasts."""
        with self._lock:
            held = self._held
            held.users += 1
        try:
            yield held.world
        finally:
            with self._lock:
                held.users -= 1
            self._end(held)

    def close(self) -> None:
        """Nobody works any more."""
        self._held.world.transfers.close()

    def _end(self, held: _Held) -> None:
        with self._lock:
            is_over = held is not self._held and not held.users
        if is_over:
            held.world.transfers.close()
