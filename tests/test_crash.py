"""Whatever is killed or lost on the way, each folder ends in exactly one job and one result."""

import json
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from builders import (
    Site,
    check_history,
    check_nothing_half_done,
    check_results,
    mha,
    series,
    voxels,
)
from victim import SIGKILLED, Victims

from gcwatch.sandbox import Sandbox, Settings

DEATHS = ("before_commit", "after_commit", "platform_write", "file_change")
CLINICAL = b'{"age" :  61,\r\n "sex":"F"}'


@dataclass(frozen=True)
class Kind:
    """A kind of case: what is dropped, where it goes, and how the platform is."""

    files: Mapping[str, bytes]
    route: Mapping[str, Any] = field(default_factory=dict)
    platform: Mapping[str, Any] = field(default_factory=dict)
    folders: tuple[str, ...] = ("p1",)
    holds: Callable[..., bool] = lambda _folder: True
    deaths: tuple[str, ...] = ("before_commit", "platform_write")


def _same_voxels(folder):
    (image,) = folder.glob("generic-medical-image/*.mha")
    return voxels(image.read_bytes()) == voxels(mha(1, 2, 3, 4))


def _two_above_two(folder):
    return json.loads((folder / "voxel-count.json").read_bytes()) == 2


def _same_file(folder):
    return (folder / "clinical-info-copy.json").read_bytes() == CLINICAL


def _doubled(folder):
    return json.loads((folder / "score.json").read_bytes()) == 3.0


IMAGE = {"image.mha": mha(1, 2, 3, 4)}
KINDS = {
    "one_file": Kind(IMAGE, holds=_same_voxels, deaths=DEATHS),
    "several_files": Kind(series(), deaths=DEATHS),
    "image_and_value": Kind(
        {**IMAGE, "limit.json": b"2.5"},
        {
            "algorithm": "threshold",
            "inputs": {"ct-image": "*.mha", "threshold": {"json": "limit.json"}},
        },
        holds=_two_above_two,
        deaths=("before_commit", "after_commit", "platform_write"),
    ),
    "two_images": Kind(
        {"ct.mha": mha(1, 2, 3, 4), "pet.mha": mha(5, 6, 7, 8)},
        {"algorithm": "two-images", "inputs": {"ct-image": "ct.mha", "pet-image": "pet.mha"}},
    ),
    "file_alone": Kind(
        {"info.json": CLINICAL},
        {"algorithm": "file-only", "inputs": {"clinical-info": "*.json"}},
        holds=_same_file,
    ),
    "value_alone": Kind(
        {"limit.json": b"1.5"},
        {"algorithm": "values-only", "inputs": {"threshold": {"json": "limit.json"}}},
        holds=_doubled,
    ),
    "without_sessions": Kind(IMAGE, platform={"sessions": False}, holds=_same_voxels),
    "slow_platform": Kind(
        IMAGE,
        platform={"import_seconds": 0.15, "job_seconds": 0.15},
        holds=_same_voxels,
        deaths=("platform_write",),
    ),
    "two_folders": Kind(
        IMAGE, folders=("p1", "p2"), holds=_same_voxels, deaths=("platform_write",)
    ),
    "source_deleted": Kind(IMAGE, {"after": "delete"}, holds=_same_voxels, deaths=("file_change",)),
    "source_moved": Kind(
        IMAGE, {"after": "move", "done": "done"}, holds=_same_voxels, deaths=("file_change",)
    ),
}


@pytest.fixture(scope="module")
def victims():
    """A server of daemons that can be killed."""
    server = Victims()
    yield server
    server.close()


@contextmanager
def dropped(folder, kind):
    """A sandbox, and a site whose inbox holds the folders of a kind."""
    with Sandbox(folder / "sandbox", Settings(**kind.platform)) as sandbox:
        site = Site(folder / "site", sandbox, **kind.route)
        for name in kind.folders:
            site.drop(name, kind.files)
        yield site


def check_one_job_each(site, kind):
    """At the end: one job and one whole result for each folder, and nothing left over."""
    jobs = site.jobs()
    assert len(jobs) == len(kind.folders), f"{len(jobs)} jobs for {len(kind.folders)} folders"
    assert site.delivered() == sorted(kind.folders)
    check_nothing_half_done(site.outbox)
    assert len({site.receipt(name)["target"]["job"] for name in kind.folders}) == len(jobs)
    for name in kind.folders:
        check_results(site.sandbox, site.outbox / name)
        assert kind.holds(site.outbox / name)
    with site.watch() as watch:
        check_history(watch)
        assert [case.ending for case in watch.journal.cases()] == ["delivered"] * len(kind.folders)
    assert not [*(site.state / "spool").glob("*")], "something is left in the spool"
    assert len([*site.outbox.iterdir()]) == len(kind.folders), "something is left in the outbox"


def enumerate_deaths(victims, folder, kind, death, variant=""):
    """Let the daemon die at the first point, the second … until one survives; count the dead."""
    for number in count(1):
        with dropped(folder / str(number), kind) as site:
            status = victims.live(site, variant=variant, **{death: number})
            check_nothing_half_done(site.outbox)
            if status == SIGKILLED:
                site.sandbox.clear_faults()
                assert victims.live(site, variant=variant) == 0
            else:
                assert status == 0
            check_one_job_each(site, kind)
            if status != SIGKILLED:
                return number - 1
    raise AssertionError


def points():
    """Every kind of case with the deaths that it is put through."""
    return [(name, death) for name, kind in KINDS.items() for death in kind.deaths]


@pytest.mark.parametrize(("name", "death"), points())
def test_a_folder_becomes_one_job_wherever_the_daemon_dies(victims, tmp_path, name, death):
    """SIGKILL at every commit, platform write and file change: one job, one whole result."""
    dead = enumerate_deaths(victims, tmp_path, KINDS[name], death)

    assert dead >= {"platform_write": 1}.get(death, 9)


@pytest.mark.parametrize(
    ("variant", "death", "complaint"),
    [
        ("post_without_look", "platform_write", "2 jobs for 1 folders"),
        ("post_without_look", "before_commit", "2 jobs for 1 folders"),
        ("commit_before_effect", "after_commit", "0 jobs for 1 folders"),
    ],
)
def test_the_enumeration_catches_a_broken_variant(victims, tmp_path, variant, death, complaint):
    """Without the look before posting, or with the commit before the effect, the test fails."""
    with pytest.raises(AssertionError, match=complaint):
        enumerate_deaths(victims, tmp_path, KINDS["one_file"], death, variant)


# --- lost replies --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_a_folder_becomes_one_job_though_every_sort_of_call_loses_a_reply(tmp_path, name):
    """The first reply of each sort of call is lost after it was applied: still one job."""
    with dropped(tmp_path, KINDS[name]) as site:
        site.sandbox.lose_each_once()

        site.run_once()

        check_one_job_each(site, KINDS[name])


@pytest.mark.parametrize("action", ["cut_before", "cut_after"])
@pytest.mark.parametrize("name", ["one_file", "file_alone", "value_alone", "without_sessions"])
def test_a_folder_becomes_one_job_whichever_call_is_cut(tmp_path, name, action):
    """Each call in turn is cut, before or after it was applied: still one job."""
    for number in count(1):
        with dropped(tmp_path / str(number), KINDS[name]) as site:
            site.sandbox.fault(action, nth=number)

            site.run_once()

            check_one_job_each(site, KINDS[name])
            if len(site.sandbox.calls()) < number:
                break


def test_a_lost_reply_catches_the_variant_that_does_not_look(victims, tmp_path):
    """Without the look before posting, one lost reply makes two jobs, and the test sees them."""
    with dropped(tmp_path, KINDS["one_file"]) as site:
        site.sandbox.lose_each_once()

        victims.live(site, variant="post_without_look")

        with pytest.raises(AssertionError, match="2 jobs for 1 folders"):
            check_one_job_each(site, KINDS["one_file"])
