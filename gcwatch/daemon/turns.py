"""Which due cases begin next, and how many at a time."""

from collections.abc import Callable, Collection, Iterator

from gcwatch.core.case import Case
from gcwatch.core.rules.priority import RANKS, next_keys
from gcwatch.daemon.current_config import CurrentConfig
from gcwatch.journal.journal import Journal


class Turns:
    """Chooses cases by the priority of their routes, and by the time for which they are due.

    A case of an urgent route finds one place more than there are (`limits.cases`): it begins
    although others are at work.

    Args:
        journal: Which cases are due.
        current: The routes of the moment.
        clock: The time in seconds since the epoch.
        left: Returns the routes that are left to other hosts: those reach their inboxes.
    """

    def __init__(
        self,
        journal: Journal,
        current: CurrentConfig,
        clock: Callable[[], float],
        left: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        self._journal = journal
        self._current = current
        self._clock, self._left = clock, left
        self._starts = 0

    def _ranks(self) -> dict[str, int]:
        return {name: RANKS[each.priority] for name, each in self._current.routes.items()}

    def has_room(self, free: int) -> bool:
        """Given the free places, return whether a case could begin."""
        return free > 0 or (free == 0 and RANKS["urgent"] in self._ranks().values())

    def rank_of(self, case: Case) -> int:
        """Return the rank of a case's route; a lower one goes first."""
        route = self._current.routes.get(case.route)
        return RANKS[route.priority] if route else max(RANKS.values())

    def open_cases(self) -> Iterator[Case]:
        """Yield the open cases of the current routes; read only when the first one is asked for."""
        routes = self._current.routes
        yield from (case for case in self._journal.open_cases() if case.route in routes)

    def choose(self, asked: Collection[str], running: Collection[str], free: int) -> list[str]:
        """Return the keys of the cases that begin now.

        Args:
            asked: Cases that begin first, due or not.
            running: Cases at work.
            free: How many places are free.
        """
        first = [key for key in asked if key not in running][: max(free, 0)]
        left = max(free, 0) - len(first)
        ranks = self._ranks()
        skipped = {*first, *running}
        ranked = self._due(left + len(skipped) + 1, ranks, skipped)
        is_mixed = len(set(ranks.values())) > 1
        oldest = self._due(left + len(skipped), None, skipped) if is_mixed else ranked
        chosen = next_keys([*ranked], [*oldest], self._starts, left)
        self._starts += len(chosen)
        extra = [key for key, rank in ranked.items() if not rank and key not in chosen]
        is_full = len(first) + len(chosen) == free
        return [*first, *chosen, *(extra[:1] if is_full else [])]

    def _due(
        self, limit: int, ranks: dict[str, int] | None, skipped: Collection[str]
    ) -> dict[str, int]:
        """Return due cases in order, by key, with the ranks of their routes."""
        routes = self._current.routes.keys() - self._left()
        found = self._journal.due(routes, self._clock(), limit, ranks)
        return {case.key: self.rank_of(case) for case in found if case.key not in skipped}
