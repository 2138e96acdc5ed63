"""Rules for which series are taken: what they mean, and which are refused in words."""

import time

import pytest

from gcwatch.core.rules.series_rules import ALL_SERIES, SeriesRules, parse_rule


def fits(vr, wanted, value, keyword="Element"):
    return not parse_rule(keyword, vr, wanted).find_misfit(value)


@pytest.mark.parametrize(
    ("vr", "wanted", "value", "is_fit"),
    [
        ("CS", "CT", "CT", True),
        ("CS", "ct", "CT ", True),
        ("CS", "CT", "MR", False),
        ("CS", ["CT", "PT"], "PT", True),
        ("CS", "!=SR", "CT", True),
        ("CS", "!=SR", "SR", False),
        ("CS", "AXIAL", r"ORIGINAL\PRIMARY\AXIAL", True),
        ("CS", r"ORIGINAL\PRIMARY\AXIAL", r"ORIGINAL\PRIMARY\AXIAL", True),
        ("CS", "!=LOCALIZER", r"ORIGINAL\PRIMARY\LOCALIZER", False),
        ("DS", "<=1.5", "1.50", True),
        ("DS", "<=1.5", "1.5e0", True),
        ("DS", "<=1.5", "10", False),
        ("DS", "< 2", "10", False),
        ("DS", ">=0.5 <=1.5", "1", True),
        ("DS", ">=0.5 <=1.5", "0.4", False),
        ("DS", 1, "1.0", True),
        ("DS", "1.5", "1.500000", True),
        ("DS", [1, "<0.7"], "0.6", True),
        ("DS", "!=5", "5.0", False),
        ("DS", "<=1", r"0.7\0.7", True),
        ("DS", "<=1", r"0.7\1.2", False),
        ("DS", "<=1.5", "thin", False),
        ("DS", "<=1.5", "nan", False),
        ("DS", "<=1.5", r"1\\1", False),
        ("US or SS", "<=100", "90", True),
        ("DA", ">=20260101", "20260228", True),
        ("LO", "/lung/i", "CT LUNG 1.0", True),
        ("LO", "/lung/", "CT LUNG 1.0", False),
        ("LO", "/^(chest|lung).*b[67]0/i", "Lung 1mm B60f", True),
        ("LO", "/x/", "a" * 128 + "x", False),
        ("LO", 7, "7", True),
        ("LO", "<b>", None, False),
    ],
)
def test_a_rule_means_what_it_says(vr, wanted, value, is_fit):
    """Numbers are compared as numbers, texts without case, several values each."""
    if wanted == "<b>":
        with pytest.raises(ValueError, match="compares numbers"):
            parse_rule("Element", vr, wanted)
    else:
        assert fits(vr, wanted, value) == is_fit


@pytest.mark.parametrize("wanted", ["CT", "!=CT", "/C/"])
@pytest.mark.parametrize(("value", "why"), [(None, "missing"), ("", "empty"), ("\\ ", "empty")])
def test_a_series_without_the_element_does_not_fit(wanted, value, why):
    """Also if the rule says what it must not be; it is told."""
    assert parse_rule("Modality", "CS", wanted).find_misfit(value) == f"Modality is {why}"


def test_a_misfit_names_the_value_and_the_rule():
    """Whoever wonders why a series is not there finds it at once; control characters can't harm."""
    rule = parse_rule("SliceThickness", "DS", "<=1.5")
    assert rule.find_misfit("5.0") == "SliceThickness is 5.0, not <=1.5"
    rule = parse_rule("SeriesDescription", "LO", ["/lung/i", "thorax"])
    told = rule.find_misfit("\x1b[31m" + "x" * 100)
    assert told.startswith(r"SeriesDescription is \x1b[31mxx")
    assert told.endswith(", not /lung/i or thorax")
    assert len(told) < 130


@pytest.mark.parametrize(
    ("vr", "wanted", "complaint"),
    [
        ("DS", "thin", "is no number"),
        ("DS", "<=", "is no number"),
        ("DS", "<=1,5", "is no number"),
        ("DS", "1.2.3", "is no number"),
        ("DS", "<=1.5 thin", "is no number"),
        ("CS", ">=CT", "compares numbers"),
        ("LO", "/lung", "is no regular expression"),
        ("LO", "/lung(/", "is no regular expression"),
        ("LO", "", "is empty"),
        ("LO", "!=", "is empty"),
        ("LO", [], "is an empty list"),
        ("LO", True, "must be a text"),
        ("LO", {"a": 1}, "must be a text"),
        ("LO", "/(a+)+$/", "repeats a group"),
        ("LO", "/(a|aa)*$/", "repeats a group"),
        ("LO", "/(a){5,}$/", "repeats a group"),
        ("LO", "/(?:a|b)+?/", "repeats a group"),
        ("LO", "/.*a.*b.*c.*d/", "has more than 3"),
        ("LO", "/a?a?a?a?/", "has more than 3"),
        ("LO", r"/(a)\1/", "looks around or back"),
        ("LO", "/(?=a)/", "looks around or back"),
        ("LO", "/(?i)a/", "looks around or back"),
        ("LO", f"/{'a' * 201}/", "is too long"),
    ],
)
def test_a_rule_that_means_nothing_or_takes_long_is_refused(vr, wanted, complaint):
    """When the config is read, not when a patient waits."""
    with pytest.raises(ValueError, match=complaint):
        parse_rule("Element", vr, wanted)


@pytest.mark.parametrize(
    "pattern", [r"a\+\*\?\{(b)", "[*+?{]{2}(x|y)?", r"[]*+?{}]+\(a\)*", r"\\+"]
)
def test_what_only_looks_like_repeats_is_allowed(pattern):
    """Escaped signs and signs in a set repeat nothing."""
    assert parse_rule("Element", "LO", f"/{pattern}/")


@pytest.mark.parametrize(
    "pattern", ["a*a*a*b", ".*.*.*x", "(aa?|a)a*a{2,}b", ".{1,99}.{1,99}.{1,99}x"]
)
def test_no_value_makes_a_pattern_search_for_long(pattern):
    """The worst patterns that are allowed, with the worst values: no scan ever hangs."""
    begun = time.process_time()
    assert not fits("LO", f"/{pattern}/", "a" * 100_000)
    assert time.process_time() - begun < 5


def test_a_series_is_called_by_number_and_description():
    """As a viewer calls it; without both, by its files."""
    rules = SeriesRules((parse_rule("Modality", "CS", "CT"),))
    assert rules.keywords == ("Modality", "SeriesNumber", "SeriesDescription")
    assert rules.series_name(("MR", "3", "Topogram"), 2) == 'series 3 "Topogram" (2 files)'
    assert rules.series_name(("MR", None, None), 1) == "series (1 file)"
    assert ALL_SERIES.keywords == ()
