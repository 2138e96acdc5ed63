"""Of the hosts that share a journal, one at a time works on a case, whatever becomes of them.

A host dies, or is frozen for longer than its leases last and goes on, at each kind of commit, reply
and change of a file; another host, with another state directory, takes the work over meanwhile.
"""

import signal
from contextlib import contextmanager
from itertools import cycle

import pytest
from support.builders import check_nothing_half_done, until
from support.contract import TARGETS
from support.hosts import host_sites
from support.victims import SIGKILLED, SIGSTOPPED, die_at_every_kind

pytestmark = pytest.mark.timeout(1200)

CHANGING = ("POST", "PATCH", "DELETE")
ALL = [
    ("algorithm", "image"),
    ("algorithm", "value"),
    ("algorithm", "series"),
    ("algorithm", "dicom_set"),
    ("reader_study", "image_file_value"),
    ("archive", "image"),
]


@contextmanager
def dropped(target, folder, name, database):
    """A variant's folder in the inbox of two hosts: the site as each of them sees it."""
    with target.dropped(folder, target.variants[name]) as site:
        yield host_sites(site, database)


def check_one_each(target, sites, name):
    """One thing and one whole result, and nothing is left on any host."""
    for site in sites.values():
        target.check_one_each(site, target.variants[name])


def work_until_delivered(victims, target, site, name):
    """Let a host work by `once` until all is delivered: another host's lease ends meanwhile."""
    wanted = sorted(target.variants[name].results or target.variants[name].folders)

    def is_delivered():
        assert victims.live(site) == 0
        with site.watch() as watch:
            return site.results() == wanted and not watch.journal.open_cases()

    until(is_delivered)


def take_turns(victims, sites):
    """Return a function that lets the hosts live in turn, until nothing is left to do."""
    others = cycle(sites.values())

    def live(**death):
        site = next(others)
        # The lease of the other host, which is dead, has to end first.
        while (status := victims.live(site, **death)) == 0:
            with site.watch() as watch:
                if not watch.journal.open_cases():
                    break
        return status

    return live


def test_another_host_goes_on_whichever_commit_one_dies_at(victims, tmp_path, database):
    """SIGKILL before and after each kind of commit in turn; each next life is the other host's."""
    target = TARGETS["algorithm"]
    with dropped(target, tmp_path, "image", database) as sites:
        live, points = take_turns(victims, sites), tmp_path / "points"

        def live_on(chain):
            return live(chain_of_commits=chain)

        assert len(die_at_every_kind(live_on, points)) >= 25
        check_one_each(target, sites, "image")


@pytest.mark.prove
@pytest.mark.parametrize(("kind", "name"), ALL)
def test_another_host_goes_on_wherever_one_dies(victims, tmp_path, database, kind, name):
    """SIGKILL at each kind of point in turn; each next life is the other host's."""
    target = TARGETS[kind]
    with dropped(target, tmp_path, name, database) as sites:
        kinds = die_at_every_kind(
            take_turns(victims, sites),
            tmp_path / "points",
            check=lambda: check_nothing_half_done(sites["a"].outbox),
        )

        assert len(kinds) >= 30
        check_one_each(target, sites, name)


def end_at(point, folder, number, **how):
    """How a life ends at the first point of one kind: by death, or frozen."""
    points = folder / f"points-{number:d}"
    return {"end_at": point, "points": str(points), "signal": number, **how}


def traces(site):
    """What a host may leave: calls that change something, and events."""
    calls = [call["path"] for call in site.sandbox.calls() if call["method"] in CHANGING]
    with site.watch() as watch:
        return calls, {case.key: watch.history(case) for case in watch.journal.cases()}


def freeze_at(victims, target, sites, name, death):
    """Freeze one host where it is told, let the other do all, then let the first one go on."""
    status = victims.live(sites["a"], **death)
    if status != SIGSTOPPED:
        assert status == 0
        return False
    work_until_delivered(victims, target, sites["b"], name)
    before = traces(sites["b"])
    assert victims.go_on(sites["a"].sandbox) == 0
    assert traces(sites["b"]) == before, "the host that was frozen did something"
    check_one_each(target, sites, name)
    return True


POINTS = [
    ("before folder_found", "image"),
    ("before upload_started", "image"),
    ("after submission_attempted", "value"),
    ("before submitted", "value"),
    ("before delivered", "image"),
]


@pytest.mark.parametrize(("point", "name"), POINTS)
def test_a_host_that_was_frozen_for_too_long_changes_nothing(
    victims, tmp_path, database, point, name
):
    """SIGSTOP for longer than a lease: it makes no call that changes something, and no record."""
    target = TARGETS["algorithm"]
    with dropped(target, tmp_path, name, database) as sites:
        death = end_at(point, tmp_path, signal.SIGSTOP)

        assert freeze_at(victims, target, sites, name, death)


def go_on_with_the_others_work(victims, target, sites, folder, **how):
    """Freeze one host, let the other begin anew and die, let the first one go on and finish."""
    first = end_at("before upload_started", folder, signal.SIGSTOP, **how)
    second = end_at("after submitted", folder, signal.SIGKILL)
    assert victims.live(sites["a"], **first) == SIGSTOPPED
    while victims.live(sites["b"], **second) != SIGKILLED:
        pass
    assert victims.go_on(sites["a"].sandbox) == 0
    work_until_delivered(victims, target, sites["a"], "image")
    check_one_each(target, sites, "image")
    with sites["a"].watch() as watch:
        [case] = watch.journal.cases()
        kinds = [each.event.kind for each in watch.history(case)]
    assert kinds.count("upload_started") == 1, "two hosts have recorded an upload"


def test_a_host_that_was_frozen_records_nothing_into_what_another_has_done(
    victims, tmp_path, database
):
    """It takes the work back only by a new lease, where the other host has left it."""
    target = TARGETS["algorithm"]
    with dropped(target, tmp_path, "image", database) as sites:
        go_on_with_the_others_work(victims, target, sites, tmp_path)


@pytest.mark.prove
@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_host_that_was_frozen_at_any_kind_of_point_changes_nothing(
    victims, tmp_path, postgres, kind, name
):
    """SIGSTOP at each kind of commit, reply and change of a file, on a new site each time."""
    target, frozen = TARGETS[kind], 0
    points = tmp_path / "points"
    while True:
        database = postgres.create()
        with dropped(target, tmp_path / str(frozen), name, postgres.url(database)) as sites:
            is_frozen = freeze_at(victims, target, sites, name, {"chain_of_stops": str(points)})
        postgres.drop(database)
        if not is_frozen:
            break
        frozen += 1
    assert frozen >= 30


def test_without_fences_two_hosts_record_into_one_case(victims, tmp_path, database):
    """The broken variant is caught: a record by an old lease is taken."""
    target = TARGETS["algorithm"]
    with (
        dropped(target, tmp_path, "image", database) as sites,
        pytest.raises(AssertionError, match="two hosts have recorded"),
    ):
        go_on_with_the_others_work(victims, target, sites, tmp_path, variant="no_fencing")


@pytest.mark.parametrize(
    ("broken", "name", "point"),
    [
        ("write_without_lease", "value", "after submission_attempted"),
        ("surveys_by_two", "image", "before folder_found"),
    ],
)
def test_freezing_catches_a_broken_variant(  # noqa: PLR0917 -- a row of the table
    victims, tmp_path, database, broken, name, point
):
    """Without a look at the lease before a write, and with two hosts at one inbox."""
    target = TARGETS["algorithm"]
    with dropped(target, tmp_path, name, database) as sites:
        death = end_at(point, tmp_path, signal.SIGSTOP, variant=broken)

        with pytest.raises(AssertionError, match="the host that was frozen did something"):
            freeze_at(victims, target, sites, name, death)
