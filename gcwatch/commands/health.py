"""`gcwatch health`: whether gcwatch works, and whether somebody is needed, in one line."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from gcwatch.commands.status import Overview
from gcwatch.core.attention import attention_at
from gcwatch.core.reasons import explain, is_normal
from gcwatch.core.text import count_noun
from gcwatch.wording.host_view import HostView


class Level(IntEnum):
    """How it is; the numbers are exit codes, as monitoring plugins have them."""

    WELL = 0
    NEEDS_SOMEBODY = 1
    NOT_WORKING = 2


_WORDS = {
    Level.WELL: "well",
    Level.NEEDS_SOMEBODY: "needs somebody",
    Level.NOT_WORKING: "not working",
}


@dataclass(frozen=True)
class Health:
    """How it is, why in a few words, and the numbers of cases. No name and no key is in it."""

    level: Level
    why: str
    numbers: dict[str, int] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """One line; behind the bar are the numbers, as monitoring plugins write them."""
        text = f"gcwatch: {_WORDS[self.level]}: {self.why}"
        numbers = " ".join(f"{name}={number}" for name, number in self.numbers.items())
        return f"{text} | {numbers}" if numbers else text

    def record(self) -> dict[str, Any]:
        """Return it as a record for JSON."""
        return {
            "level": int(self.level),
            "health": _WORDS[self.level],
            "why": self.why,
            **self.numbers,
        }


def judge_health(seen: Overview) -> Health:
    """Given the state at one moment, return how it is."""
    numbers = _count(seen)
    if faults := _find_faults(seen):
        return Health(Level.NOT_WORKING, "; ".join(faults), numbers)
    wanted = {
        "case": (numbers["failed"], "failed"),
        "delivered case": (numbers["to_check"], "to check"),
        "open case": (numbers["stuck"], "waiting for somebody"),
        "mirror": (numbers["mirrors_failed"], "failed"),
        "file or folder": (numbers["not_sent"], "not sent"),
        "alert": (numbers["alerts_waiting"], "not delivered"),
        "host": (numbers.get("hosts_silent", 0), "silent"),
        "living host": (numbers.get("hosts_paused", 0), "paused"),
    }
    told = [
        f"{_count_noun(number, noun)} {what}" for noun, (number, what) in wanted.items() if number
    ]
    if told:
        return Health(Level.NEEDS_SOMEBODY, ", ".join(told), numbers)
    return Health(Level.WELL, f"{count_noun(numbers['open'], 'open case')}", numbers)


def _count_noun(number: int, noun: str) -> str:
    if noun == "file or folder" and number > 1:
        return f"{number} files or folders"
    return count_noun(number, noun)


def _count(seen: Overview) -> dict[str, int]:
    needs = Counter(attention_at(view.stage, view.reason) for view in seen.views)
    closed = needs["failed"] + needs["to_check"]
    return {
        "open": len(seen.views) - closed,
        "stuck": needs["stuck"],
        "failed": needs["failed"],
        "to_check": needs["to_check"],
        "mirrors_failed": sum(bool(each.reason or each.failed) for each in seen.mirrors),
        "not_sent": sum(
            not is_normal(each) for reasons in seen.unused.values() for each in reasons
        ),
        "alerts_waiting": seen.alerts_waiting,
        **({} if seen.hosts is None else _count_hosts(seen.hosts)),
    }


def _count_hosts(hosts: Sequence[HostView]) -> dict[str, int]:
    """Return how many hosts share the journal, and how many of them do not work.

    A host is paused, too, if it is older than what the journal needs.
    """
    return {
        "hosts": len(hosts),
        "hosts_silent": sum(not each.alive for each in hosts),
        "hosts_paused": sum(each.alive and bool(each.paused) for each in hosts),
    }


def _find_faults(seen: Overview) -> list[str]:
    """Return why nothing, or nothing of some routes, is sent; an empty list if all is."""
    if seen.daemon is None:
        return ["no gcwatch runs (gcwatch run, or the service)"]
    faults = [explain(seen.pause).plain.rstrip(".")] if seen.pause else []
    return faults + [f"the inbox of route {route} can't be reached" for route in seen.away]
