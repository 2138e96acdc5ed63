"""Wherever a mirror is killed or cut, nobody sees half an item, and the next run completes it.

`make test` kills one mirror at every kind of point, one life after the other; `make prove` kills a
mirror of its own at each single point.
"""

from contextlib import contextmanager
from functools import partial
from itertools import count

import pytest
from support.builders import mha, visible
from support.mirrored import IMAGE, Mirrored
from support.mirrored_jobs import MirroredJobs
from support.mirrored_study import MirroredStudy
from support.victims import SIGKILLED, die_at_every_kind, sorts_of_calls

from gcwatch.sandbox import Sandbox

pytestmark = pytest.mark.timeout(1200)
"""A hundred lives take a busy machine many minutes."""

DEATHS = ("file_change", "platform_call")
CUTS = ("cut_before", "truncate")
KINDS = (
    "fresh",
    "changed",
    "flat_fresh",
    "flat_changed",
    "study_fresh",
    "study_changed",
    "jobs_fresh",
)
TIERS = [
    "changed",
    *(pytest.param(kind, marks=pytest.mark.prove) for kind in KINDS if kind != "changed"),
]
"""`make test` takes the run that finds every sort of item; `make prove` takes all."""


class Scene:
    """A mirror before the run that is killed, and what must hold during and after it."""

    def __init__(self, folder, sandbox, kind):
        self.flat = kind.startswith("flat")
        keys = {"layout": "flat"} if self.flat else {}
        moves = kind in {"changed", "study_changed"}
        keys |= {"gone": "move", "gone_to": "gone"} if moves else {}
        makers = {"study": MirroredStudy, "jobs": MirroredJobs}
        make = makers.get(kind.partition("_")[0], Mirrored)
        self.site = make(folder, sandbox, **keys)
        self.file, self.sandbox = self.site.file, sandbox
        self.known = set()
        self.still, self.gone = {}, ()
        self._fill()
        if not kind.endswith("fresh"):
            self._change()
        self._note_images()

    def _fill(self):
        add = self.site.add
        self.first = add("p1", {IMAGE: ("lung.mha", mha(1, 2))}, threshold=1.0)
        self.second = add("p2", {IMAGE: ("lung.mha", mha(3, 4))}, clinical_info=b'{"age": 61}')
        if not self.flat:
            add("p3", threshold=3.0)

    def _change(self):
        """All is here; then one item changes, one leaves, one comes and one stays."""
        self.site.add("p4", {IMAGE: ("heart.mha", mha(5, 6))})
        self.site.add("p5", {IMAGE: ("brain.mha", mha(7, 8))})
        self.site.run()
        self._note_images()
        self.still = {k: v for k, v in self.site.print().items() if "p4" in str(k)}
        self.site.change(self.second, generic_medical_image=("liver.mha", mha(9, 9)))
        self.site.remove("p5")
        self.gone = ("p5",)
        self.site.add("p6", {IMAGE: ("spleen.mha", mha(6, 6))})

    def _note_images(self):
        """The digests of all images that may be seen at any time."""
        held = self.site.values().values()
        if self.flat:
            found = (pair for each in held for pair in each.values())
            self.known |= {digest for slug, digest in found if slug == IMAGE}

    def check_visible(self):
        """What people see is whole, at any time; what has not changed was not touched."""
        if self.flat:
            assert set(self.site.flat_digests()) <= self.known, "half an image is seen"
        else:
            self.site.check_nothing_half_done()
        now = self.site.print()
        assert self.still.items() <= now.items(), "what stayed was touched"

    def check_end(self):
        """All is as the archive has it; what left is kept or moved, once; nothing is left over."""
        gone = self.site.folder / "gone"
        if self.flat:
            self._check_flat_end()
        else:
            self.site.check_complete()
        if self.site.keys.get("gone") == "move":
            assert [path.name for path in gone.iterdir() if visible(path)] == [*self.gone]
            assert len([*(gone / "p5" / self.site.images).iterdir()]) == 1
        self.check_visible()
        assert self.site.run().unchanged == len(self.site.values())

    def _check_flat_end(self):
        wanted = {d for each in self.site.values().values() for s, d in each.values() if s == IMAGE}
        kept = [each for each in self.site.flat_digests() if each not in wanted]
        assert sorted(set(self.site.flat_digests()) - set(kept)) == sorted(wanted)
        assert len(kept) == len(self.gone), "an image that was replaced is still here"
        assert len(self.site.names()) == len(wanted) + len(kept), "an image is here twice"
        self.site.check_tidy()


@contextmanager
def staged(folder, kind):
    """A scene with a sandbox of its own."""
    with Sandbox(folder / "sandbox") as sandbox:
        yield Scene(folder / "site", sandbox, kind)


def enumerate_deaths(victims, folder, kind, death, variant=""):
    """Let the mirror die at the first point, the second … until one survives; count the dead."""
    for number in count(1):
        with staged(folder / str(number), kind) as scene:
            status = victims.live(scene, variant=variant, **{death: number})
            scene.check_visible()
            if status == SIGKILLED:
                scene.sandbox.clear_faults()
                assert victims.live(scene, variant=variant) == 0
            else:
                assert status == 0
            scene.check_end()
            if status != SIGKILLED:
                return number - 1
    raise AssertionError


def chain_deaths(victims, folder, kind, variant=""):
    """Let one mirror die at the first point of each kind; count the dead."""
    with staged(folder, kind) as scene:
        kinds = die_at_every_kind(
            partial(victims.live, scene, variant=variant),
            folder / "points",
            check=scene.check_visible,
        )
        scene.check_end()
    return len(kinds)


@pytest.mark.parametrize("kind", TIERS)
def test_a_mirror_is_completed_though_it_is_killed_again_and_again(victims, tmp_path, kind):
    """SIGKILL before each kind of file change and after each sort of call, on one mirror."""
    assert chain_deaths(victims, tmp_path, kind) >= 20


@pytest.mark.prove
def test_the_chain_catches_a_broken_variant(victims, tmp_path):
    """With the receipt written after the rename, the test of chained deaths fails."""
    with pytest.raises((AssertionError, FileNotFoundError), match=r"gcwatch\.json"):
        chain_deaths(victims, tmp_path, "changed", "receipt_after_rename")


@pytest.mark.prove
@pytest.mark.parametrize("death", DEATHS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_mirror_is_completed_wherever_it_is_killed(victims, tmp_path, kind, death):
    """SIGKILL before every change of a file and after every call: whole at all times, then done."""
    dead = enumerate_deaths(victims, tmp_path, kind, death)

    assert dead >= {"platform_call": 6}.get(death, 30)


@pytest.mark.prove
@pytest.mark.parametrize(
    ("kind", "variant", "complaint"),
    [
        ("fresh", "receipt_after_rename", "gcwatch.json"),
        ("changed", "leave_old_aside", "left"),
        ("flat_fresh", "names_after_images", "twice"),
        ("study_changed", "leave_old_aside", "left"),
    ],
)
def test_the_enumeration_catches_a_broken_variant(victims, tmp_path, kind, variant, complaint):
    """With the order of two writes swapped, or without tidying, the test fails."""
    with pytest.raises((AssertionError, FileNotFoundError), match=complaint):
        enumerate_deaths(victims, tmp_path, kind, "file_change", variant)


@pytest.mark.parametrize("action", CUTS)
@pytest.mark.parametrize("kind", TIERS)
def test_a_mirror_is_completed_though_each_sort_of_call_is_cut(tmp_path, kind, action):
    """The first call of each sort loses its request, its reply, or half of its body."""
    with staged(tmp_path / "undisturbed", kind) as scene:
        scene.sandbox.forget_calls()
        scene.site.run_once()
        sorts = sorts_of_calls(scene.sandbox)
    with staged(tmp_path / "disturbed", kind) as scene:
        for method, path in sorts:
            scene.sandbox.fault(action, method=method, path=path)

        scene.site.run_once()

        scene.check_visible()
        scene.sandbox.clear_faults()
        scene.site.run_once()
        scene.check_end()


@pytest.mark.prove
@pytest.mark.parametrize("action", CUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_mirror_is_completed_whichever_call_is_cut(tmp_path, kind, action):
    """Each call in turn loses its request, its reply, or half of its body."""
    for number in count(1):
        with staged(tmp_path / str(number), kind) as scene:
            scene.sandbox.forget_calls()
            scene.sandbox.fault(action, nth=number)

            scene.site.run_once()

            scene.check_visible()
            calls = len(scene.sandbox.calls())
            scene.sandbox.clear_faults()
            scene.site.run_once()
            scene.check_end()
            if calls < number:
                break
