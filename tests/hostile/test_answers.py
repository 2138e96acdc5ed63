"""Whatever the platform answers, it is the platform's trouble: every endpoint, every wrong answer.

The table asks each endpoint through the client that the daemon uses; the cases below it let whole
daemons meet what was seen to stop them.
"""

import itertools
import json
import re
import threading
import time
from contextlib import closing, suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import Site, mha, until
from support.hostile import all_mutations, hostile

from gcwatch.core.errors import CaseError, Refused, TokenRefused, Unreachable
from gcwatch.core.reasons import explain
from gcwatch.platform import api_calls
from gcwatch.platform import http as http_module
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.http import Http
from gcwatch.platform.models import (
    Algorithm,
    Collection,
    Image,
    Instances,
    Item,
    Job,
    NewJob,
    Parts,
    PresignedUrls,
    Profile,
    Socket,
    UploadSession,
    UserUpload,
    pk_of,
    read_answer,
)
from gcwatch.platform.study_models import Question, ReaderStudy, StudyAnswer
from gcwatch.sandbox import Sandbox

FORESEEN = (Unreachable, TokenRefused, Refused, CaseError)
NOBODY = "c0ffee00-0000-4000-8000-000000000000"
DAY_SECONDS = 86400

KINDS = (Algorithm, Collection, Image, Instances, Item, Job, NewJob, Parts, PresignedUrls, Profile,
         Question, ReaderStudy, Socket, StudyAnswer, UploadSession, UserUpload)  # fmt: skip
FIELDS = st.sampled_from(
    sorted({f.alias or name for kind in KINDS for name, f in kind.model_fields.items()})
)

_number = itertools.count()


def title():
    return f"hostile {next(_number)}"


ENDPOINTS = {
    "me": lambda at: at.platform.me(),
    "algorithm": lambda at: at.platform.algorithm("copy-image"),
    "algorithms": lambda at: at.platform.algorithms(),
    "job": lambda at: at.platform.job(at.job),
    "jobs": lambda at: list(at.platform.jobs(pk_of(at.algorithm))),
    "count_jobs": lambda at: at.platform.count_jobs(pk_of(at.algorithm)),
    "image": lambda at: at.platform.image(at.image),
    "images": lambda at: at.platform.images("image.mha"),
    "create_upload": lambda at: at.platform.create_upload("x.mha"),
    "upload": lambda at: at.platform.upload(at.upload.pk),
    "presign": lambda at: at.platform.presign(at.upload.pk, at.upload.s3_upload_id, [1]),
    "parts": lambda at: at.platform.parts(at.upload.pk, at.upload.s3_upload_id),
    "complete": lambda at: at.platform.complete(at.upload.pk, at.upload.s3_upload_id, {1: '"e"'}),
    "create_session": lambda at: at.platform.create_session([at.upload.api_url]),
    "session": lambda at: at.platform.session(at.session),
    "sessions": lambda at: list(at.platform.sessions()),
    "create_job": lambda at: at.platform.create_job(at.algorithm, []),
    "reader_study": lambda at: at.platform.reader_study("lung-study"),
    "study": lambda at: at.platform.study("lung-study"),
    "answers": lambda at: list(at.platform.answers(at.study)),
    "archive": lambda at: at.platform.archive("lung-ct"),
    "archives": lambda at: at.platform.archives(),
    "create_item": lambda at: at.platform.create_item(
        "archive", {"archive": at.archive.api_url, "title": title()}
    ),
    "item": lambda at: at.platform.item("archive", at.item.pk),
    "fill_item": lambda at: at.platform.fill_item("archive", at.item.pk, []),
    "items": lambda at: at.platform.items("archive", at.archive.pk),
    "may_add": lambda at: at.platform.may_add("archive", at.archive.api_url),
    "may_run": lambda at: at.platform.may_run(at.algorithm),
    "socket": lambda at: at.platform.socket("generic-medical-image"),
    "instances": lambda at: at.platform.instances(at.image),
}
MUTATIONS = all_mutations()


@pytest.fixture(scope="module")
def at(tmp_path_factory):
    """A sandbox with one finished case, and what its endpoints are asked for."""
    folder = tmp_path_factory.mktemp("hostile")
    with Sandbox(folder / "sandbox") as sandbox:
        site = Site(folder, sandbox)
        site.drop()
        site.run_once()
        with closing(Http(sandbox.url, lambda: sandbox.token)) as http, site.watch() as watch:
            platform = GrandChallenge(http)
            case = watch.journal.case(site.receipt()["key"])
            archive = platform.archives()[0]
            sandbox.add_answer(sandbox.add_display_set("lung-study", "read"))
            yield SimpleNamespace(
                sandbox=sandbox,
                platform=platform,
                algorithm=case.target.api_url,
                job=case.submission.pk,
                image=case.images["generic-medical-image"],
                session=case.sessions["generic-medical-image"],
                upload=platform.create_upload("y.mha"),
                study=platform.study("lung-study").pk,
                archive=archive,
                item=platform.create_item(
                    "archive", {"archive": archive.api_url, "title": title()}
                ),
            )


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_wrong_answer_of_an_endpoint_is_foreseen(monkeypatch, at, endpoint):
    """A model with bounds, or an error that gcwatch knows what to do with: never anything else."""
    monkeypatch.setattr(http_module, "_REPEAT_SECONDS", (0.0,))
    unforeseen = {}
    for name, mutate in MUTATIONS.items():
        with hostile(at.sandbox, mutate):
            try:
                ENDPOINTS[endpoint](at)
            except FORESEEN as error:
                wait = getattr(error, "wait", 0)
                if not 0 <= wait <= DAY_SECONDS:
                    unforeseen[name] = f"a wait of {wait} s"
                if hasattr(error, "reason") and "<" in explain(error.reason).detail:
                    unforeseen[name] = explain(error.reason).detail
            except Exception as error:  # noqa: BLE001 -- that is what is looked for
                unforeseen[name] = repr(error)
    assert unforeseen == {}


def test_the_table_has_some_hundred_rows():
    """Nobody cuts it down by mistake."""
    assert len(ENDPOINTS) * len(MUTATIONS) > 1000


@pytest.mark.parametrize("endpoint", ["job", "image", "upload", "session", "item"])
def test_an_answer_about_another_object_is_not_used(at, endpoint):
    """A cache on the way gives one patient's answer for another's."""

    def other(reply):
        return replace(reply, body=json.dumps({**json.loads(reply.body), "pk": NOBODY}).encode())

    with hostile(at.sandbox, other), pytest.raises(CaseError) as error:
        ENDPOINTS[endpoint](at)
    assert error.value.reason.code == "other_object"


def test_a_list_that_ignores_the_offset_is_read_twice_at_most(at):
    """Without progress there is an end."""
    beginning = []

    def endless(reply):
        beginning.append(reply.body)
        told = {**json.loads(beginning[0]), "count": 10**6}
        return replace(reply, body=json.dumps(told).encode())

    with hostile(at.sandbox, endless), pytest.raises(Unreachable):
        at.platform.algorithms()
    assert len(beginning) == 2


@pytest.mark.parametrize("number", [b"1e999", b"[-1e400]", b"NaN", b"Infinity"])
def test_a_number_that_no_json_can_hold_is_the_platforms_trouble(at, number):
    """It would be delivered as a result that no program can read."""
    socket = b'{"slug": "score", "kind": "Anything", "super_kind": "Value"}'
    outputs = b'[{"pk": 1, "socket": ' + socket + b', "value": ' + number + b"}]"
    body = b'{"pk": "%b", "status": "Succeeded", "outputs": %b}' % (at.job.encode(), outputs)
    with (
        hostile(at.sandbox, lambda reply: replace(reply, body=body)),
        pytest.raises(Unreachable) as error,
    ):
        at.platform.job(at.job)
    assert error.value.reason.code == "wrong_answer"


def test_a_job_of_very_many_outputs_is_the_platforms_trouble(at):
    """Each is work and a file; no algorithm has so many sockets."""
    socket = {"slug": "score", "kind": "Anything", "super_kind": "Value"}
    outputs = [{"pk": pk, "socket": socket, "value": pk} for pk in range(20_000)]
    body = json.dumps({"pk": at.job, "status": "Succeeded", "outputs": outputs}).encode()
    with (
        hostile(at.sandbox, lambda reply: replace(reply, body=body)),
        pytest.raises(Unreachable) as error,
    ):
        at.platform.job(at.job)
    assert error.value.reason.facts["problem"] == "1 unexpected field: outputs"


def as_list(*pages):
    """Answers each call with the next of some pages, and then from the beginning again."""
    turn = itertools.cycle(pages)

    def give(reply):
        told = {"count": 10**6, "next": None, "previous": None, "results": next(turn)}
        return replace(reply, body=json.dumps(told).encode())

    return give


def test_a_list_whose_pages_come_again_ends(at):
    """Two pages that take turns would never end, if only the page before were compared."""
    one, other = ([{"pk": NOBODY, "api_url": "", "slug": slug}] for slug in ("a", "b"))
    with hostile(at.sandbox, as_list(one, other)), pytest.raises(Unreachable):
        at.platform.algorithms()


def test_a_list_that_grows_faster_than_it_is_read_ends(at):
    """Every page is new, and the end moves away with each."""
    turn = itertools.count(1)

    def growing(_reply):
        page = [{"pk": f"{NOBODY[:-6]}{next(turn):06}", "api_url": "", "slug": "x"}] * 100
        told = {"count": 10_000 * next(turn), "results": page}
        return replace(_reply, body=json.dumps(told).encode())

    with hostile(at.sandbox, growing), pytest.raises(Unreachable) as error:
        at.platform.algorithms()
    assert "grows" in error.value.reason.facts["problem"]
    assert next(turn) < 10


def test_a_list_whose_pages_drip_ends(monkeypatch, at):
    """Each page comes in time; the list does not."""
    monkeypatch.setattr(api_calls, "LIST_SECONDS", -1)
    with pytest.raises(Unreachable) as error:
        at.platform.algorithms()
    assert "takes more than" in error.value.reason.facts["problem"]


def test_what_a_filter_would_have_kept_away_is_not_used(at):
    """A server, or a cache on the way, that ignores the filter gives objects of other cases."""
    ours, socket = pk_of(at.image), {"slug": "ct-image", "kind": "Image", "super_kind": "Image"}
    jobs = [
        {"pk": pk, "status": "Succeeded", "inputs": [{"pk": 1, "socket": socket, "image": image}]}
        for pk, image in ((at.job, at.image), (NOBODY, f"cases/images/{NOBODY}/"))
    ]
    image = {"pk": NOBODY, "name": "of another case"}
    places = {"archive": f"archives/{NOBODY}/", "reader_study": f"reader-studies/{NOBODY}/"}
    item = {"pk": NOBODY, "title": "t", **places}

    with hostile(at.sandbox, as_list(jobs, [])):
        assert [each.pk for each in at.platform.jobs(pk_of(at.algorithm), ours)] == [at.job]
    with hostile(at.sandbox, as_list([image], [])):
        assert at.platform.images("image.mha") == []
    for kind, place in (("archive", at.archive), ("reader_study", at.platform.reader_studies()[0])):
        with hostile(at.sandbox, as_list([item], [])), pytest.raises(CaseError) as error:
            at.platform.items(kind, place.pk)
        assert error.value.reason.code == "other_object"


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS, inner, max_size=6),
    max_leaves=20,
)


@given(ANY_JSON)
def test_any_answer_fits_a_model_or_is_wrong(answer):
    """Drawn answers whose fields have the right names: a model, or the platform's trouble."""
    for kind in KINDS:
        with suppress(Unreachable):
            assert isinstance(read_answer(kind, answer), kind)


# --- whole daemons -------------------------------------------------------------------------------


def is_call(method, part):
    return lambda call: call.method == method and part in call.path


def first(count, matches):
    """Only the first calls that match."""
    left, lock = [count], threading.Lock()

    def is_among_first(call):
        with lock:
            left[0] -= matches(call)
            return matches(call) and left[0] >= 0

    return is_among_first


def crashes(site):
    return site.said("step.crashed") + site.said("watch.failed")


@pytest.mark.parametrize("name", ["maintenance", "a list", "half"])
@pytest.mark.parametrize(
    ("method", "part"),
    [
        ("GET", "/algorithms/"),
        ("POST", "/uploads/"),
        ("PATCH", "complete-multipart-upload"),
        ("POST", "/upload-sessions/"),
        ("POST", "/jobs/"),
        ("GET", "/jobs/"),
        ("GET", "/cases/images/"),
    ],
)
def test_a_wrong_answer_for_a_while_fails_no_case(sandbox, tmp_path, name, method, part):
    """Two wrong answers: the case waits, goes on, and is delivered as exactly one job."""
    site = Site(tmp_path, sandbox)
    site.listen()
    site.drop()
    with hostile(sandbox, MUTATIONS[f"body: {name}"], first(2, is_call(method, part))):
        assert site.run_once().delivered == 1
    assert crashes(site) == []
    assert len(sandbox.state()["jobs"]) == 1


@pytest.mark.parametrize("asked", ["31536000", "1795400000", "1" + "0" * 12, "9" * 400])
def test_a_senseless_wait_holds_one_case_for_a_day_at_most(sandbox, tmp_path, asked):
    """The daemon starts again, the other case is delivered, and status says how long it waits."""
    site = Site(tmp_path, sandbox)
    site.listen()
    site.drop("p1", {"image.mha": mha(1, 2)})
    sandbox.fault("status", method="POST", path="/uploads/", status=429,
                  headers={"Retry-After": asked})  # fmt: skip
    with site.running() as watch:
        waiting = until(lambda: next((c for c in watch.cases() if c.wait), None))
        assert 0 < waiting.wait.until - waiting.touched <= DAY_SECONDS
        assert "next try in 24 h" in explain(waiting.wait.reason).detail
    site.drop("p2", {"image.mha": mha(3, 4)})
    with site.running() as watch:
        until(lambda: site.delivered() == ["p2"])
    assert crashes(site) == []


@pytest.mark.parametrize("duration", ["Infinity", "1e12", "-1", "NaN", "1e999"])
def test_a_senseless_duration_stops_nothing(sandbox, tmp_path, duration):
    """It only tells when to ask first."""
    site = Site(tmp_path, sandbox)

    def senseless(reply):
        told = json.loads(reply.body)
        for each in told["results"]:
            each["average_duration"] = "HERE"
        return replace(reply, body=json.dumps(told).replace('"HERE"', duration).encode())

    site.drop()
    is_algorithm = lambda call: call.path.endswith("/api/v1/algorithms/")  # noqa: E731 - one use
    with hostile(sandbox, senseless, is_algorithm):
        assert site.run_once().delivered == 1


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", '{"a": [{"b": 1e999}]}'])
def test_a_number_that_json_does_not_have_is_never_a_result(at, number):
    """Written into a result it would be `Infinity`, which no JSON reader takes."""
    socket = {"slug": "score", "kind": "Float", "super_kind": "Value"}

    def endless(reply):
        told = {**json.loads(reply.body), "outputs": [{"pk": 1, "socket": socket, "value": "HERE"}]}
        return replace(reply, body=json.dumps(told).replace('"HERE"', number).encode())

    with hostile(at.sandbox, endless), pytest.raises(Unreachable) as error:
        at.platform.job(at.job)
    assert "outputs.0.value" in error.value.reason.facts["problem"]


@pytest.mark.parametrize(
    ("method", "part"), [("POST", "/jobs/"), ("GET", "/jobs/"), ("GET", "/cases/images/")]
)
def test_an_answer_of_another_patient_is_never_published(sandbox, tmp_path, method, part):
    """p2 gets p1's answers: p2 fails with a sentence, and its outbox has no result."""
    site = Site(tmp_path, sandbox)
    site.listen()
    answers = {}

    def remember(reply):
        answers.setdefault("of p1", reply)
        if reply.status == 200:
            answers["of p1"] = reply
        return reply

    def of_p1(reply):
        return replace(reply, body=answers["of p1"].body)

    site.drop("p1", {"image.mha": mha(1, 2)})
    with hostile(sandbox, remember, is_call(method, part)):
        site.run_once()
    site.drop("p2", {"image.mha": mha(3, 4)})
    with hostile(sandbox, of_p1, is_call(method, part)):
        outcome = site.run_once()
    assert (outcome.failed, site.delivered()) == (1, ["p1"])
    assert "belongs to something else" in site.note("p2")
    assert crashes(site) == []


OTHER_CONTENT = {
    "value": (
        {"algorithm": "values-only", "inputs": {"threshold": {"json": "limit.json"}}},
        {"limit.json": b"2.5"},
    ),
    "file": (
        {"algorithm": "file-only", "inputs": {"clinical-info": "*.json"}},
        {"info.json": b'{"age": 61}'},
    ),
}


@pytest.mark.parametrize("carrier", OTHER_CONTENT)
def test_the_result_of_a_job_with_another_input_is_never_published(sandbox, tmp_path, carrier):
    """Also if the job has the pk that was asked for: somebody else's value made its results."""
    route, files = OTHER_CONTENT[carrier]
    others = {"value": 99, "file": "http://127.0.0.1/media/components/of-another.json"}

    def other(reply):
        told = json.loads(reply.body)
        for each in told.get("inputs", ()):
            each[carrier] = others[carrier]
        return replace(reply, body=json.dumps(told).encode())

    site = Site(tmp_path, sandbox, **route)
    site.drop("p1", files)
    with hostile(sandbox, other, is_a_job):
        assert site.run_once().failed == 1
    assert site.delivered() == []
    assert site.case().failure.code == "other_object"
    assert site.note()


def is_a_job(call):
    """A call for one job, and not for a list."""
    return call.method == "GET" and re.search("/jobs/[0-9a-f-]{36}/$", call.path) is not None


def test_a_daemon_stops_within_seconds_while_an_answer_is_due(sandbox, tmp_path):
    """All workers wait for a server that says nothing."""
    site = Site(tmp_path, sandbox)
    sandbox.fault("delay", method="GET", path="/algorithms/", seconds=120, times=None)
    site.drop()
    with site.running():
        until(lambda: any("/algorithms/" in call["path"] for call in sandbox.calls()))
        begun = time.monotonic()
    assert time.monotonic() - begun < 10
    sandbox.clear_faults()
    assert site.run_once().delivered == 1
