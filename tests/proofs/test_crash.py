"""Whatever is killed or lost on the way, each folder becomes exactly one thing and one result.

For every kind of target, and every sort of case of it, as `contract` lists them. `make test` lets
one site die at every kind of point, one life after the other. `make prove` lets a site of its own
die at each single point: before the first commit, before the second, and so on.
"""

from functools import partial
from itertools import count
from urllib.parse import urlsplit

import pytest
from support.builders import Site, check_history, check_nothing_half_done
from support.contract import TARGETS
from support.victims import SIGKILLED, die_at_every_kind, kind_of_point, sorts_of_calls

from gcwatch.sandbox import Sandbox

pytestmark = pytest.mark.timeout(1200)
"""A hundred lives take a busy machine many minutes."""


QUICK = [
    ("algorithm", "image"),
    ("reader_study", "image_file_value"),
    ("archive", "image"),
]
"""What `make test` takes of each kind of target; `make prove` takes all."""
JOURNALS = ("sqlite", "postgres")
QUICK_CHAINS = [
    ("algorithm", "image", "sqlite"),
    ("reader_study", "image_file_value", "sqlite"),
    ("archive", "image", "postgres"),
]
"""The same for chained deaths, and where the journal is."""


def tiers(rows, quick=QUICK):
    """The rows of a table of kinds and names; those that are not quick are for `make prove`."""
    return [
        pytest.param(*row, marks=[] if row[: len(quick[0])] in quick else pytest.mark.prove)
        for row in rows
    ]


def chain_deaths(victims, folder, target, *, name, broken="", journal=None):
    """Let one site die at the first point of each kind; return the kinds."""
    variant = target.variants[name]
    with target.dropped(folder, variant, journal) as site:
        kinds = die_at_every_kind(
            partial(victims.live, site, variant=broken),
            folder / "points",
            check=lambda: check_nothing_half_done(site.outbox, variant.patients),
        )
        target.check_one_each(site, variant)
        if variant.alone:
            check_all_visited(site, kinds)
    return kinds


def check_all_visited(site, kinds):
    """Every kind of event and of write was a point where the daemon died."""
    with site.watch() as watch:
        histories = [watch.history(case) for case in watch.journal.cases()]
    recorded = {each.event.kind for history in histories for each in history}
    assert {f"{when} {kind}" for kind in recorded for when in ("before", "after")} <= {*kinds}
    writes = {
        kind_of_point(call["method"], urlsplit(call["path"]).path)
        for call in site.sandbox.calls()
        if call["applied"]
    }
    assert writes <= {*kinds}


def enumerate_deaths(victims, folder, target, *, name, death, broken="", journal=lambda: None):
    """Let the daemon die at the first point, the second … until one survives; count the dead.

    *journal* makes the journal of each site.
    """
    variant = target.variants[name]
    for number in count(1):
        with target.dropped(folder / str(number), variant, journal()) as site:
            status = victims.live(site, variant=broken, **{death: number})
            check_nothing_half_done(site.outbox, variant.patients)
            if status == SIGKILLED:
                site.sandbox.clear_faults()
                assert victims.live(site, variant=broken) == 0
            else:
                assert status == 0
            target.check_one_each(site, variant)
            if status != SIGKILLED:
                return number - 1
    raise AssertionError


def points():
    """Every kind and sort of case with the deaths that it is put through."""
    return [
        (kind, name, death)
        for kind, target in TARGETS.items()
        for name, variant in target.variants.items()
        for death in variant.deaths
    ]


def all_variants():
    """Every kind and sort of case."""
    return [(kind, name) for kind, target in TARGETS.items() for name in target.variants]


def cuts():
    """Every kind and sort of case with what each of its calls in turn goes through."""
    return [
        (kind, name, action)
        for kind, name in all_variants()
        for action in TARGETS[kind].variants[name].cuts
    ]


@pytest.mark.parametrize(
    ("kind", "name", "where"),
    tiers([(*row, where) for row in all_variants() for where in JOURNALS], QUICK_CHAINS),
)
def test_a_folder_becomes_one_thing_though_the_daemon_dies_again_and_again(  # noqa: PLR0917 -- a row
    victims, new_journal, tmp_path, kind, name, where
):
    """SIGKILL at each kind of commit, reply and file change in turn, on one and the same site."""
    dead = chain_deaths(victims, tmp_path, TARGETS[kind], name=name, journal=new_journal(where))

    assert len(dead) >= 30


@pytest.mark.prove
@pytest.mark.parametrize("where", JOURNALS)
@pytest.mark.parametrize(("kind", "name", "death"), points())
def test_a_folder_becomes_one_thing_wherever_the_daemon_dies(  # noqa: PLR0917 -- a row
    victims, new_journal, tmp_path, kind, name, death, where
):
    """SIGKILL at every commit, platform write and file change: one of it, one whole result."""
    journal = partial(new_journal, where)
    target = TARGETS[kind]
    dead = enumerate_deaths(victims, tmp_path, target, name=name, death=death, journal=journal)

    assert dead >= {"platform_write": 1}.get(death, 9)


ITEM_KINDS = [kind for kind in TARGETS if kind != "algorithm"]


@pytest.mark.prove
@pytest.mark.parametrize(
    ("kind", "broken", "complaint"),
    [
        ("algorithm", "post_without_look", "[23] jobs for 1 folders"),
        ("reader_study", "fill_before_effect", "delivered of"),
        ("archive", "create_without_look", "delivered of"),
    ],
)
def test_the_chain_catches_a_broken_variant(victims, tmp_path, kind, broken, complaint):
    """Without a look, or with the record before the effect, the test of chained deaths fails."""
    with pytest.raises(AssertionError, match=complaint):
        chain_deaths(victims, tmp_path, TARGETS[kind], name="image", broken=broken)


@pytest.mark.prove
@pytest.mark.parametrize(
    ("kind", "broken", "death", "complaint"),
    [
        ("algorithm", "post_without_look", "platform_write", "2 jobs for 1 folders"),
        ("algorithm", "post_without_look", "before_commit", "2 jobs for 1 folders"),
        ("algorithm", "commit_before_effect", "after_commit", "0 jobs for 1 folders"),
        *[(k, "title_not_kept", "platform_write", "2 .* for 1 folders") for k in ITEM_KINDS],
        *[(k, "create_without_look", "platform_write", "delivered of") for k in ITEM_KINDS],
        *[(k, "fill_before_effect", "after_commit", "delivered of") for k in ITEM_KINDS],
    ],
)
def test_the_enumeration_catches_a_broken_variant(  # noqa: PLR0917 -- a row of the table
    victims, tmp_path, kind, broken, death, complaint
):
    """Without a look, a title that is kept, or the effect before the record, the test fails."""
    target = TARGETS[kind]

    with pytest.raises(AssertionError, match=complaint):
        enumerate_deaths(victims, tmp_path, target, name="image", death=death, broken=broken)


# --- lost replies and failures of the server ------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), all_variants())
def test_a_folder_becomes_one_thing_though_every_sort_of_call_loses_a_reply(tmp_path, kind, name):
    """The first reply of each sort of call is lost after it was applied: still one."""
    target = TARGETS[kind]
    variant = target.variants[name]
    with target.dropped(tmp_path, variant) as site:
        site.sandbox.lose_each_once()

        site.run_once()

        target.check_one_each(site, variant)


@pytest.mark.parametrize(("kind", "name", "action"), tiers(cuts()))
def test_a_folder_becomes_one_thing_though_each_sort_of_call_goes_wrong(
    tmp_path, kind, name, action
):
    """The first call of each sort is cut, before or after it is applied, or ends in a 500."""
    target = TARGETS[kind]
    variant = target.variants[name]
    with target.dropped(tmp_path / "undisturbed", variant) as site:
        site.run_once()
        sorts = sorts_of_calls(site.sandbox)
    with target.dropped(tmp_path / "disturbed", variant) as site:
        for method, path in sorts:
            site.sandbox.fault(action, method=method, path=path)

        site.run_once()

        target.check_one_each(site, variant)


@pytest.mark.prove
@pytest.mark.parametrize(("kind", "name", "action"), cuts())
def test_a_folder_becomes_one_thing_whichever_call_goes_wrong(tmp_path, kind, name, action):
    """Each call in turn is cut, before or after it was applied, or ends in a 500: still one."""
    target = TARGETS[kind]
    variant = target.variants[name]
    for number in count(1):
        with target.dropped(tmp_path / str(number), variant) as site:
            site.sandbox.fault(action, nth=number)

            site.run_once()

            target.check_one_each(site, variant)
            if len(site.sandbox.calls()) < number:
                break


def test_a_lost_reply_catches_the_variant_that_does_not_look(victims, tmp_path):
    """Without the look before posting, one lost reply makes two jobs, and the test sees them."""
    target = TARGETS["algorithm"]
    with target.dropped(tmp_path, target.variants["image"]) as site:
        site.sandbox.lose_each_once()

        victims.live(site, variant="post_without_look")

        with pytest.raises(AssertionError, match="2 jobs for 1 folders"):
            target.check_one_each(site, target.variants["image"])


@pytest.mark.parametrize("death", ["before_commit", "after_commit"])
def test_a_route_is_renamed_once_wherever_the_daemon_dies(victims, tmp_path, death):
    """What was delivered is known under the new name, at the latest after the next start."""
    for number in range(1, 5):
        with Sandbox(tmp_path / f"sandbox{number}") as sandbox:
            site = Site(tmp_path / f"site{number}", sandbox)
            site.drop("p1")
            assert victims.live(site) == 0
            site.drop("p2")
            site.configure(name="nodules")

            if victims.live(site, **{death: number}) == SIGKILLED:
                assert victims.live(site) == 0

            assert len(site.jobs()) == 2
            assert site.delivered() == ["p1", "p2"]
            with site.watch() as watch:
                assert {case.route for case in watch.cases()} == {"nodules"}
                check_history(watch)
