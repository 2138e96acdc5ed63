"""Fields of a MetaImage whose values the platform's importer checks."""

import re

_NUMBER = r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?"
_LIST = rf"\[(?:{_NUMBER},\s?)*{_NUMBER}\]"
_TIME = r"(?:2[0-3]|[0-1]\d)[0-5]\d[0-5]\d(?:\.\d\d\d)?"
_WINDOW = ("WindowCenter", "WindowWidth")
_FOR_EACH_TIME = ("ContentTimes", "Exposures")
_RULES = {
    **dict.fromkeys(_WINDOW, rf"{_NUMBER}|{_LIST}"),
    **dict.fromkeys(("SliceThickness", "t0", "t1"), _NUMBER),
    **dict.fromkeys(("SmallestImagePixelValue", "LargestImagePixelValue"), _NUMBER),
    "Laterality": r".{0,128}",
    "Exposures": rf"{_NUMBER}(?:\s{_NUMBER})*",
    "ContentTimes": rf"{_TIME}(?:\s{_TIME})*",
}


def has_valid_fields(header: dict[str, str]) -> bool:
    """Return whether the importer accepts these fields; it ignores those that it does not know."""
    told = {name: header[name] for name in _RULES if name in header}
    counts = [len(told[name].split(" ")) for name in _FOR_EACH_TIME if name in told]
    return (
        all(re.fullmatch(_RULES[name], value) for name, value in told.items())
        and all(count == _count_times(header) for count in counts)
        and _has_valid_window(told)
    )


def _has_valid_window(told: dict[str, str]) -> bool:
    """A list of centres needs a list of as many widths, and the other way round."""
    window = [told.get(name, "") for name in _WINDOW]
    if not any(value.startswith("[") for value in window):
        return True
    return (
        all(value.startswith("[") for value in window)
        and len({value.count(",") for value in window}) == 1
    )


def _count_times(header: dict[str, str]) -> int:
    sizes = header.get("DimSize", "").split()
    return int(sizes[3]) if len(sizes) == 4 and sizes[3].isdecimal() else 1
