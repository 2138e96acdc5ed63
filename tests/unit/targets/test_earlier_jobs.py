"""What the platform has computed already is delivered, and never computed twice (platform 7.6)."""

import json
import re

import pytest
from support.builders import Site, check_results, mha
from support.sandbox_user import SandboxUser

from gcwatch.sandbox import Algorithm, Catalogue, Interface, Sandbox
from gcwatch.sandbox.content.catalogue import STANDARD
from gcwatch.targets.sending import is_same_json

BY_SOCKET = {"ct-image": {"socket": "ct-image"}, "threshold": {"json": "limit.json"}}
SHARED = frozenset({"alice", "bob"})


@pytest.fixture
def sandbox(tmp_path):
    """A sandbox whose algorithm `two-ways` two people may run, on images that both see."""
    ct, limit, table = map(STANDARD.socket, ("ct-image", "threshold", "report-csv"))
    interfaces = (Interface((ct,), (table,)), Interface((ct, limit), (table,)))
    algorithm = Algorithm(
        "two-ways", interfaces, program="measure", viewers=SHARED, executors=SHARED
    )
    shared = Catalogue(STANDARD.sockets, (algorithm,), archives=STANDARD.archives)
    with Sandbox(tmp_path / "sandbox", catalogue=shared) as made:
        yield made


class _Chained(Site):
    """A site whose folder tells of an image that is on the platform."""

    def drop_known(self, name="p1", limit=b"2.5", number=1):
        image = ("ct.mha", mha(number))
        pk = self.sandbox.add_item("public-archive", f"{name} {number}", {"ct-image": image})
        (item,) = (each for each in self.sandbox.state()["items"] if each["pk"] == pk)
        url = f"{self.sandbox.url}cases/images/{item['values'][0]['image']}/"
        told = {
            "target": {"platform": self.sandbox.url, "archive_item": pk},
            "inputs": [{"socket": "ct-image", "carrier": "image", "image": url}],
        }
        self.drop(name, {"limit.json": limit, "gcwatch.json": json.dumps(told).encode()})
        return {"image": url}


@pytest.fixture
def site(tmp_path, sandbox):
    return _Chained(tmp_path / "site", sandbox, algorithm="two-ways", reuse=True, inputs=BY_SOCKET)


def start(sandbox, image, value, *, token=None):
    with SandboxUser(sandbox, token) as user:
        return user.start("two-ways", threshold={"value": value}, ct_image=image)


def test_the_results_of_an_earlier_job_are_delivered(site, sandbox):
    """Of several jobs the one with the same value (2 equals 2.0); the receipt has its day."""
    image = site.drop_known(limit=b"2.0")
    start(sandbox, image, 7)
    wanted = start(sandbox, image, 2)
    start(sandbox, image, 9)

    assert site.run_once().delivered == 1

    assert len(site.jobs()) == 3
    receipt = site.receipt("p1")
    assert receipt["target"]["job"] == wanted
    (warning,) = receipt["warnings"]
    assert re.match(r"Computed on 20\d\d-\d\d-\d\d by an earlier job", warning)
    assert wanted in warning
    check_results(sandbox, site.outbox / "p1")


def test_an_earlier_job_that_runs_is_waited_for(site, sandbox):
    """Its results are delivered when it has them."""
    image = site.drop_known()
    sandbox.configure(job_seconds=1.0)
    pk = start(sandbox, image, 2.5)

    assert site.run_once().delivered == 1

    assert site.receipt("p1")["target"]["job"] == pk
    assert len(site.jobs()) == 1


@pytest.mark.parametrize("status", ["Failed", "Cancelled"])
def test_an_earlier_attempt_that_failed_is_told(site, sandbox, status):
    """The note says how it ended and where; the platform takes no second attempt."""
    pk = start(sandbox, site.drop_known(), 2.5)
    sandbox.platform_state.jobs[pk].status = status

    assert site.run_once().failed == 1

    case = site.case()
    assert (case.failure.code, case.failure.facts["status"]) == ("duplicate", status)
    assert pk in site.note("p1")
    assert len(site.jobs()) == 1


def test_a_job_of_somebody_else_is_told_as_that(site, sandbox):
    """It blocks in any state, and can't be seen; a job of another value is not taken for it."""
    image = site.drop_known()
    start(sandbox, image, 3)
    start(sandbox, image, 2.5, token=sandbox.bob_token)

    assert site.run_once().failed == 1

    assert site.case().failure.code == "duplicate_hidden"
    assert "somebody else" in site.note("p1")


def test_a_job_with_more_inputs_is_not_the_same(site, sandbox):
    """An algorithm with an optional input: a job with it is no duplicate of one without."""
    one = {"ct-image": {"socket": "ct-image"}}
    site.configure(algorithm="two-ways", reuse=True, inputs=one)
    image = site.drop_known()
    start(sandbox, image, 2.5)
    with SandboxUser(sandbox, sandbox.bob_token) as other:
        other.start("two-ways", ct_image=image)

    assert site.run_once().failed == 1

    assert site.case().failure.code == "duplicate_hidden"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        ({"a": [1, {"b": 2.0}]}, {"a": [1.0, {"b": 2}]}, True),
        (1, True, False),
        ([0], [False], False),
        ([1, 2], [2, 1], False),
        ({"a": None}, {}, False),
        ("1", 1, False),
    ],
)
def test_values_are_compared_as_the_platform_does(one, other, same):
    """Numbers by their value, lists in their order, objects in any."""
    assert is_same_json(one, other) is same
