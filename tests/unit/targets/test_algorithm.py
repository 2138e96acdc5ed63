"""What the target `algorithm` makes of every answer of the platform (platform 7, 10.4, 11)."""

import json
from dataclasses import replace

import pytest
from support.builders import (
    FAST,
    IN_DOUBT,
    Clock,
    Site,
    check_results,
    mha,
    sha256,
    until,
    voxels,
    waiting,
)

import gcwatch
from gcwatch import config
from gcwatch.commands import audit
from gcwatch.core import events
from gcwatch.platform import http
from gcwatch.platform.models import UploadSession
from gcwatch.sandbox import Sandbox, Settings, due_tasks
from gcwatch.targets import sending

JOBS = r"algorithms/jobs/$"
ONE_JOB = r"algorithms/jobs/[0-9a-f-]+/$"
SESSIONS = r"upload-sessions/$"
HOUR = 3600.0
RUNNING = (
    "Validating inputs",
    "Queued",
    "Re-Queued",
    "Provisioning",
    "Provisioned",
    "Started",
    "Executing",
    "Executed",
    "Parsing Outputs",
    "Executing Algorithm",
    "External Execution In Progress",
)
"""Every status of platform 7.4 that is no end."""
PATIENT = replace(FAST, slowest=900.0)
"""Tries whose number does not run out while a busy machine looks away."""


CLINICAL = b'{"age" :  61,\r\n "sex":"F"}'
LIMIT = {"limit.json": b"2.5"}
THRESHOLD = {
    "algorithm": "threshold",
    "inputs": {"ct-image": "*.mha", "threshold": {"json": "limit.json"}},
}
FILE_ALONE = {"algorithm": "file-only", "inputs": {"clinical-info": "*.json"}}
VALUE_ALONE = {"algorithm": "values-only", "inputs": {"threshold": {"json": "limit.json"}}}


def refuse(sandbox, body, *, path=JOBS, method="POST", status=400, **how):
    sandbox.fault("status", method=method, path=path, status=status, body=json.dumps(body), **how)


def errors(message):
    return {"non_field_errors": [message]}


def delivered(watch):
    return until(lambda: all(case.ending == "delivered" for case in watch.cases()))


# --- not our turn --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "code", "between"),
    [
        ({"active_jobs": 0}, "too_many_jobs", (50, 300)),
        ({"credits": 0}, "no_credits", (6 * HOUR - 10, 24 * HOUR)),
        ({"images_ready": False}, "not_ready", (900, HOUR)),
        ({"max_uploads": 0}, "too_many_uploads", (290, HOUR)),
        ({"byte_quota": 0}, "no_space_left", (1700, HOUR)),
    ],
)
def test_a_limit_of_the_platform_is_waiting_never_failure(sandbox, tmp_path, limit, code, between):
    """Jobs, credits, image, uploads, bytes: the case waits, says why, and goes on when it may."""
    before = {name: getattr(sandbox.platform_state.settings, name) for name in limit}
    sandbox.configure(**limit)
    site = Site(tmp_path, sandbox)
    site.drop()

    with site.running() as watch:
        case = waiting(watch, code)
        assert between[0] < case.wait.until - case.touched < between[1]
        assert (case.attempts, case.failure) == (0, None)
        sandbox.configure(**before)
        watch.retry(case)
        delivered(watch)

    assert len(site.jobs()) == 1


THROTTLED = {"path": JOBS, "body": {"detail": "Request was throttled."}, "status": 429}
FULL = errors("You have too many active image post processing tasks.")


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        ({"path": SESSIONS, "body": FULL}, 300),
        ({**THROTTLED, "headers": {"Retry-After": "77"}}, 77),
        (THROTTLED, 60),
    ],
)
def test_a_busy_platform_is_left_alone_as_long_as_it_asks(sandbox, tmp_path, answer, wait):
    """A 429 and a full import queue cost no attempt; Retry-After is honoured."""
    refuse(sandbox, **answer)
    site = Site(tmp_path, sandbox)
    site.drop()

    with site.running() as watch:
        case = waiting(watch, "busy")
        assert round(case.wait.until - case.touched) == wait
        assert case.attempts == 0
        watch.retry(case)
        delivered(watch)

    assert len(site.jobs()) == 1


def test_an_algorithm_that_cannot_be_seen_is_waited_for(sandbox, tmp_path):
    """A slug without access stops its route's cases, fails none, and is asked for hourly."""
    site = Site(tmp_path, sandbox, algorithm="no-such-thing")
    site.drop()

    outcome = site.run_once()

    assert (outcome.failed, outcome.waiting) == (0, 1)
    assert site.case().wait.reason.code == "not_found"
    assert not [call for call in sandbox.calls() if call["applied"]]


def test_an_algorithm_that_may_not_be_run_is_waited_for_without_sending_again(sandbox, tmp_path):
    """Lost rights are said so; the upload that stands is not repeated."""
    site = Site(tmp_path, sandbox, algorithm="forbidden")
    site.drop()

    outcome = site.run_once()

    assert (outcome.failed, outcome.waiting) == (0, 1)
    assert site.case().wait.reason.code == "no_rights"
    assert sandbox.state()["counts"]["uploads"] == 1


def test_a_failure_of_the_server_is_tried_again(sandbox, tmp_path):
    """HTML and a 500, a 502 and a 503 in the middle of everything end in one job all the same."""
    for nth, status in enumerate((500, 502, 503), 1):
        sandbox.fault("status", path=JOBS, method="POST", status=status, nth=nth)
        sandbox.fault("status", path=SESSIONS, method="POST", status=status, nth=nth)
    site = Site(tmp_path, sandbox)
    site.drop()

    with site.running() as watch:
        until(watch.cases)
        delivered(watch)

    assert len(site.jobs()) == 1


# --- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        (
            errors(
                "The set of inputs provided does not match any of the algorithm's interfaces. "
                "This algorithm supports the following input combinations: Interface 1: CT"
            ),
            "mismatched_inputs",
            "No interface of algorithm copy-image",
        ),
        (  # a later version of the platform (docs/platform.md, 12.6)
            errors("The set of inputs does not match any of the allowed algorithm interfaces."),
            "mismatched_inputs",
            "No interface of algorithm copy-image",
        ),
        (
            errors("A result for these inputs already exists."),
            "duplicate_hidden",
            "same inputs exists",
        ),
        (
            {"inputs": [{"__all__": ["JSON does not fulfill schema: 3 is not of type 'string'"]}]},
            "refused",
            "JSON does not fulfill schema",
        ),
        ({"inputs": ["Something that nobody has ever seen."]}, "refused", "nobody has ever seen"),
    ],
)
def test_a_refusal_fails_the_case_with_the_platforms_words(sandbox, tmp_path, body, code, told):
    """What no waiting mends ends as failed, and the note says why and how to retry."""
    refuse(sandbox, body)
    site = Site(tmp_path, sandbox)
    site.drop()
    site.drop("p2")

    outcome = site.run_once()

    assert (outcome.failed, outcome.delivered) == (1, 1)
    with site.watch() as watch:
        (case,) = [case for case in watch.cases() if case.ending == "failed"]
    assert case.failure.code == code
    note = site.note(case.folder)
    assert told in note
    assert f"gcwatch retry {case.key}" in note


def test_inputs_that_fit_no_interface_fail_before_a_byte_is_sent(sandbox, tmp_path):
    """The interfaces are compared with the route's sockets first."""
    site = Site(tmp_path, sandbox, inputs={"ct-image": "*.mha"})
    site.drop()

    site.run_once()

    assert site.case().failure.code == "mismatched_inputs"
    assert not [call for call in sandbox.calls() if call["applied"]]


def test_a_value_of_the_wrong_type_fails_before_a_byte_is_sent(sandbox, tmp_path):
    """A JSON file's value is held to its socket's kind."""
    site = Site(tmp_path, sandbox, **THRESHOLD)
    site.drop(files={"ct.mha": mha(1), "limit.json": b'"much"'})

    site.run_once()

    assert site.case().ending == "failed"
    assert not [call for call in sandbox.calls() if call["applied"]]


def test_the_same_values_twice_are_computed_once(sandbox, tmp_path):
    """The platform keeps one result for equal values; the second folder gets it, too."""
    site = Site(tmp_path, sandbox, **VALUE_ALONE, limits={"cases": 1})
    site.drop("p1", LIMIT)
    site.drop("p2", LIMIT)

    outcome = site.run_once()

    assert (outcome.delivered, outcome.failed) == (2, 0)
    assert len(site.jobs()) == 1
    assert "by an earlier job" in site.receipt("p2")["warnings"][0]
    with site.watch() as watch:
        assert watch.attention() == []
    assert {each.kind for each in audit.audit(config.load(site.file))} == {"agrees"}


# --- how a job ends ------------------------------------------------------------------------------


def test_a_cancelled_job_is_explained_by_its_upload_session(tmp_path):
    """The job itself says nothing; the session's error message reaches the note."""
    with Sandbox(tmp_path / "sandbox", Settings(import_seconds=1e6)) as sandbox:
        site = Site(tmp_path, sandbox)
        site.drop()
        with site.running() as watch:
            until(lambda: watch.cases() and watch.cases()[0].submission)
            with sandbox.platform_state.lock:
                for session in sandbox.platform_state.sessions.values():
                    due_tasks._fail_session(session, "1 file could not be imported")
            until(lambda: watch.cases()[0].ending == "failed")

        assert site.case().failure.code == "import_failed"
        assert "1 file could not be imported" in site.note()
        assert len(site.jobs()) == 1


def test_an_import_that_makes_several_images_is_told_with_their_number():
    """The forecast was one image; the platform's own sentence tells no number."""
    url = "http://127.0.0.1/api/v1/cases/"
    session = UploadSession(
        pk="1c7b7f3e-5f0e-4d0c-9d56-0d3b3f0a0001",
        api_url=f"{url}upload-sessions/1/",
        status="Failed",
        error_message="Image imports should result in a single image.",
        image_set=(f"{url}images/1/", f"{url}images/2/"),
    )
    reason = sending.import_failed_reason(session)
    assert reason.facts["message"] == (
        "Image imports should result in a single image. "
        "The platform made 2 images of what was sent; gcwatch expected 1."
    )


def test_a_failed_job_is_explained_with_its_address_and_not_run_again(sandbox, tmp_path):
    """Credits are not spent twice by themselves; whoever reads the note finds the job."""
    site = Site(tmp_path, sandbox, algorithm="always-fails")
    site.drop()

    site.run_once()

    (job,) = site.jobs()
    assert site.case().failure.code == "job_failed"
    assert f"/algorithms/always-fails/jobs/{job['pk']}/" in site.note()


def test_a_retry_of_a_failed_job_is_a_second_job_with_its_own_uploads(sandbox, tmp_path):
    """The operator's word makes one more job, and the failure's note goes when it is delivered."""
    refuse(sandbox, errors("Something else"))
    site = Site(tmp_path, sandbox)
    site.drop()
    site.run_once()
    assert site.note()

    with site.watch() as watch:
        watch.retry(watch.find("lobes/p1"))
        watch.run_once()

    assert site.delivered() == ["p1"]
    assert not list(site.outbox.glob("*.txt"))
    assert len(site.jobs()) == 1


@pytest.mark.parametrize(("hours", "import_seconds"), [(7, 1e9), (55, 0.0)])
def test_a_stuck_job_is_called_stalled_and_never_asked_for_again(tmp_path, hours, import_seconds):
    """After 6 h of validating, or 54 h of anything: watched, said so, and not resubmitted."""
    platform = Settings(import_seconds=import_seconds, job_seconds=1e9, average_duration=0.0)
    clock = Clock()
    with Sandbox(tmp_path / "sandbox", platform) as sandbox:
        site = Site(tmp_path, sandbox)
        site.listen()
        site.drop()
        with site.running(clock=clock) as watch:
            until(lambda: watch.cases() and watch.cases()[0].status)
            clock.ahead = hours * HOUR
            case = waiting(watch, "job_stalled")
            assert case.is_open
            assert gcwatch.stage(case) == "running"
            sandbox.configure(import_seconds=0.0, job_seconds=0.0)
            delivered(watch)

        assert len(site.jobs()) == 1
        assert len(site.said("job.stalled")) == 1


def test_every_other_status_counts_as_running(sandbox, tmp_path):
    """Each status that is no end, and one that nobody knows, is waited out; the job goes on."""
    running = [*RUNNING, "Reticulating splines"]
    for nth, status in enumerate(running, 1):
        body = json.dumps({"status": status, "inputs": [], "outputs": []})
        sandbox.fault("merge", method="GET", path=ONE_JOB, body=body, nth=nth)
    site = Site(tmp_path, sandbox)
    site.listen()
    site.drop()

    site.run_once()

    told = [line["status"] for line in site.said("job.status_changed")]
    assert told == list(RUNNING)
    assert [line["status"] for line in site.said("platform.unknown_status")] == running[-1:]
    assert site.delivered() == ["p1"]


def test_a_job_that_the_platform_denies_is_for_a_person_to_find(sandbox, tmp_path):
    """A 404 on our own job is never a reason for a second one."""
    refuse(sandbox, {"detail": "Not found."}, method="GET", path=ONE_JOB, status=404)
    site = Site(tmp_path, sandbox)
    site.drop()

    site.run_once()

    assert site.case().failure.code == "job_lost"
    assert len(site.jobs()) == 1


# --- uploads that expire -------------------------------------------------------------------------


def test_uploads_that_expire_before_their_session_are_sent_again(sandbox, tmp_path):
    """Nothing had used them: a new upload takes their place, and there is one job."""
    sandbox.fault("status", method="POST", path=SESSIONS, status=500, times=None)
    site = Site(tmp_path, sandbox)
    site.listen()
    site.drop()
    with site.running(FAST) as watch:
        waiting(watch, "server_error")
        sandbox.expire_uploads()
        sandbox.clear_faults()
        delivered(watch)

    assert site.said("uploads.expired")
    assert len(site.jobs()) == 1


def test_a_storage_that_loses_each_upload_does_not_use_up_the_account(sandbox, tmp_path):
    """Uploads that are lost before they are old are sent again after a pause, which is told."""
    sandbox.fault("status", method="PUT", path="partNumber=", status=404, times=None)
    site = Site(tmp_path, sandbox)
    site.drop()
    with site.running(PATIENT) as watch:
        waiting(watch, "uploads_lost")
        [case] = watch.journal.cases()
        assert case.wait.until > case.touched + 299
    assert len(sandbox.platform_state.uploads) == 1


def test_uploads_too_old_to_be_used_are_sent_again(sandbox, tmp_path):
    """A case that waited for a day does not use a session whose uploads are about to expire."""
    sandbox.configure(active_jobs=0)
    clock = Clock()
    site = Site(tmp_path, sandbox)
    site.listen()
    site.drop()

    with site.running(clock=clock) as watch:
        waiting(watch, "too_many_jobs")
    # A day passes between two runs, never between a step's look at the clock and its call.
    sandbox.advance(25 * HOUR)
    clock.ahead = 25 * HOUR
    sandbox.configure(active_jobs=16)
    with site.running(clock=clock) as watch:
        delivered(watch)

    assert site.said("uploads.expired")
    assert len(site.jobs()) == 1


def test_uploads_that_expire_while_in_doubt_are_sent_again_only_if_unused(sandbox, tmp_path):
    """A session that is still Queued and has lost its uploads can never make a job."""
    sandbox.fault("cut_before", method="POST", path=JOBS)
    site = Site(tmp_path, sandbox)
    site.listen()
    site.drop()

    with site.running(IN_DOUBT) as watch:
        waiting(watch, "in_doubt")
        sandbox.expire_uploads()
        watch.retry(watch.cases()[0])
        delivered(watch)

    assert site.said("uploads.expired")
    assert len(site.jobs()) == 1


def postponed(watch):
    """How often the only case was postponed."""
    history = watch.history(watch.cases()[0])
    return sum(isinstance(each.event, events.Postponed) for each in history)


@pytest.mark.parametrize("route", [{}, FILE_ALONE], ids=["image", "file"])
def test_a_call_that_comes_true_after_its_reply_was_given_up_makes_one_job(
    sandbox, tmp_path, monkeypatch, route
):
    """The platform may act on a call long after we stopped to listen; the doubt is waited out."""
    monkeypatch.setattr(http, "READ_SECONDS", 1.0)
    sandbox.fault("delay", method="POST", path=JOBS, seconds=100)
    clock = Clock()
    site = Site(tmp_path, sandbox, **route)
    site.drop(files={"info.json": CLINICAL} if route else None)

    with site.running(IN_DOUBT, clock) as watch:
        waiting(watch, "in_doubt")
        clock.wrong = 3600.0  # somebody sets the machine's clock: no doubt ends by that
        until(lambda: postponed(watch) > 1)
        assert not site.jobs()
        sandbox.clear_faults()
        until(site.jobs)
        clock.ahead = 600.0
        delivered(watch)

    assert site.delivered() == ["p1"]
    assert len(site.jobs()) == 1


def test_values_in_doubt_find_their_job_though_others_stand_beside_it(sandbox, tmp_path):
    """Without a token a job is found by its inputs, among other jobs of the algorithm."""
    site = Site(tmp_path, sandbox, **VALUE_ALONE)
    for number in range(3):
        site.drop(f"earlier{number}", {"limit.json": str(number).encode()})
    site.run_once()
    sandbox.fault("cut_after", method="POST", path=JOBS, times=2)
    site.drop("p1", {"limit.json": b"10"})
    site.drop("p2", {"limit.json": b"20"})

    site.run_once()

    assert len(site.jobs()) == 5
    for name, value in (("p1", 20), ("p2", 40)):
        assert json.loads((site.outbox / name / "score.json").read_bytes()) == value


def test_a_job_that_the_look_overlooked_is_adopted_when_the_platform_refuses_a_second(
    sandbox, tmp_path
):
    """An attempt that comes true after the last look is found where the first attempt began."""
    sandbox.fault("cut_after", method="POST", path=JOBS)
    nothing = {"count": 0, "next": None, "previous": None, "results": []}
    refuse(sandbox, nothing, method="GET", path=r"jobs/\?.*limit=100", status=200, times=2)
    clock = Clock()
    site = Site(tmp_path, sandbox, **VALUE_ALONE)
    site.drop(files=LIMIT)

    with site.running(IN_DOUBT, clock) as watch:
        waiting(watch, "in_doubt")
        clock.ahead = 600.0
        delivered(watch)

    assert site.delivered() == ["p1"]
    assert len(site.jobs()) == 1
    asked = [call for call in sandbox.calls() if (call["method"], call["status"]) == ("POST", 400)]
    assert len(asked) == 1


# --- the token -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["uploading", "running"])
def test_a_refused_token_pauses_all_work_and_fails_nothing(tmp_path, stage):
    """A 401 is said loudly, costs no attempt, and work goes on when the token is taken again."""
    with Sandbox(tmp_path / "sandbox", Settings(job_seconds=1e6, average_duration=0.0)) as sandbox:
        site = Site(tmp_path, sandbox)
        site.listen()
        if stage == "uploading":
            sandbox.configure(token_valid=False)
        site.drop("p1")
        site.drop("p2")
        with site.running() as watch:
            if stage == "running":
                until(lambda: len(site.jobs()) == 2)
                sandbox.configure(token_valid=False)
            until(lambda: len(site.said("platform.token_refused")) > 1)
            assert all(case.is_open and not case.attempts for case in watch.cases())
            sandbox.configure(token_valid=True, job_seconds=0.0)
            delivered(watch)

        assert site.said("platform.token_accepted")
        assert not site.said("case.failed")
        assert len(site.jobs()) == 2


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        (r"algorithms/\?slug", 200, {"count": 0, "next": None, "previous": None, "results": []}),
        (ONE_JOB, 404, {"detail": "Not found."}),
        (r"images/", 404, {"detail": "Not found."}),
    ],
    ids=["look-up", "job", "image"],
)
def test_a_lost_header_counts_as_a_refused_token(sandbox, tmp_path, path, status, body):
    """Where nothing of ours is to be seen because we are nobody, no case is blamed for it."""
    refuse(sandbox, body, method="GET", path=path, status=status)
    nobody = {"user": {"username": "AnonymousUser"}}
    refuse(sandbox, nobody, method="GET", path="users/self", status=200, times=2)
    site = Site(tmp_path, sandbox)
    site.listen()
    site.drop()

    with site.running() as watch:
        until(lambda: site.said("platform.token_accepted"))
        delivered(watch)

    assert site.said("platform.token_refused")
    assert len(site.jobs()) == 1


# --- inputs and outputs --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "files"),
    [
        ({"ct-image": "*.mha"}, {"ct.mha": mha(7)}),
        (
            {"ct-image": "*.mha", "threshold": {"value": 0.25}},
            {"ct.mha": mha(7), "other.txt": b"x"},
        ),
    ],
    ids=["image", "image and value"],
)
def test_the_interface_with_exactly_the_routes_sockets_is_used(sandbox, tmp_path, inputs, files):
    """Of an algorithm that takes two sets of sockets, the route's is meant."""
    site = Site(tmp_path, sandbox, algorithm="two-ways", inputs=inputs)
    site.drop(files=files)

    site.run_once()

    (job,) = site.jobs()
    assert {value["socket"] for value in job["inputs"]} == set(inputs)
    check_results(sandbox, site.outbox / "p1")


def test_a_file_reaches_its_socket_byte_for_byte(sandbox, tmp_path):
    """A File socket's content is never re-serialised, on neither way."""
    site = Site(tmp_path, sandbox, **FILE_ALONE)
    site.drop(files={"info.json": CLINICAL})

    site.run_once()

    (job,) = site.jobs()
    assert [value["sha256"] for value in job["inputs"]] == [sha256(CLINICAL)]
    assert (site.outbox / "p1" / "clinical-info-copy.json").read_bytes() == CLINICAL


def test_images_values_and_files_come_back_as_they_are(sandbox, tmp_path):
    """One job with every kind of output: voxels, a number, CSV and odd JSON byte for byte."""
    site = Site(tmp_path, sandbox, **THRESHOLD)
    site.drop(files={"ct.mha": mha(1, 2, 3, 4), **LIMIT})

    site.run_once()

    folder = site.outbox / "p1"
    check_results(sandbox, folder)
    assert json.loads((folder / "voxel-count.json").read_bytes()) == 2
    assert (folder / "report.csv").read_bytes() == b"voxels\r\n2\r\n"
    assert b'"voxels" :   2,\n\t' in (folder / "report.json").read_bytes()
    (mask,) = folder.glob("images/segmentation/*.mha")
    assert voxels(mask.read_bytes()) == bytes([0, 0, 1, 1])


@pytest.mark.parametrize("schema", ["2026-07", "2025-11"])
def test_both_schemas_of_the_platform_are_read(tmp_path, schema):
    """`socket` or `interface`: answers of either year lead to the same folder."""
    with Sandbox(tmp_path / "sandbox", Settings(schema=schema)) as sandbox:
        site = Site(tmp_path, sandbox, **THRESHOLD)
        site.drop(files={"ct.mha": mha(1, 2, 3, 4), **LIMIT})

        site.run_once()

        check_results(sandbox, site.outbox / "p1")
