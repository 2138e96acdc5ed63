"""One of several hosts in words."""

from collections.abc import Collection
from dataclasses import dataclass

from gcwatch.core.reasons import Reason, explain
from gcwatch.core.text import count_noun, printable_name, time_span


@dataclass(frozen=True)
class HostView:
    """One host in words.

    `silent` is for how many seconds it has told nothing; if it is not `alive`, it has died or can't
    reach the database, and others go on with its work. `paused` is the code of why all its work is
    paused. `working` is on how many cases it works. `away` are the routes whose inbox it can't
    reach while another host can.
    """

    host: str
    alive: bool
    silent: float
    version: str
    paused: str
    working: int
    away: tuple[str, ...] = ()


def host_sentence(view: HostView) -> str:
    """Return what a host does, or why it does nothing."""
    named = f"{printable_name(view.host)} (gcwatch {printable_name(view.version)})"
    if not view.alive:
        return (
            f"{named}: silent for {time_span(view.silent)}: it has died, or can't reach the "
            "database. Other hosts go on with its cases."
        )
    does = f"works on {count_noun(view.working, 'case')}"
    if view.paused:
        does = f"paused: {explain(Reason(view.paused)).plain.rstrip('.')}"
    away = "".join(f" It can't reach the inbox of route {route}." for route in view.away)
    return f"{named}: {does}.{away}"


def hosts_sentence(views: Collection[HostView]) -> str:
    """Return in one sentence which of several hosts work; "" without any."""
    paused = [view for view in views if view.alive and view.paused]
    kinds = {
        "at work": [view for view in views if view.alive and not view.paused],
        "paused": paused,
        "silent (dead, or without the database)": [view for view in views if not view.alive],
    }
    told = [
        f"{what}: {', '.join(printable_name(view.host) for view in some)}"
        for what, some in kinds.items()
        if some
    ]
    return f"Hosts {'; '.join(told)}." if told else ""
