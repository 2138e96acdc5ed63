"""The checklist, row by row: what comes next, what an event adds, and when a case is due."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.case_path import IMAGE, PATH, SNAPSHOT, UPLOAD

from gcwatch.core import checklist, events, folding, timing
from gcwatch.core.case import Attempt, Case, Uptime
from gcwatch.core.checklist import Step
from gcwatch.core.reasons import CATALOGUE, Reason
from gcwatch.core.timing import Every, Pace
from gcwatch.log.case_events import log_entry

PACE = Pace(settle=30, poll=Every(60), backoff=5, slowest=900)
UNREACHABLE = Reason("unreachable", {"call": "GET", "error": "x"})


def a_case(events=None):
    """The case after so many events, one a second; after all of them if not told."""
    return folding.fold_events("lobes-k", enumerate(event for _, _, event in PATH[:events]))


def reached(stage):
    """The first case of the way that is at a stage."""
    number = next(n for n, (name, _, _) in enumerate(PATH, 1) if name == stage)
    return a_case(number)


# --- the checklist -------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(1, len(PATH) + 1))
def test_each_event_brings_the_case_to_its_first_missing_fact(number):
    """Along the way, stage and step are those of the first fact that is missing."""
    stage, step, _ = PATH[number - 1]

    case = a_case(number)

    assert stage == checklist.stage(case)
    assert step == checklist.next_step(case)


def test_a_rejected_case_is_reported_and_then_closed():
    """A failure at any stage is first written down where people look, then the case is closed."""
    rejected = folding.apply_event(reached("running"), events.Rejected(Reason("job_failed")), 50)
    closed = folding.apply_event(rejected, events.FailureReported(), 51)

    assert checklist.next_step(rejected) == Step.REPORT
    assert checklist.stage(closed) == "failed"
    assert checklist.next_step(closed) is None


def test_a_folder_that_changes_under_way_settles_again_and_sends_everything_again():
    """Whatever was sent of an earlier state of the folder is forgotten."""
    case = folding.apply_event(reached("submitting"), events.FolderChanged(SNAPSHOT), 40)

    assert checklist.stage(case) == "settling"
    assert (case.inputs, case.uploads, case.sessions, case.attempt) == (None, (), {}, None)


def test_expired_uploads_are_sent_again_as_planned():
    """The plan stands; only the uploads and what was made of them are forgotten."""
    case = folding.apply_event(a_case(7), events.UploadsExpired(), 40)

    assert checklist.stage(case) == "uploading"
    assert case.inputs == (IMAGE,)
    assert case.sessions == {}


def test_a_new_upload_takes_the_place_of_the_socket_s_earlier_one():
    """A socket never has two uploads on record."""
    other = replace(UPLOAD, pk="v")

    case = folding.apply_event(a_case(5), events.UploadStarted(other), 40)

    assert (other,) == case.uploads


def test_a_retried_failure_begins_a_new_round_under_its_key():
    """Nothing of the first round is left but the key, the folder and the count."""
    failed = folding.apply_event(
        folding.apply_event(reached("running"), events.Rejected(Reason("job_failed")), 50),
        events.FailureReported(),
        51,
    )

    again = folding.apply_event(failed, events.Retried(), 60)

    assert Case("lobes-k", "lobes", "p1", found=0, touched=60, round=2) == again


def test_an_open_case_that_is_retried_is_due_at_once_and_loses_nothing():
    """The operator's retry only ends the wait."""
    waiting = folding.apply_event(reached("running"), events.Postponed(UNREACHABLE, 3600), 50)

    again = folding.apply_event(waiting, events.Retried(), 60)

    assert again.wait is None
    assert again.submission == waiting.submission


# --- an attempt whose reply was lost -------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [events.AttemptFailed(UNREACHABLE), events.Postponed(UNREACHABLE, 5), events.Retried()],
)
def test_an_attempt_in_doubt_stays_on_record(event):
    """Trouble, waiting and a retry do not make the platform forget that it may have acted."""
    case = folding.apply_event(a_case(8), event, 40)

    assert Attempt(7) == case.attempt


@pytest.mark.parametrize(
    "event",
    [
        events.AttemptFailed(UNREACHABLE, undone=True),
        events.Postponed(UNREACHABLE, 5, undone=True),
        events.UploadsExpired(),
    ],
)
def test_a_proof_that_nothing_happened_clears_the_attempt(event):
    """Only the platform's own answer takes an attempt off the record."""
    case = folding.apply_event(a_case(8), event, 40)

    assert case.attempt is None


# --- when a case is due --------------------------------------------------------------------------


def test_the_settle_time_counts_from_the_last_change():
    """A folder is looked at again when it has been quiet for the settle time."""
    quiet = events.FolderChanged(SNAPSHOT, Uptime("boot", 5.0))
    assert timing.due_time(folding.apply_event(a_case(2), quiet, 9), PACE) == 9 + 30


def test_a_change_without_the_machine_s_uptime_is_looked_at_at_once():
    """Old journals, and folders that somebody corrected: real seconds count from that look."""
    assert timing.due_time(a_case(2), PACE) == 1


def test_the_first_poll_comes_after_three_quarters_of_the_average():
    """Asking earlier would only cost calls."""
    assert timing.due_time(a_case(9), PACE) == 8 + 750


def test_later_polls_come_at_the_route_s_pace():
    """Once the first poll was due, the route decides."""
    case = folding.apply_event(a_case(9), events.StillRunning("Executing"), 800)

    assert timing.due_time(case, PACE) == 800 + 60


def test_an_old_job_is_polled_more_seldom():
    """A twentieth of its age, up to a quarter of an hour."""
    day = 86_400.0
    case = folding.apply_event(a_case(9), events.StillRunning("Executing"), 8 + 4000)
    older = folding.apply_event(case, events.StillRunning("Executing"), 8 + day)

    assert timing.due_time(case, PACE) == 8 + 4000 + 200
    assert 8 + day + 900 == timing.due_time(older, PACE)


def test_a_postponed_case_is_due_when_its_wait_is_over():
    """Waiting costs no attempt."""
    case = folding.apply_event(a_case(6), events.Postponed(Reason("no_credits"), 3600), 50)

    assert timing.due_time(case, PACE) == 50 + 3600
    assert case.attempts == 0


@given(st.integers(1, 60))
def test_backing_off_grows_and_is_bounded(tries):
    """Each failure waits longer, never longer than the slowest pace."""
    case = a_case(5)
    waits = []
    for number in range(tries):
        case = folding.apply_event(case, events.AttemptFailed(UNREACHABLE), number)
        waits.append(timing.due_time(case, PACE) - number)

    assert 5 <= waits[0] <= 6
    assert waits == sorted(waits)
    assert waits[-1] <= 900


def test_a_closed_case_is_never_due():
    """Nothing is left to do."""
    assert timing.due_time(a_case(), PACE) is None


# --- giving up -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", sorted(code for code, entry in CATALOGUE.items() if entry.patience)
)
def test_patience_ends_in_a_failure_with_the_same_reason(code):
    """After as many tries in a row as the catalogue says, and not before."""
    case, reason = a_case(6), Reason(code)
    for number in range(CATALOGUE[code].patience):
        assert case.failure is None
        case = folding.apply_event(case, events.AttemptFailed(reason), 50 + number)

    assert reason == case.failure


def test_who_gave_up_says_so_at_once():
    """The note for whoever dropped the folder does not wait for another pause."""
    case, reason = a_case(6), Reason("server_error")
    for number in range(CATALOGUE[reason.code].patience):
        case = folding.apply_event(case, events.AttemptFailed(reason), 50 + number)

    assert checklist.next_step(case) == Step.REPORT
    assert timing.due_time(case, PACE) == case.touched


def test_trouble_with_the_note_does_not_replace_what_it_is_about():
    """However often writing it down goes wrong, the failure stays the one that was."""
    case = folding.apply_event(a_case(6), events.Rejected(Reason("no_files")), 50)
    for number in range(20):
        case = folding.apply_event(case, events.AttemptFailed(Reason("crashed")), 51 + number)

    assert case.failure == Reason("no_files")
    assert timing.due_time(case, PACE) > case.touched


def test_the_network_is_never_a_reason_to_give_up():
    """However long the platform is out of reach."""
    case = a_case(6)
    for number in range(1000):
        case = folding.apply_event(case, events.AttemptFailed(UNREACHABLE), 50 + number)

    assert case.failure is None


def test_success_forgives_earlier_tries():
    """Only tries in a row count."""
    case = folding.apply_event(a_case(5), events.AttemptFailed(Reason("checksum")), 50)

    case = folding.apply_event(case, events.UploadCompleted("u", "ff"), 51)

    assert case.attempts == 0


@pytest.mark.parametrize(
    ("number", "again"),
    [(5, events.UploadResumed("u")), (8, events.SubmissionAttempted())],
    ids=["upload", "submit"],
)
def test_to_begin_once_more_is_no_success(number, again):
    """Tries whose beginning is on record each time count as tries in a row, and in the end fail."""
    case = a_case(number)
    for at in range(CATALOGUE["server_error"].patience):
        assert case.failure is None
        case = folding.apply_event(case, again, 50 + at)
        case = folding.apply_event(case, events.AttemptFailed(Reason("server_error")), 50 + at)

    assert Reason("server_error") == case.failure


# --- any events, in any order --------------------------------------------------------------------

REASONS = st.sampled_from([Reason(code) for code in CATALOGUE])
EVENTS = st.one_of(
    st.sampled_from([event for _, _, event in PATH]),
    st.builds(events.AttemptFailed, REASONS, st.booleans()),
    st.builds(events.Postponed, REASONS, st.floats(0, 1e6), st.booleans()),
    st.builds(events.Rejected, REASONS),
    st.builds(events.StillRunning, st.sampled_from(["Queued", "Dreaming"]), st.booleans()),
    st.sampled_from(
        [
            events.FolderVanished(),
            events.UploadsExpired(),
            events.UploadResumed("u"),
            events.FailureReported(),
            events.Retried(),
            events.Withdrawn(),
            events.FolderChangedLate(SNAPSHOT),
            events.FolderRemoved(),
            events.FolderReturned(),
            events.RouteRenamed("nodules"),
        ]
    ),
)


@given(st.lists(EVENTS, max_size=30))
def test_any_events_make_a_case_with_one_stage_and_a_step_or_an_end(history):
    """No order of events is too odd: a case always knows what it needs, or how it ended."""
    case = folding.fold_events("k", enumerate([events.FolderFound("lobes", "p1"), *history]))

    assert (checklist.next_step(case) is None) == (case.ending is not None)
    assert (timing.due_time(case, PACE) is None) == (case.ending is not None)


@given(st.lists(EVENTS, max_size=20), EVENTS)
def test_a_closed_case_hears_only_of_its_folder_and_of_a_retry(history, event):
    """Late news of a step can't reopen what an operator or a delivery has closed."""
    case = folding.fold_events("k", enumerate([events.FolderFound("lobes", "p1"), *history]))
    closed = folding.apply_event(case, events.Withdrawn(), 90)

    after = folding.apply_event(closed, event, 91)

    if isinstance(event, events.Retried):
        assert after.is_open
    else:
        kept = {f.name for f in fields(Case)} - {"seen", "gone", "route"}
        assert all(getattr(closed, name) == getattr(after, name) for name in kept)


# --- clocks that are set back --------------------------------------------------------------------


def test_a_job_is_asked_for_at_the_usual_pace_after_a_step_back():
    """The time at which it was sent is hours away again, and tells no longer when to ask first."""
    case = reached("running")
    target = replace(case.target, expected=600.0)
    early = replace(case, target=target, touched=case.submission.submitted - 7200)
    assert timing.due_time(early, PACE) == early.touched + 60
    assert timing.due_time(replace(case, target=target), PACE) > case.touched + 400


@pytest.mark.parametrize("number", range(1, len(PATH)))
def test_no_duration_in_the_log_is_negative(number):
    """Each event of a case comes two hours before the one before it, as the clock tells."""
    before, (_, _, event) = a_case(number), PATH[number]
    after = folding.apply_event(before, event, before.touched - 7200)
    _, facts = log_entry(before, event, after) or ("", {})
    assert all(value >= 0 for key, value in facts.items() if key.endswith("seconds"))
