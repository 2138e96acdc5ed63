"""Why a case waits or has failed: all reason codes with their sentences."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gcwatch.core.catalogue.entry import ReasonEntry
from gcwatch.core.catalogue.folder import FOLDER_REASONS
from gcwatch.core.catalogue.images import IMAGE_REASONS
from gcwatch.core.catalogue.inbox import INBOX_REASONS
from gcwatch.core.catalogue.platform import PLATFORM_REASONS
from gcwatch.core.catalogue.surroundings import SURROUNDINGS_REASONS
from gcwatch.core.text import fill_sentence


@dataclass(frozen=True)
class Reason:
    """A code of the catalogue with its facts.

    `facts` may be logged. `names` holds file and folder names and other text that may name a
    patient; it appears only where it stays in the building (status, receipts, failure notes).
    """

    code: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Explanation:
    """A reason in words; `hint` is the advice where the reason has no hint of its own."""

    plain: str
    detail: str
    hint: str
    advice: str = ""


CATALOGUE: Mapping[str, ReasonEntry] = {
    **FOLDER_REASONS,
    **IMAGE_REASONS,
    **INBOX_REASONS,
    **PLATFORM_REASONS,
    **SURROUNDINGS_REASONS,
}
"""All reason codes; docs/troubleshooting.md lists them."""


def needs_person(reason: Reason) -> bool:
    """Return whether waiting for this takes a person, or hours."""
    return CATALOGUE[reason.code].needs_person


def is_normal(reason: Reason) -> bool:
    """Return whether the config wants it so, and nobody has to do anything."""
    return CATALOGUE[reason.code].is_normal


def is_platform_away(code: str) -> bool:
    """Return whether a code means that the platform is away; False for what is no code at all."""
    entry = CATALOGUE.get(code)
    return entry is not None and entry.is_platform_away


def explain(reason: Reason) -> Explanation:
    """Given a reason, return it in words, names included: for people in the building only."""
    entry = CATALOGUE[reason.code]
    facts = {**reason.facts, **reason.names}
    plain, detail, advice, hint = (
        fill_sentence(each, facts)
        for each in (entry.plain, entry.detail, entry.advice, entry.hint or entry.advice)
    )
    return Explanation(plain, detail, hint, advice)
