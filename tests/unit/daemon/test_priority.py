"""Urgent cases pass a backlog: the order in which a daemon begins cases."""

from dataclasses import replace

import pytest
from support.builders import Clock, Site, mha

from gcwatch.core.case import Case, Wait
from gcwatch.core.events import Planned
from gcwatch.core.reasons import Reason
from gcwatch.daemon.job_slots import JobSlots
from gcwatch.daemon.turns import Turns

ROUTE = """
[[route]]
name = "{name}"
priority = "{name}"
inbox = "{name}/in"
outbox = "{name}/out"
algorithm = "copy-image"
settle = "0s"
poll = "50ms"
duplicates = "send"
"""


class PrioritySite(Site):
    """A site with one place, and with three routes: urgent, normal and low."""

    def configure(self, **route):
        super().configure(limits={"cases": 1}, priority="low", name="low", **route)
        text = self.file.read_text()
        for name in ("normal", "urgent"):
            for folder in ("in", "out"):
                (self.folder / name / folder).mkdir(parents=True, exist_ok=True)
            text += ROUTE.format(name=name)
        self.file.write_text(text)

    def drop_urgent(self, name):
        folder = self.drop(name)
        folder.rename(self.folder / "urgent" / "in" / name)


@pytest.fixture
def site(tmp_path, sandbox):
    return PrioritySite(tmp_path / "site", sandbox)


class Queue:
    """Cases that are due, opened one second after the other, and who chooses among them."""

    def __init__(self, watch, clock):
        self.journal, self.clock = watch.journal, clock
        self.turns = Turns(watch.journal, watch._current, clock)
        self.names = {}

    def add(self, *routes):
        for route in routes:
            self.clock.ahead += 1
            case = self.journal.open_case(route, f"p{len(self.names)}")
            self.names[case.key] = route
        return self

    def choose(self, free, running=(), asked=()):
        return [self.names[key] for key in self.turns.choose(asked, running, free)]


@pytest.fixture
def queue(site):
    clock = Clock()
    with site.watch(clock=clock) as watch:
        yield Queue(watch, clock)


def test_urgent_cases_go_before_normal_and_low_ones(queue):
    """Each fourth is the one that has been due for longest."""
    queue.add("low", "low", "normal", "normal", "urgent", "urgent")
    assert queue.choose(6) == ["urgent", "urgent", "normal", "low", "normal", "low"]


def test_without_priorities_the_longest_due_goes_first(queue):
    queue.add("low", "low", "low")
    [first, *_] = queue.names
    assert queue.turns.choose((), (), 1) == [first]


def test_an_urgent_case_finds_a_place_although_all_are_taken(queue):
    """One more, not two; and no other case finds it."""
    queue.add("low", "normal", "urgent", "urgent")
    low, _, urgent, _ = queue.names
    assert queue.choose(0, running=[low]) == ["urgent"]
    assert queue.turns.has_room(0)
    assert not queue.turns.has_room(-1)
    assert queue.choose(1) == ["urgent", "urgent"]
    assert queue.choose(0, running=[low, urgent]) == ["urgent"]


def test_the_further_place_is_for_urgent_cases_only(queue):
    queue.add("low", "normal", "normal")
    assert queue.choose(1) == ["normal"]
    assert queue.choose(0) == []


def test_what_was_asked_for_goes_first(queue):
    """A marker file came, or a job has ended."""
    queue.add("low", "normal", "urgent")
    [low, *_] = queue.names
    assert queue.choose(2, asked=[low]) == ["low", "urgent"]


def test_a_job_that_ended_lets_an_urgent_case_try_first():
    """And the fourth lets the oldest try."""
    held = Case("", "", "", 0.0, 0.0, wait=Wait(Reason("too_many_jobs"), 0.0))
    keys = ("low1", "low2", "urgent1", "urgent2")
    cases = [replace(held, key=key, route=key[:-1]) for key in keys]
    slots = JobSlots()
    taken = []
    for _ in range(4):
        slots._freed = 1
        taken += slots.take_held(cases, lambda case: case.route != "urgent")
    assert taken == ["urgent1", "urgent1", "urgent1", "low1"]


def test_an_urgent_folder_passes_a_backlog(site):
    """It comes last, and is planned before most of the others."""
    for number in range(7):
        site.drop(f"p{number}", {"image.mha": mha(number, 1, 1)})
    site.drop_urgent("stroke")
    outcome = site.run_once()
    assert outcome.delivered == 8
    with site.watch() as watch:
        planned = [
            (each.at, case.route)
            for case in watch.cases()
            for each in watch.history(case)
            if isinstance(each.event, Planned)
        ]
    routes = [route for _, route in sorted(planned)]
    assert routes.index("urgent") <= 3
    assert len(routes) == 8
