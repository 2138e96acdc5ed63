"""When somebody is told of a trouble: once when it begins, and once when all is over.

`next_alert` is a function of what was told before and what is so now. What it returns to remember
is kept on disk, so a restart repeats nothing and loses nothing.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, get_args

from gcwatch.core.attention import attention_of
from gcwatch.core.case import Case
from gcwatch.core.reasons import CATALOGUE, is_platform_away
from gcwatch.core.text import count_noun, time_span

TroubleKind = Literal[
    "failed",
    "to_check",
    "stalled",
    "token_refused",
    "disk_full",
    "database_away",
    "journal_newer",
    "inbox_away",
    "mirror_failed",
]

AlertEvent = Literal[TroubleKind, "back_to_normal"]

TROUBLE_KINDS: Final[tuple[TroubleKind, ...]] = get_args(TroubleKind)

ALERT_EVENTS: Final[tuple[AlertEvent, ...]] = (*TROUBLE_KINDS, "back_to_normal")

OF_ONE_HOST: Final[tuple[TroubleKind, ...]] = ("disk_full", "database_away", "journal_newer")
"""Troubles of a computer alone: others that share its journal know nothing of them."""

_PASSING: Final = frozenset(
    {
        *("stalled", "token_refused", "disk_full", "database_away", "journal_newer"),
        *("inbox_away", "mirror_failed"),
    }
)
"""Troubles that end by themselves; a case that failed waits for a person."""

_PLATFORM_AWAY: Final = "platform_away"
"""Stands for all reasons that the platform does not answer: one outage is one trouble."""

_MOST_KEYS: Final = 20
"""Keys that a message names for one trouble."""


@dataclass(frozen=True, order=True)
class Trouble:
    """What is wrong, and of which reason, route or mirror; "" if it is about all."""

    kind: TroubleKind
    about: str = ""


@dataclass(frozen=True)
class ToldTrouble:
    """A trouble that is so since the time `since`, and what was told of it.

    `told` is when a message last named it, None if none did; `keys` are the cases that it named.
    `ended` is when it was over, None if it is not.
    """

    kind: TroubleKind
    about: str
    since: float
    told: float | None = None
    keys: frozenset[str] = frozenset()
    ended: float | None = None

    @property
    def trouble(self) -> Trouble:
        """What is wrong."""
        return Trouble(self.kind, self.about)


@dataclass(frozen=True)
class AlertPolicy:
    """What is told, and when; all times are in seconds.

    `stalled`: how long a case may not come further. `collect`: how long to wait for more of the
    same before a message is sent. `again`: until a trouble that has grown is told again.
    """

    events: frozenset[str] = frozenset(ALERT_EVENTS)
    stalled: float = 4 * 3600.0
    collect: float = 60.0
    again: float = 12 * 3600.0


@dataclass(frozen=True)
class Alert:
    """A message for people: keys of cases, routes and reasons, and no name of a folder."""

    title: str
    body: str
    events: tuple[str, ...] = ()


@dataclass(frozen=True)
class AlertMemory:
    """All troubles that are so, or were told and whose end was not."""

    troubles: tuple[ToldTrouble, ...] = field(default=())

    def told(self, kinds: Collection[str]) -> list[ToldTrouble]:
        """Return the troubles of some kinds that were told and are not over."""
        return [
            each
            for each in self.troubles
            if each.kind in kinds and each.told is not None and each.ended is None
        ]


def troubles_of(
    cases: Iterable[Case],
    progress: Mapping[str, float],
    now: float,
    policy: AlertPolicy,
    *,
    is_calm: bool,
) -> dict[Trouble, frozenset[str]]:
    """Given the cases that need attention or are open, return the troubles with their keys.

    Args:
        cases: As `Journal.attention` returns them.
        progress: When each open case last came further, by key.
        now: The time.
        policy: How long a case may not come further.
        is_calm: Whether no case counts as stalled: all work is paused, or has just begun.
    """
    found: dict[Trouble, set[str]] = {}
    for case in cases:
        match attention_of(case):
            case "failed" if case.failure is not None:
                code = case.failure.code
                about = _PLATFORM_AWAY if is_platform_away(code) else code
                found.setdefault(Trouble("failed", about), set()).add(case.key)
            case "to_check":
                found.setdefault(Trouble("to_check"), set()).add(case.key)
            case _ if not is_calm and now - progress.get(case.key, now) >= policy.stalled:
                found.setdefault(Trouble("stalled"), set()).add(case.key)
    return {trouble: frozenset(keys) for trouble, keys in found.items()}


def next_alert(
    memory: AlertMemory, now_so: Mapping[Trouble, frozenset[str]], now: float, policy: AlertPolicy
) -> tuple[AlertMemory, Alert | None]:
    """Given what was told and which troubles there are now, return what to remember and to tell.

    Args:
        memory: What an earlier call returned; an empty one at first.
        now_so: The troubles of this moment, each with the keys of its cases.
        now: The time.
        policy: What is told, and when.
    """
    current = {each: keys for each, keys in now_so.items() if each.kind in policy.events}
    known = _follow(memory, current, now)
    due = [each for each in known if _is_due(each, current, now, policy)]
    over = _over(known, now, policy)
    if not due and not over:
        return AlertMemory(tuple(known)), None
    # Who is told of one trouble is told of all that is new.
    news = [
        each
        for each in known
        if each in due or (due and each.ended is None and current[each.trouble] - each.keys)
    ]
    alert = _message(news, over, current, now, policy)
    told = [
        replace(each, told=now, keys=current[each.trouble]) if each in news else each
        for each in known
        if each not in over
    ]
    return AlertMemory(tuple(told)), alert


def _follow(
    memory: AlertMemory, current: Mapping[Trouble, frozenset[str]], now: float
) -> list[ToldTrouble]:
    """Return all troubles: those that go on or are over, and new ones."""
    known = {each.trouble: each for each in memory.troubles}
    found = [_at(known.get(each, ToldTrouble(each.kind, each.about, now)), now) for each in current]
    for trouble, each in known.items():
        # What nobody was told of, and what a person has put right, ends without a word.
        if trouble not in current and each.told is not None and trouble.kind in _PASSING:
            found.append(each if each.ended is not None else replace(each, ended=now))
    return sorted(found, key=lambda each: each.trouble)


def _at(trouble: ToldTrouble, now: float) -> ToldTrouble:
    """Return a trouble that is so now: one that has come back is as it was before it ended."""
    # A clock that was set back must not make a trouble wait for years.
    told = None if trouble.told is None else min(trouble.told, now)
    return replace(trouble, ended=None, since=min(trouble.since, now), told=told)


def _is_due(
    each: ToldTrouble, current: Mapping[Trouble, frozenset[str]], now: float, policy: AlertPolicy
) -> bool:
    """Whether a trouble has to be told now."""
    if each.ended is not None:
        return False
    if each.told is None:
        return now - each.since >= policy.collect
    return bool(current[each.trouble] - each.keys) and now - each.told >= policy.again


def _over(known: Iterable[ToldTrouble], now: float, policy: AlertPolicy) -> list[ToldTrouble]:
    """Return what is over and has to be told: all at once, or what was over long ago."""
    passing = [each for each in known if each.kind in _PASSING and each.told is not None]
    ended = [each for each in passing if each.ended is not None]
    if not ended:
        return []
    if "back_to_normal" not in policy.events:
        return ended
    longest = max(now - (each.ended or now) for each in ended)
    shortest = min(abs(now - (each.ended or now)) for each in ended)
    is_all = len(ended) == len(passing) and shortest >= policy.collect
    return ended if is_all or longest >= policy.again else []


# --- in words ------------------------------------------------------------------------------------

_TITLES: Final[Mapping[TroubleKind, str]] = {
    "token_refused": "the platform refuses the token",
    "disk_full": "the disk of the journal is full",
    "database_away": "the journal's database does not answer",
    "journal_newer": "gcwatch on a host is too old",
    "inbox_away": "an inbox can't be reached",
    "mirror_failed": "a mirror failed",
}

_OVER: Final[Mapping[TroubleKind, str]] = {
    "token_refused": "The platform accepts the token again.",
    "disk_full": "The journal can be written again.",
    "database_away": "The journal's database answers again.",
    "journal_newer": "The host has the gcwatch of the others.",
    "inbox_away": "The inbox of route {about} can be reached again.",
    "mirror_failed": "Mirror {about} works again.",
    "stalled": "No case waits for too long any more.",
}


def _message(
    news: list[ToldTrouble],
    over: list[ToldTrouble],
    current: Mapping[Trouble, frozenset[str]],
    now: float,
    policy: AlertPolicy,
) -> Alert | None:
    """Return the message on what is new and what is over; None if nobody wants to hear of it."""
    if "back_to_normal" not in policy.events:
        over = []
    if not news and not over:
        return None
    lines = [_line(each.trouble, current[each.trouble], policy) for each in news]
    lines += [_OVER[each.kind].format(about=each.about) + _lasted(each, now) for each in over]
    if any(each.kind in {"failed", "to_check", "stalled"} for each in news):
        lines.append("gcwatch show KEY tells more of a case; gcwatch status lists all.")
    events = [*dict.fromkeys(each.kind for each in news), *(["back_to_normal"] if over else [])]
    return Alert(f"gcwatch: {_title(news, current)}", "\n\n".join(lines), tuple(events))


def _lasted(each: ToldTrouble, now: float) -> str:
    return f" It lasted {time_span(max((each.ended or now) - each.since, 0.0))}."


def _title(news: list[ToldTrouble], current: Mapping[Trouble, frozenset[str]]) -> str:
    if not news:
        return "back to normal"
    counts: dict[TroubleKind, int] = {}
    for each in news:
        counts[each.kind] = counts.get(each.kind, 0) + len(current[each.trouble])
    return ", ".join(_counted(kind, number) for kind, number in counts.items())


def _counted(kind: TroubleKind, number: int) -> str:
    match kind:
        case "failed":
            return f"{count_noun(number, 'case')} failed"
        case "to_check":
            return f"{count_noun(number, 'delivered case')} to check"
        case "stalled":
            return f"{count_noun(number, 'case')} stalled"
        case _:
            return _TITLES[kind]


def _line(trouble: Trouble, keys: frozenset[str], policy: AlertPolicy) -> str:
    """Return what is wrong in one paragraph."""
    match trouble.kind:
        case "token_refused":
            return "The platform refuses the token; all work waits until there is a valid one."
        case "disk_full":
            return "The journal can't be written; all work waits until its disk has room."
        case "database_away":
            return "The journal's database does not answer; all work waits until it does."
        case "journal_newer":
            return "A newer gcwatch has upgraded the journal; all work on the older host waits."
        case "inbox_away":
            return f"The inbox of route {trouble.about} can't be reached; its cases wait."
        case "mirror_failed":
            return f"The last run of mirror {trouble.about} failed; gcwatch status says why."
        case "stalled":
            since = time_span(policy.stalled)
            return (
                f"{count_noun(len(keys), 'case')} did not come further for {since}: {_named(keys)}"
            )
        case "to_check":
            counted = count_noun(len(keys), "delivered case")
            return f"{counted} to check: {_named(keys)}"
        case "failed":
            counted = count_noun(len(keys), "case")
            return f"{counted} failed: {_named(keys)}. {_words(trouble.about)}"


def _words(code: str) -> str:
    """Return the sentence of a reason code, if it needs no facts, and the code."""
    if code == _PLATFORM_AWAY:
        return "The platform did not answer as it should."
    plain = CATALOGUE[code].plain
    return f"({code})" if "{" in plain else f"{plain} ({code})"


def _named(keys: frozenset[str]) -> str:
    shown = sorted(keys)[:_MOST_KEYS]
    more = f" and {len(keys) - len(shown)} more" if len(keys) > len(shown) else ""
    return ", ".join(shown) + more
