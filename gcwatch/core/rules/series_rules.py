"""Rules for which DICOM series of a folder are taken (`only` of a route). Pure."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gcwatch.core.text import printable_name

NUMBER_VRS: Final = frozenset({"DS", "IS", "US", "UL", "SS", "SL", "UV", "SV", "FL", "FD", "DA"})
"""Kinds of elements whose values are compared as numbers; dates are, as they are digits."""

OTHER_VRS: Final = frozenset({"SQ", "OB", "OW", "OD", "OF", "OL", "OV", "UN", "AT"})
"""Kinds of elements that hold no text and no number."""

SEARCHED_CHARACTERS: Final = 128
"""Of a value, in which a regular expression is searched; most elements hold at most 64."""

_KINDS: Final = "must be a text, a number or a list of these"
_MOST_REPEATS: Final = 3
_LONGEST_PATTERN: Final = 200
_LONGEST_SHOWN: Final = 64

_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}
_COMPARISON: Final = re.compile(
    r"(<=|>=|!=|<|>|=) *([+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![0-9.])"
)
_COMPARISONS: Final = re.compile(rf"(?:{_COMPARISON.pattern} *)+")
_TOKEN: Final = re.compile(
    r"(?P<escape>\\.)|(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])|(?P<group>\((?:\?:|(?!\?)))|(?P<odd>\(\?)"
    r"|(?P<repeat>(?:[*+?]|\{[^}]*\})[?+]?)|(?P<other>.)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Numbers:
    """Comparisons that a number must meet, each as its sign and the number beside it."""

    comparisons: tuple[tuple[str, float], ...]

    def is_met(self, values: Sequence[str]) -> bool:
        """Whether each value is a number that meets all comparisons."""
        try:
            numbers = [float(value) for value in values]
        except ValueError:
            return False
        return all(_COMPARE[sign](n, wanted) for n in numbers for sign, wanted in self.comparisons)


@dataclass(frozen=True)
class Text:
    """A text that one of the values must be, or none; upper and lower case are the same."""

    text: str
    is_wanted: bool = True

    def is_met(self, values: Sequence[str]) -> bool:
        """Whether one of the values, or all together, is the text, or none is."""
        found = {value.casefold() for value in (*values, "\\".join(values))}
        return (self.text.casefold() in found) == self.is_wanted


@dataclass(frozen=True)
class Pattern:
    """A regular expression that must be found in one of the values."""

    pattern: re.Pattern[str]

    def is_met(self, values: Sequence[str]) -> bool:
        """Whether it is found in the first characters of one of the values."""
        return any(self.pattern.search(value[:SEARCHED_CHARACTERS]) for value in values)


@dataclass(frozen=True)
class SeriesRule:
    """What one element must be: one of `wanted`; `told` is that as the config writes it."""

    keyword: str
    wanted: tuple[Numbers | Text | Pattern, ...]
    told: str

    def find_misfit(self, value: str | None) -> str:
        """Given an element's value, None if it is missing, return why it does not fit, or ""."""
        if value is None:
            return f"{self.keyword} is missing"
        values = [each.strip(" \0") for each in value.split("\\")]
        if not any(values):
            return f"{self.keyword} is empty"
        if any(each.is_met(values) for each in self.wanted):
            return ""
        shown = printable_name(value.strip()[:_LONGEST_SHOWN])
        return f"{self.keyword} is {shown}, not {self.told}"


@dataclass(frozen=True)
class SeriesRules:
    """All rules of a route; a series must fit all of them. Without rules, every series fits."""

    rules: tuple[SeriesRule, ...] = ()

    @property
    def keywords(self) -> tuple[str, ...]:
        """The elements that have to be read: those of the rules, and what a series is called."""
        return (*(rule.keyword for rule in self.rules), *_NAMED_BY) if self.rules else ()

    def find_misfit(self, values: Sequence[str | None]) -> str:
        """Given a file's values of `keywords`, return why its series does not fit, or ""."""
        found = map(SeriesRule.find_misfit, self.rules, values)
        return next(filter(None, found), "")

    def series_name(self, values: Sequence[str | None], files: int) -> str:
        """Return what a series is called, for people: its number, description and size."""
        number, description = (value or "" for value in values[-len(_NAMED_BY) :])
        words = ["series", number.strip(), f'"{description.strip()[:_LONGEST_SHOWN]}"']
        name = " ".join(word for word in words if word not in {"", '""'})
        return printable_name(f"{name} ({files} {'file' if files == 1 else 'files'})")


_NAMED_BY: Final = ("SeriesNumber", "SeriesDescription")
ALL_SERIES: Final = SeriesRules()


def parse_rule(keyword: str, vr: str, value: Any) -> SeriesRule:
    """Given an element, its kind and what the config says, return the rule.

    Raise ValueError with what is wrong, as the end of a sentence about the value.
    """
    values = value if isinstance(value, list | tuple) else [value]
    if not values:
        raise ValueError("is an empty list: no series would fit")
    is_number = bool(NUMBER_VRS & set(vr.split(" or ")))
    wanted = tuple(_parse_wanted(each, is_number=is_number) for each in values)
    return SeriesRule(keyword, wanted, " or ".join(map(str, values)))


def _parse_wanted(value: Any, *, is_number: bool) -> Numbers | Text | Pattern:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(_KINDS)  # noqa: TRY004 - its text becomes part of a sentence
    text = str(value).strip()
    if found := re.fullmatch(r"/(.+)/(i?)", text, re.DOTALL):
        return Pattern(_compile(found[1], re.IGNORECASE if found[2] else 0))
    if is_number:
        return _parse_numbers(text)
    if text.startswith(("<", ">")):
        raise ValueError('compares numbers, but this element is text: write "CT" or "/lung/i"')
    if text.startswith("/"):
        raise ValueError('is no regular expression: write "/lung/", or "/lung/i"')
    is_wanted = not text.startswith("!=")
    text = text.removeprefix("!=").removeprefix("=").strip()
    if not text:
        raise ValueError("is empty: a series without this element does not fit anyway")
    return Text(text, is_wanted)


def _parse_numbers(text: str) -> Numbers:
    whole = text if text.startswith(tuple("<>=!")) else f"={text}"
    if not _COMPARISONS.fullmatch(whole):
        hint = 'write 1.5, "<=1.5" or ">=0.5 <=1.5"'
        raise ValueError(f"is no number, and this element is one: {hint}")
    return Numbers(tuple((sign, float(number)) for sign, number in _COMPARISON.findall(whole)))


def _compile(pattern: str, flags: int) -> re.Pattern[str]:
    """Return a regular expression that no value makes search for long.

    A repeated group, or many repeats, can take hours for a text of 60 characters that whoever
    made the images chose. What is left takes at most milliseconds.
    """
    if len(pattern) > _LONGEST_PATTERN:
        raise ValueError(f"is too long: it may have at most {_LONGEST_PATTERN} letters")
    repeats, before = 0, ""
    for token in _TOKEN.finditer(pattern):
        if token["odd"] or (token["escape"] and token["escape"][1] in "123456789"):
            raise ValueError("looks around or back: only plain groups ( ) are possible")
        if token["repeat"]:
            repeats += 1
            if before == ")" and token["repeat"] != "?":
                raise ValueError("repeats a group: * + and { } may not follow a )")
        before = token[0]
    if repeats > _MOST_REPEATS:
        raise ValueError(f"has more than {_MOST_REPEATS} of * + ? and {{ }}")
    try:
        return re.compile(pattern, flags)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
