"""A job that succeeds with less than it should is delivered, and everybody is told."""

import json
import re
from dataclasses import replace

import pytest
from support.builders import Site
from support.hostile import hostile

from gcwatch.commands import status

IMAGE = {"slug": "mask", "kind": "Segmentation", "super_kind": "Image", "relative_path": "images/x"}
VALUE = {"slug": "score", "kind": "Anything", "super_kind": "Value", "relative_path": "score.json"}
NULL = {"pk": 1, "socket": VALUE, "value": None}
NO_IMAGE = {"pk": 2, "socket": IMAGE, "image": None}


def is_a_job(call):
    return call.method == "GET" and re.search("/jobs/[0-9a-f-]{36}/$", call.path) is not None


def with_outputs(*outputs):
    """Let an answer about a job tell these outputs."""
    return lambda reply: replace(
        reply, body=json.dumps({**json.loads(reply.body), "outputs": outputs}).encode()
    )


@pytest.mark.parametrize(
    ("outputs", "code", "told"),
    [
        ((), "no_outputs", "succeeded without any output"),
        ((NULL, NO_IMAGE), "empty_outputs", "2 of its outputs hold nothing: mask, score"),
    ],
)
def test_a_job_that_succeeds_with_less_than_it_should_is_told(
    sandbox, tmp_path, outputs, code, told
):
    """In the log, the receipt and the status: else it would look like an absence of findings."""
    site = Site(tmp_path, sandbox)
    site.listen()
    site.drop()

    with hostile(sandbox, with_outputs(*outputs), is_a_job):
        assert site.run_once().delivered == 1

    [warned] = site.said("case.warned")
    assert warned["reason"] == code
    assert told in site.receipt()["warnings"][0]
    files = {"score.json"} if outputs else set()  # null is a value, but no image
    assert {each.name for each in (site.outbox / "p1").iterdir()} == {"gcwatch.json", *files}
    with site.watch() as watch:
        assert told in " ".join(status.view_of_case(watch, site.case()).warnings)


def test_two_outputs_of_one_pk_are_no_answer_of_the_platform(sandbox, tmp_path):
    """The files of one would take the place of the other's, without a word."""
    site = Site(tmp_path, sandbox)
    site.listen()
    site.drop()
    twice = with_outputs(NULL, {**NULL, "value": 1})
    asked = iter([True])

    with hostile(sandbox, twice, lambda call: is_a_job(call) and next(asked, False)):
        assert site.run_once().delivered == 1

    assert [each["reason"] for each in site.said("case.faltered")] == ["wrong_answer"]
    assert site.receipt()["warnings"] == []
