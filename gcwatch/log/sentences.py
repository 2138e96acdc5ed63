"""An event as a sentence with its facts, for the journald message and for `gcwatch show`."""

import json
from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Any, Final

from gcwatch.core.checklist import Step
from gcwatch.core.text import count_noun, data_size, fill_sentence, time_span
from gcwatch.log.events import CATALOGUE

_ACTIVITIES: Final[Mapping[str, str]] = {
    Step.SURVEY: "Checking the folder",
    Step.UPLOAD: "Sending",
    Step.SUBMIT: "Submitting",
    Step.POLL: "Asking for the status",
    Step.FETCH: "Fetching the results",
    Step.DELIVER: "Delivering",
    Step.REPORT: "Writing the failure note",
    Step.TELL: "Writing the note on the changed folder",
    Step.COMMAND: "The command after the delivery",
}

# Fields of their own in the log, or part of the reason's own sentence.
_UNSAID: Final = frozenset(
    {"time", "level", "event", "route", "case", "folder", "frames", "reason", "plain", "detail"}
)


def name_activity(step: str) -> str:
    """Given a step as the log has it, return what gcwatch does in it: "Delivering"."""
    return _ACTIVITIES.get(step, step)


def event_sentence(event: str, facts: Mapping[str, Any]) -> str:
    """Given an event of the catalogue and its facts, return both as one sentence.

    Where the event has no sentence of its own, the facts follow its meaning in brackets: "The job
    exists (job 12)."
    """
    spec = CATALOGUE[event]
    for sentence in (spec.sentence, spec.later):
        if sentence and _named_facts(sentence) <= facts.keys():
            words = {**facts, "step": name_activity(str(facts.get("step", "")))}
            return fill_sentence(sentence, words)
    brackets = ", ".join(_told_facts(facts))
    return f"{spec.meaning.removesuffix('.')} ({brackets})." if brackets else spec.meaning


def _named_facts(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


def _told_facts(facts: Mapping[str, Any]) -> Iterator[str]:
    for key, value in facts.items():
        if key not in _UNSAID and value not in (None, "", [], 0):
            yield _told_fact(key, value)


def _told_fact(key: str, value: Any) -> str:
    name = key.replace("_", " ")
    match value:
        case int() | float() if key in {"seconds", "hours"}:
            return time_span(value * {"seconds": 1, "hours": 3600}[key])
        case int() if key == "bytes":
            return data_size(value)
        case int() if key.endswith("s"):
            return count_noun(value, name.removesuffix("s"))
        case list():
            return f"{name} {', '.join(map(str, value))}"
        case str():
            return f"{name} {value}"
        case _:
            return f"{name} {json.dumps(value)}"
