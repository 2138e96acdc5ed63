"""Many cases, many days, anything in any order: the promises hold at every moment and at the end.

One life of the daemon is driven here step by step, on the sandbox's clock, so that a day takes no
time and a death can come before or after any commit; journal, files and calls are real.
"""

import json
import os
import re
import shutil
import tempfile
import threading
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.builders import (
    Site,
    check_history,
    check_nothing_half_done,
    check_results,
    mha,
    sha256,
    visible,
    voxels,
)
from support.contract import TARGETS, held
from support.databases import MovableClock

from gcwatch import config
from gcwatch.core import checklist
from gcwatch.core.case import Uptime
from gcwatch.core.errors import TokenRefused
from gcwatch.core.timing import Pace
from gcwatch.daemon.case_runner import CaseRunner, log_case_event
from gcwatch.daemon.current_config import CurrentConfig
from gcwatch.daemon.hosts.held_leases import HeldLeases
from gcwatch.daemon.upkeep import clear_spool, pack_closed_cases
from gcwatch.files.beneath import SharePath
from gcwatch.inbox import tree
from gcwatch.inbox.scanner import InboxScanner
from gcwatch.inbox.watcher import Watcher
from gcwatch.journal.hosts.ownership import this_owner
from gcwatch.journal.journal import Journal
from gcwatch.journal.route_identity import RouteIdentity
from gcwatch.sandbox import Sandbox

pytestmark = pytest.mark.timeout(1200)
"""Dozens of histories take a busy machine many minutes."""

DAY = 86_400.0
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
NAMES = st.sampled_from(["p1", "p2", "p3"])
MAKE = ("POST", "(algorithms/jobs|display-sets|archives/items)/$")
FILL = ("PATCH", "(display-sets|archives/items)/[^/]+/$")
TROUBLES = st.sampled_from(
    [
        ("cut_after", 0, MAKE),
        ("cut_before", 0, MAKE),
        ("status", 502, MAKE),
        ("status", 429, MAKE),
        ("cut_after", 0, FILL),
        ("cut_before", 0, FILL),
        ("status", 502, FILL),
        ("cut_after", 0, ("POST", "upload-sessions/$")),
        ("cut_after", 0, ("POST", r"/uploads/$")),
        ("cut_after", 0, ("PATCH", "complete-multipart-upload/$")),
        ("cut_before", 0, ("PATCH", "complete-multipart-upload/$")),
        ("cut_before", 0, ("PATCH", "presigned-urls/$")),
    ]
)
DEATHS = st.sampled_from([(commit, after) for commit in range(1, 15) for after in (False, True)])
QUOTAS = {
    "active_jobs": 16,
    "credits": 1_000_000,
    "max_uploads": 2000,
    "byte_quota": 1 << 37,
    "images_ready": True,
}


class Died(BaseException):
    """The daemon is no more: nothing after this line happened."""


class MortalJournal(Journal):
    """A journal whose process dies at its k-th commit: before it, or right *after* it."""

    def __init__(self, settings, clock, pace_of, *, deadly, after):
        host = this_owner(settings.state)
        super().__init__(settings.journal or settings.state, clock, pace_of, host)
        self.deadly, self.after = deadly, after

    def record(self, *args, **kwargs):
        """See `Journal`."""
        return self._die_or_live(super().record, *args, **kwargs)

    def record_unless_changed(self, *args):
        """See `Journal`."""
        return self._die_or_live(super().record_unless_changed, *args)

    def _die_or_live(self, record, *args, **kwargs):
        if self.deadly is not None:
            self.deadly -= 1
        if self.deadly == 0 and not self.after:
            raise Died
        result = record(*args, **kwargs)
        if self.deadly == 0:
            raise Died
        return result


class Life:
    """One life of the daemon: as far as it gets now, or until its k-th commit."""

    def __init__(self, site, clock, *, deadly=None, after=False):
        self.site, self.clock = site, clock
        self.deadly, self.after = deadly, after

    def live(self):
        current = CurrentConfig(config.load(self.site.file))
        state = current.settings.state
        with ExitStack() as stack:
            stack.callback(current.close)
            current.open_transfers(threading.Event())
            journal = MortalJournal(
                current.settings, self.clock, current.pace, deadly=self.deadly, after=self.after
            )
            stack.enter_context(closing(journal))
            # As a start does: of a shared journal, no route is scanned that is not on record.
            journal.rename_routes({"lobes": RouteIdentity(self.site.inbox, "target")})
            uptime = lambda: Uptime("boot", self.clock())  # noqa: E731 - a clock of one line
            runner = CaseRunner(journal, current, clock=self.clock, uptime=uptime)
            scanner = InboxScanner(
                journal,
                Watcher(lambda: None),
                uptime=uptime,
                look_again=lambda: None,
                record=runner.record,
                log_event=log_case_event,
                hold=HeldLeases(journal.leases, 0.0, frozenset).hold,
            )
            try:
                scanner.scan_inboxes(current.routes)
                while due := journal.due(["lobes"], self.clock(), limit=1):
                    runner.run(due[0].key)
                clear_spool(state / "spool", journal)
                pack_closed_cases(journal, self.clock(), lambda: False)
                scanner.scan_closed_cases(current.routes, lambda: True)
            except (Died, TokenRefused):
                return
        with self.site.watch(Pace(), self.clock) as watch:
            check_history(watch)


class Machine(RuleBasedStateMachine):
    """A site, a sandbox, and everybody who has to do with them; here for jobs."""

    target = TARGETS["algorithm"]
    route = {}  # noqa: RUF012 -- never changed

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="gcwatch-machine-", dir=MEMORY))
        self.sandbox = Sandbox(self.folder / "sandbox")
        self.sandbox.__enter__()
        self.site = Site(
            self.folder / "site",
            self.sandbox,
            journal=self.make_journal(),
            settle="10s",
            poll="60s",
            **self.target.plain,
            **self.route,
        )
        self.clock = self.sandbox.platform_state.now
        self.drops = 0
        self.contents = {}  # folder: every content that it ever had
        self.spoiled = set()
        self.taken = set()
        self.away = self.site.folder / "in.away"

    def teardown(self):
        try:
            self.drain()
        finally:
            self.sandbox.__exit__(None, None, None)
            shutil.rmtree(self.folder)

    def make_journal(self):
        """Return the address of its journal; without one, it is in the state directory."""

    def advance(self, seconds):
        """Let so much time pass for everybody."""
        self.sandbox.advance(seconds)

    # --- whoever drops folders -------------------------------------------------------------------

    def new_content(self, name):
        self.drops += 1
        content = mha(self.drops, 2, 3)
        self.contents.setdefault(name, []).append(content)
        return content

    def stands(self, name):
        return (self.site.inbox / name).is_dir()

    def is_mounted(self):
        return not self.away.exists()

    @initialize(name=NAMES)
    def begin(self, name):
        self.drop(name)

    @precondition(is_mounted)
    @rule(name=NAMES)
    def drop(self, name):
        if not self.stands(name):
            self.site.drop(name, {"image.mha": self.new_content(name)})

    def drop_if_mounted(self, name):
        if self.is_mounted():
            self.drop(name)

    @precondition(is_mounted)
    @rule(name=NAMES)
    def drop_damaged(self, name):
        if not self.stands(name):
            self.spoiled.add(name)
            self.site.drop(name, {"image.mha": b""})

    @precondition(is_mounted)
    @rule(name=NAMES)
    def grow(self, name):
        if self.stands(name):
            self.drops += 1
            (self.site.inbox / name / f"notes{self.drops}.txt").write_text("late")

    @precondition(is_mounted)
    @rule(name=NAMES)
    def touch(self, name):
        if self.stands(name):
            (self.site.inbox / name / "image.mha").write_bytes(self.new_content(name))

    @precondition(is_mounted)
    @rule(name=NAMES)
    def vanish(self, name):
        if self.stands(name):
            self.taken.add(name)
            shutil.rmtree(self.site.inbox / name)

    @precondition(is_mounted)
    @rule(leaves_mount_point=st.booleans())
    def unmount(self, leaves_mount_point):
        self.site.inbox.rename(self.away)
        if leaves_mount_point:
            self.site.inbox.mkdir()

    @precondition(lambda self: not self.is_mounted())
    @rule()
    def mount(self):
        if self.site.inbox.exists():
            shutil.rmtree(self.site.inbox)
        self.away.rename(self.site.inbox)

    # --- the platform and the network ------------------------------------------------------------

    @rule(limit=st.sampled_from(sorted(QUOTAS)))
    def exhaust(self, limit):
        self.sandbox.configure(**{limit: type(QUOTAS[limit])(0)})
        self.settle()
        self.sandbox.configure(**QUOTAS)

    @rule(trouble=TROUBLES, name=NAMES)
    def live_in_trouble(self, trouble, name):
        action, status, (method, path) = trouble
        self.drop_if_mounted(name)
        self.sandbox.fault(action, method=method, path=path, status=status)
        self.settle()

    @rule()
    def live_without_a_token(self):
        self.sandbox.configure(token_valid=False)
        self.settle()
        self.sandbox.configure(token_valid=True)

    @rule()
    def live_without_rights(self):
        self.sandbox.revoke(self.target.slug)
        self.settle()
        self.sandbox.restore(self.target.slug)

    @rule(seconds=st.sampled_from([0.0, 100.0]))
    def slow_down(self, seconds):
        self.sandbox.configure(import_seconds=seconds, job_seconds=seconds)

    # --- time, lives and deaths ------------------------------------------------------------------

    @rule(seconds=st.sampled_from([11.0, 61.0, 200.0, 4000.0, 1.1 * DAY]))
    def wait(self, seconds):
        self.advance(seconds)

    @rule()
    def live(self):
        Life(self.site, self.clock).live()

    def settle(self):
        """A look at the inbox, and a life once what is there has settled."""
        self.live()
        self.advance(11.0)
        self.live()

    @rule(name=NAMES, death=DEATHS)
    def die(self, name, death):
        self.drop_if_mounted(name)
        self.live()
        self.advance(11.0)
        Life(self.site, self.clock, deadly=death[0], after=death[1]).live()

    @rule(name=NAMES)
    def retry_failed(self, name):
        with self.site.watch(clock=self.clock) as watch:
            for case in watch.cases():
                if case.folder == name and case.ending == "failed":
                    watch.retry(case)

    # --- the promises ----------------------------------------------------------------------------

    @invariant()
    def no_case_became_two(self):
        with self.sandbox.platform_state.lock:
            names = [
                image.name
                for job in self.sandbox.platform_state.jobs.values()
                for source in job.sources
                for image in (source.session.images if source.session else ())
            ]
        keys = [re.fullmatch(r"(lobes-\w{8}-\d+)-01\.mha", name)[1] for name in names]
        assert len(keys) == len(set(keys)), f"two jobs for one case: {sorted(keys)}"

    @invariant()
    def nothing_half_done_is_visible(self):
        check_nothing_half_done(self.site.outbox)

    @invariant()
    def cases_end_as_promised(self):
        with self.site.watch(clock=self.clock) as watch:
            for case in watch.journal.cases():
                if case.ending == "withdrawn":
                    assert case.folder in self.taken, "withdrawn, though nobody took it away"
                if case.ending == "delivered":
                    self.check_delivered(case)
            for case in watch.cases():
                if case.ending == "failed":
                    assert f"gcwatch retry {case.key}" in self.site.note(case.folder)

    def check_delivered(self, case):
        folder = self.site.outbox / case.result
        receipt = json.loads((folder / "gcwatch.json").read_bytes())
        assert (receipt["key"], receipt["round"]) == (case.key, case.round)
        self.check_result(case, folder)

    def check_result(self, case, folder):
        check_results(self.sandbox, folder)
        (image,) = folder.glob("generic-medical-image/*.mha")
        sent = [voxels(content) for content in self.contents[case.folder]]
        assert voxels(image.read_bytes()) in sent, "delivered what nobody dropped"

    def may_fail(self, folder, _failure):
        return folder in self.spoiled

    def has_changed(self, case):
        """Whether the folder of a delivered case is not as it was sent."""
        now = tree.snapshot_folder(SharePath(self.site.inbox) / case.folder)
        return now.digest != case.seen.digest

    # --- at the end ------------------------------------------------------------------------------

    def drain(self):
        """With everything in order again, every folder that stands ends as it should."""
        if not self.is_mounted():
            self.mount()
        if not any(filter(visible, self.site.inbox.iterdir())):
            self.drop("p4")  # a bare inbox may be an unmounted one: nothing vanishes from it
        self.sandbox.configure(import_seconds=0.0, job_seconds=0.0, **QUOTAS)
        for _ in range(40):
            Life(self.site, self.clock).live()
            with self.site.watch(clock=self.clock) as watch:
                due = watch.journal.next_due(["lobes"])
            if due is None:
                break
            self.advance(max(due - self.clock(), 1.0))
        with self.site.watch(clock=self.clock) as watch:
            endings = {case.folder: (case.ending, case.failure) for case in watch.cases()}
            standing = {path.name for path in self.site.inbox.iterdir() if visible(path)}
            assert standing <= set(endings), "a folder was lost"
            for folder in standing:
                ending, failure = endings[folder]
                assert ending in {"delivered", "failed"}, f"{folder} is {ending}"
                if ending == "failed":
                    assert self.may_fail(folder, failure), f"{folder} failed: {failure}"
            noted = {path.name for path in self.site.outbox.glob("*.changed.txt")}
            for case in watch.cases():
                if case.ending == "delivered" and case.folder in standing:
                    is_told = f"{case.folder}.changed.txt" in noted
                    assert is_told == self.has_changed(case), f"{case.folder}: {noted}"
            unfinished = [case for case in watch.cases() if checklist.next_step(case) is not None]
            assert not unfinished, "a case has no end"
        self.no_case_became_two()
        self.nothing_half_done_is_visible()
        self.cases_end_as_promised()
        assert not [*(self.site.state / "spool").glob("*")], "something is left in the spool"
        assert all(visible(path) for path in self.site.outbox.iterdir()), "left in the outbox"


class Items(Machine):
    """The same for display sets and archive items: their titles, their content, their editors."""

    target = TARGETS["archive"]

    def __init__(self):
        super().__init__()
        self.first = {}  # case: the item that it became
        self.foreign = {}  # item of somebody else: what it holds
        self.answered = {}  # display set with answers: what it held then

    def rows(self):
        return {row["pk"]: row for row in self.target.made(self.sandbox)}

    def folder_of(self):
        """By pk of the item: the folder of the case that became it."""
        with self.site.watch(clock=self.clock) as watch:
            known = [case for case in watch.journal.cases() if case.submission]
        for case in known:
            first = self.first.setdefault(case.key, case.submission.pk)
            assert case.submission.pk == first, f"{case.key} became a second item"
        assert len({*self.first.values()}) == len(self.first), "two cases became one item"
        return {case.submission.pk: case.folder for case in known}

    @rule(name=NAMES)
    def somebody_else_adds(self, name):
        rows = self.rows().values()
        if name not in {row["title"] for row in rows}:
            self.foreign[self.add(name)] = {"threshold": 1.5}

    def add(self, title):
        return self.sandbox.add_item(self.target.slug, title, {"threshold": 1.5})

    @invariant()
    def no_case_became_two(self):
        rows, folders = self.rows(), self.folder_of()
        for pk, content in (self.foreign | self.answered).items():
            assert held(rows[pk]) == content, "what is not ours to change was changed"
        for pk, folder in folders.items():
            assert pk not in self.foreign, "somebody else's item was taken"
            assert self.holds_own(rows[pk], folder), f"{folder} holds what nobody dropped there"
        others = [row for pk, row in rows.items() if pk not in {*folders, *self.foreign}]
        assert all(not row["values"] for row in others), "an item that is on no record is filled"

    def holds_own(self, row, folder):
        wanted = {sha256(voxels(content)) for content in self.contents.get(folder, ())}
        return {*held(row).values()} <= wanted

    def check_result(self, case, folder):
        row = self.rows()[case.submission.pk]
        assert set(held(row)) == {"ct-image"}, "delivered, but not filled"
        assert [path.name for path in folder.iterdir()] == ["gcwatch.json"]


class DisplaySets(Items):
    """Display sets get answers, too."""

    target = TARGETS["reader_study"]

    def add(self, title):
        return self.sandbox.add_display_set(self.target.slug, title, {"threshold": 1.5})

    @rule(name=NAMES)
    def a_reader_answers(self, name):
        folders = self.folder_of()
        for pk, row in self.rows().items():
            if folders.get(pk) == name:
                self.sandbox.add_answer(pk)
                self.answered[pk] = held(row)
                self.spoiled.add(name)


class Titled(Items):
    """Titles that others may have: the folder's name and nothing else."""

    route = {"names": "keep", "title": "{folder}"}  # noqa: RUF012 -- never changed

    def may_fail(self, folder, failure):
        return super().may_fail(folder, failure) or failure.code == "title_taken"


class OnPostgres(Machine):
    """The same with a journal on PostgreSQL; the time there is the sandbox's, too."""

    databases = None

    def make_journal(self):
        self.database = self.databases.create()
        self.database_clock = MovableClock(self.databases, self.database)
        return self.databases.url(self.database)

    def advance(self, seconds):
        super().advance(seconds)
        self.database_clock.advance(seconds)

    def teardown(self):
        try:
            super().teardown()
        finally:
            self.database_clock.close()
            self.databases.drop(self.database)


class ItemsOnPostgres(OnPostgres, Items):
    """Archive items, the same."""


def explored(machine, examples):
    """A test case of a machine that lives through so many histories."""
    how = settings(
        max_examples=examples,
        stateful_step_count=20,
        phases=[Phase.generate],  # a failure is told in time; Phase.shrink takes minutes
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    return type("Explored", (machine.TestCase,), {"settings": how})


class TestJobs(explored(Machine, 13)):
    """Drop, grow, touch, vanish, wait, die, lose, exhaust, unmount: the promises hold."""


class TestArchiveItems(explored(Items, 5)):
    """The same for archive items: one a case, never with another's content."""


class TestDisplaySets(explored(DisplaySets, 5)):
    """The same for display sets; one with answers is never changed."""


class TestTitles(explored(Titled, 5)):
    """The same where others may have our titles: their items stay as they are."""


class _OnPostgres:
    @pytest.fixture(autouse=True)
    def _databases(self, postgres):
        OnPostgres.databases = postgres


class TestJobsOnPostgres(_OnPostgres, explored(OnPostgres, 2)):
    """Jobs, with a journal on PostgreSQL."""


@pytest.mark.prove
class TestManyJobsOnPostgres(_OnPostgres, explored(OnPostgres, 20)):
    """Jobs with a journal on PostgreSQL, for ten times as many histories."""


@pytest.mark.prove
class TestManyArchiveItemsOnPostgres(_OnPostgres, explored(ItemsOnPostgres, 20)):
    """Archive items with a journal on PostgreSQL."""


@pytest.mark.prove
class TestManyJobs(explored(Machine, 150)):
    """Jobs, for many times as many histories."""


@pytest.mark.prove
class TestManyArchiveItems(explored(Items, 50)):
    """Archive items, for ten times as many histories."""


@pytest.mark.prove
class TestManyDisplaySets(explored(DisplaySets, 50)):
    """Display sets, for ten times as many histories."""


@pytest.mark.prove
class TestManyTitles(explored(Titled, 50)):
    """Titles that others may have, for ten times as many histories."""
