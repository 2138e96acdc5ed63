"""When somebody is told: what was told before and what is so now give the message."""

import pytest

from gcwatch.core.alerts import (
    ALERT_EVENTS,
    AlertMemory,
    AlertPolicy,
    Trouble,
    next_alert,
    troubles_of,
)
from gcwatch.core.case import Case
from gcwatch.core.reasons import Reason

POLICY = AlertPolicy(stalled=4 * 3600, collect=60, again=12 * 3600)
TOKEN = Trouble("token_refused")
STALLED = Trouble("stalled")
JOB = Trouble("failed", "job_failed")
HOUR = 3600.0


class Told:
    """What happens over time: `at` gives the message of a moment, if there is one."""

    def __init__(self, policy=POLICY):
        self.policy, self.memory = policy, AlertMemory()

    def at(self, now, troubles=()):
        now_so = {each: frozenset() for each in troubles} | dict(
            troubles if isinstance(troubles, dict) else {}
        )
        keys = {each: frozenset(found) for each, found in now_so.items()}
        self.memory, alert = next_alert(self.memory, keys, now, self.policy)
        return alert


def case(key, stage, *, code="", found=0.0):
    failure = Reason(code) if code else None
    ending = stage if stage in {"failed", "delivered"} else None
    return Case(key, "lobes", "DOE^JANE", found, found, failure=failure, ending=ending)


def test_a_trouble_is_told_once_after_the_time_to_collect():
    told = Told()
    assert told.at(0, [TOKEN]) is None
    assert told.at(59, [TOKEN]) is None
    assert told.at(60, [TOKEN]).title == "gcwatch: the platform refuses the token"
    assert told.at(20 * HOUR, [TOKEN]) is None


def test_what_ends_before_it_is_told_is_never_told():
    told = Told()
    assert told.at(0, [TOKEN]) is None
    assert told.at(30) is None
    assert told.at(61) is None
    assert told.memory == AlertMemory()


def test_a_nights_outage_is_one_message_and_one_when_it_is_over():
    """Cases stall one after the other; the first ones are named, and the end is told once."""
    told = Told()
    stalled = {STALLED: {f"lobes-{i}" for i in range(3)}}
    messages = [told.at(0, stalled), told.at(60, stalled)]
    for minute in range(2, 11 * 60):
        now = {STALLED: {f"lobes-{i}" for i in range(3 + minute // 20)}}
        messages.append(told.at(60.0 * minute, now))
    messages += [told.at(11 * HOUR + 60.0 * minute) for minute in range(60)]
    first, over = [each for each in messages if each is not None]
    assert first.title == "gcwatch: 3 cases stalled"
    assert "lobes-0, lobes-1, lobes-2" in first.body
    assert over.title == "gcwatch: back to normal"
    assert over.events == ("back_to_normal",)
    assert "It lasted 11 h" in over.body


def test_a_trouble_that_grows_is_told_again_after_a_while():
    told = Told()
    told.at(0, {JOB: {"lobes-a"}})
    assert "lobes-a" in told.at(60, {JOB: {"lobes-a"}}).body
    assert told.at(6 * HOUR, {JOB: {"lobes-a", "lobes-b"}}) is None
    again = told.at(13 * HOUR, {JOB: {"lobes-a", "lobes-b"}})
    assert again.title == "gcwatch: 2 cases failed"
    assert told.at(30 * HOUR, {JOB: {"lobes-b"}}) is None


def test_another_reason_is_told_at_once_together_with_what_has_grown():
    told = Told()
    told.at(0, {JOB: {"lobes-a"}})
    told.at(60, {JOB: {"lobes-a"}})
    both = {JOB: {"lobes-a", "lobes-b"}, Trouble("failed", "no_files"): {"lobes-c"}}
    assert told.at(HOUR, both) is None
    message = told.at(HOUR + 60, both)
    assert message.title == "gcwatch: 3 cases failed"
    assert told.at(HOUR + 120, both) is None


def test_a_trouble_that_comes_and_goes_is_told_once():
    """Nobody hears of an end that did not last."""
    told = Told()
    told.at(0, [TOKEN])
    assert told.at(60, [TOKEN]) is not None
    for minute in range(2, 100):
        assert told.at(60.0 * minute - 30) is None
        assert told.at(60.0 * minute, [TOKEN]) is None
    assert told.at(6000.0) is None
    assert told.at(6060.0).title == "gcwatch: back to normal"


def test_the_end_of_all_is_told_when_all_has_ended():
    told = Told()
    away = Trouble("inbox_away", "lobes")
    told.at(0, [TOKEN, away])
    assert told.at(60, [TOKEN, away]).events == ("inbox_away", "token_refused")
    assert told.at(HOUR, [away]) is None
    assert told.at(2 * HOUR, [away]) is None
    told.at(3 * HOUR)
    over = told.at(4 * HOUR)
    assert "The platform accepts the token again." in over.body
    assert "The inbox of route lobes can be reached again." in over.body


def test_an_end_is_told_alone_if_another_trouble_lasts_for_long():
    told = Told()
    away = Trouble("inbox_away", "lobes")
    told.at(0, [TOKEN, away])
    told.at(60, [TOKEN, away])
    told.at(HOUR, [away])
    assert told.at(12 * HOUR, [away]) is None
    assert "token" in told.at(13 * HOUR, [away]).body


def test_a_case_that_a_person_has_put_right_ends_without_a_word():
    told = Told()
    told.at(0, {JOB: {"lobes-a"}})
    told.at(60, {JOB: {"lobes-a"}})
    assert told.at(HOUR) is None
    assert told.at(2 * HOUR) is None


@pytest.mark.parametrize("event", ALERT_EVENTS)
def test_only_what_is_asked_for_is_told(event):
    told = Told(AlertPolicy(frozenset({event}), collect=0))
    everything = {Trouble(kind): {"lobes-a"} for kind in ALERT_EVENTS if kind != "back_to_normal"}
    everything.pop(Trouble("failed"))
    everything[JOB] = {"lobes-a"}
    first, end = told.at(0, everything), told.at(HOUR)
    assert (first.events if first else ()) == ((event,) if event != "back_to_normal" else ())
    assert end is None


def test_a_clock_that_is_set_back_delays_nothing_for_long():
    told = Told()
    told.at(1e9, {JOB: {"lobes-a"}})
    told.at(1e9 + 60, {JOB: {"lobes-a"}})
    assert told.at(0, {JOB: {"lobes-a", "lobes-b"}}) is None
    assert told.at(12 * HOUR, {JOB: {"lobes-a", "lobes-b"}}) is not None


def test_many_keys_are_counted_and_some_are_named():
    told = Told(AlertPolicy(collect=0))
    message = told.at(0, {STALLED: {f"lobes-{i:03}" for i in range(50)}})
    assert "lobes-019 and 30 more" in message.body


def test_the_troubles_of_cases_are_theirs_by_reason():
    """An outage of the platform is one trouble, whatever each call met; no name is in it."""
    cases = [
        case("a", "failed", code="job_failed"),
        case("b", "failed", code="server_error"),
        case("c", "failed", code="wrong_answer"),
        case("d", "delivered"),
        case("e", "settling"),
        case("f", "settling"),
    ]
    progress = {"e": 0.0, "f": 4 * HOUR}
    found = troubles_of(cases, progress, 5 * HOUR, POLICY, is_calm=False)
    assert found == {
        Trouble("failed", "job_failed"): {"a"},
        Trouble("failed", "platform_away"): {"b", "c"},
        Trouble("to_check"): {"d"},
        STALLED: {"e"},
    }
    assert STALLED not in troubles_of(cases, progress, 5 * HOUR, POLICY, is_calm=True)
    _, alert = next_alert(AlertMemory(), found, 0, AlertPolicy(collect=0))
    assert alert is not None
    assert "DOE" not in alert.title + alert.body
