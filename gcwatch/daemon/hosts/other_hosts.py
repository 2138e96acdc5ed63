"""The other hosts that share the journal, as far as this one's work depends on them."""

from collections.abc import Callable, Sequence

from gcwatch.daemon.current_config import CurrentConfig
from gcwatch.journal.hosts.hosts import Host


class OtherHosts:
    """Knows which routes are left to other hosts, and how many share the account's limits.

    Args:
        current: The settings of the moment.
        away: Returns the routes whose inbox this host can't reach; one more may be added there.
    """

    def __init__(self, current: CurrentConfig, away: Callable[[], set[str]]) -> None:
        self._current, self._away = current, away
        self._others: Sequence[Host] = ()

    def follow(self, others: Sequence[Host]) -> None:
        """Given the other hosts that live, share the account's limits with them."""
        self._current.share_limits(len(others) + 1)
        self._others = others

    def left_to_them(self) -> frozenset[str]:
        """Return the routes whose inbox this host can't reach, and another one can."""
        away = frozenset(self._away())
        reached = [away - each.progress.away for each in self._others if each.pause is None]
        return frozenset().union(*reached)

    def is_left(self, route: str) -> bool:
        """Given a route whose inbox can't be reached, return whether its cases are for others."""
        self._away().add(route)  # known now, and not only after the next scan
        return route in self.left_to_them()
