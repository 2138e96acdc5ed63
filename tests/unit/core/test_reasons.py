"""The sentences of reasons: plain for whoever dropped the folder, whatever it is sent to."""

import pytest

from gcwatch.core.reasons import CATALOGUE, Reason, explain

OF_JOBS_ONLY = {"job_failed", "job_lost", "job_stalled", "no_credits", "not_ready"} | {
    "no_outputs",
    "empty_outputs",
    "mismatched_inputs",
    "mismatched_files",
}
"""Reasons that only a case of an algorithm can have."""


@pytest.mark.parametrize("code", sorted(CATALOGUE.keys() - OF_JOBS_ONLY))
def test_only_a_case_of_an_algorithm_is_an_analysis(code):
    """A display set or archive item is none."""
    entry = CATALOGUE[code]
    assert "analysis" not in f"{entry.plain} {entry.advice} {entry.hint}"


@pytest.mark.parametrize("message", ["It could not be read.", "It could not be read", "Wait..."])
def test_a_sentence_of_the_platform_ends_once(message):
    """Where it has its own full stop, there is no second one; dots that mean more stay."""
    detail = explain(Reason("file_unreadable", {"error": message}, {"file": "a.dcm"})).detail
    assert detail.endswith("..." if message.endswith("...") else "read.")
    assert ". ." not in detail
    assert ".." not in detail.removesuffix("...").removesuffix("....")


def test_a_duplicate_may_be_somebody_elses():
    """The token can't see it."""
    words = explain(Reason("duplicate_hidden", {"algorithm": "lobes"}))
    assert "another user's" in words.detail


def test_a_missing_right_is_told_in_words():
    """The role of a user is called user."""
    facts = {"what": "algorithm", "slug": "lobes", "right": "run it", "role": "user"}
    assert "user user" not in explain(Reason("no_rights", facts)).hint
