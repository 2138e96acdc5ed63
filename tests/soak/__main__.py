"""`make soak`: two thousand cases on ten routes, under a storm of faults, reloads and deaths.

The storm: calls fail in every way by chance; the daemon, a real process, is killed and stopped and
comes back; its config changes under it; uploads expire; the token is replaced. With `--hosts 3` as
many daemons share a PostgreSQL: they also freeze, are cut off from it, and it is killed. Then one
long life with faults and reloads but no deaths, in which memory and open files are measured each
time that nothing is left to do. Then calm: what failed is retried, as an operator would, and
everything is counted. The seed repeats all choices, though not how the machine's clock falls
between them.
"""

import argparse
import heapq
import itertools
import json
import random
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from . import verdict
from .changes import Changes
from .deaths import Deaths
from .hosts import Group
from .patients import AFTERTHOUGHT, GUEST, Ward
from .sharing import Sharing
from .site import command, put, working
from .storm import Storm

TICK = 0.1
MOST_OPEN = 60
STORMY = 0.6
"""The share of the cases, and of the time for them, that belongs to the storm."""
PERIODS = 6
"""How often, in the long life, everything is left to settle."""
PATIENCE = 10.0
"""Seconds after which the last cases of a period do not get all the faults that are left."""


def nothing():
    """Let this patient pass quietly."""


class NotDrainedError(Exception):
    """Cases were open at the end of all patience."""


class Soak:
    """One soak, in one folder."""

    def __init__(self, root, platform, folders, chance, minutes):
        self.root, self.platform, self.folders, self.chance = root, platform, folders, chance
        self.begun = time.monotonic()
        self.minutes = minutes
        self.ward = Ward(chance)
        self.storm = Storm(platform, chance)
        self.group = Group(folders.hosts)
        self.changes = Changes(folders, self.group, chance)
        self.patients, self.problems = [], []
        self.samples = {host.name: [] for host in folders.hosts}
        self.deaths = Deaths(
            platform, folders, self.group, self.changes, chance, self.after, self.problems
        )
        self.tokens = [platform.facts["token"]]
        self.for_certain = {}
        self.dropped = self.left = 0
        self._later, self._order = [], itertools.count()
        self._pause = threading.Event()
        self._told = 0.0

    # --- time ------------------------------------------------------------------------------------

    @property
    def passed(self):
        return time.monotonic() - self.begun

    def after(self, seconds, deed):
        """Do something later."""
        heapq.heappush(self._later, (self.passed + seconds, next(self._order), deed))

    def tick(self):
        """Let a moment pass; do what is due, and see to the daemons."""
        self._pause.wait(TICK)
        while self._later and self._later[0][0] <= self.passed:
            heapq.heappop(self._later)[2]()
        self.deaths.look()
        if self.passed > self.minutes * 120 + 600:
            raise NotDrainedError(f"{self.folders.open_cases()} cases are still open")
        self.tell()

    def wait(self, seconds):
        end = self.passed + seconds
        while self.passed < end:
            self.tick()

    # --- patients --------------------------------------------------------------------------------

    def drop(self, patient):
        """Let a patient arrive, at once or in pieces."""
        self.patients.append(patient)
        put(self.folders, patient, patient.pieces[0], first=True)
        at = 0.0
        for piece in patient.pieces[1:]:
            at += self.chance.uniform(0.1, 2.5)
            self.after(at, lambda piece=piece: put(self.folders, patient, piece, first=False))
        if patient.thought:
            thought = {AFTERTHOUGHT: b"one more thing"}
            self.after(patient.thought, lambda: put(self.folders, patient, thought, first=False))

    @property
    def expected(self):
        """How many cases the journal has to know."""
        return sum(each.line.cases for each in self.patients)

    def closed(self):
        return len(self.folders.rows("key", "open = 0"))

    def is_settled(self):
        """Whether everything has arrived, is known and is closed."""
        if self._later:
            return False
        known = self.folders.known()
        return not self.folders.open_cases() and all(
            known.get(each.name, 0) >= each.line.cases for each in self.patients
        )

    def work(self, patients, *, until, deeds):
        """Drop patients as fast as they are worked off, with deeds by chance at each.

        `deeds` are pairs: at how many of a thousand patients, and what is done. What a slow
        machine does not come to by then is given back.
        """
        waiting = list(patients)
        while waiting and self.passed < until:
            room = MOST_OPEN - (self.expected - self.closed())
            for _ in range(min(room, 4, len(waiting))):
                self.drop(waiting.pop(0))
                self.dropped += 1
                self.for_certain.pop(self.dropped, nothing)()
                for rate, deed in deeds:
                    if self.chance.random() < rate / 1000:
                        deed()
            self.tick()
        return waiting

    def settle(self):
        """Wait until nothing is left to do; faults that still wait for a call go, by and by."""
        self.changes.put_back()
        begun = self.passed
        while not self.is_settled():
            self.wait(0.5)
            if self.passed > begun + PATIENCE:
                self.storm.clear()
                begun = self.passed

    # --- what happens to the platform ------------------------------------------------------------

    def black_out(self):
        self.storm.black_out()
        self.after(self.chance.uniform(1, 5), self.storm.clear)

    def short_lived(self):
        """Presigned URLs go stale at once, for a while."""
        self.platform.tell("configure", presign_lifetime=0.2)
        self.after(2.0, lambda: self.platform.tell("configure", presign_lifetime=3600.0))

    def rotate(self):
        """Replace the token, here first or there first."""
        token = secrets.token_hex(32)
        self.tokens.append(token)
        deeds = [
            lambda: self.platform.tell("change_token", token=token),
            lambda: self.folders.give(token),
        ]
        self.chance.shuffle(deeds)
        deeds[0]()
        self.after(self.chance.uniform(0.5, 3), deeds[1])

    def visit(self):
        """A patient for the guest, if it is there."""
        if GUEST.name in self.folders.routes:
            self.drop(self.ward.patient(GUEST))

    # --- the whole -------------------------------------------------------------------------------

    def run(self, cases):
        """Go through all of it; what is wrong is in `problems`."""
        whole = self.minutes * 60
        faults = [
            (800, self.storm.strike),
            (10, self.storm.lose_replies),
            (20, self.storm.clear),
            (10, self.black_out),
            (10, self.short_lived),
            (50, self.changes.one),
            (30, self.visit),
        ]
        deaths = [(30, self.deaths.kill), (15, self.deaths.stop)]
        if self.deaths.is_shared:
            deaths += [
                (20, self.deaths.freeze),
                (20, self.deaths.cut_off),
                (10, self.deaths.cut),
                (10, self.deaths.crash),
            ]
        self.deaths.start()
        patients = list(self.ward.patients(cases))
        certain = [(0.1, self.deaths.kill), (0.2, self.deaths.stop)]
        certain += [(0.25, self.rotate), (0.75, self.rotate)]
        if self.deaths.is_shared:
            certain += [(0.15, self.deaths.freeze), (0.3, self.deaths.crash)]
            certain += [(0.35, self.deaths.cut_off)]
        self.for_certain = {int(share * len(patients)): deed for share, deed in certain}
        first = int(len(patients) * STORMY)
        left = self.work(patients[:first], until=STORMY * whole, deeds=[*faults, *deaths])
        left = self.long_life(left + patients[first:], faults)
        self.left = sum(each.line.cases for each in left)
        self.calm()

    def long_life(self, patients, faults):
        """One life without deaths; each period ends when nothing is left to do."""
        self.settle()
        self.deaths.stop_all()
        self.deaths.start()
        self.settle()
        size = -(-len(patients) // PERIODS)
        began, before, left = self.passed, self.closed(), []
        for period in range(1, PERIODS + 1):
            end = began + self.minutes * 60 * (1 - STORMY) * period / PERIODS
            left += self.work(patients[:size], until=end, deeds=faults)
            patients = patients[size:]
            self.settle()
            self.sample(self.closed() - before)
        return left

    def sample(self, cases):
        """What each daemon holds while nothing is to do: the least memory of some looks."""
        looks = []
        for _ in range(4):
            self.wait(1.0)
            looks.append([each.memory() for each in self.group])
        for each, *memory in zip(self.group, *looks, strict=True):
            self.samples[each.host.name].append(each.sample(cases, min(memory)))

    def calm(self):
        """No more faults; what failed is retried, what came too late is taken out again."""
        self.storm.clear()
        self.settle()
        some = self.chance.choice(self.folders.hosts)
        command(some, "retry", "--failed")
        self.settle()
        for name, samples in self.samples.items():
            self.problems += [f"{name}: {problem}" for problem in verdict.grown(samples)]
        self.deaths.stop_all()
        code, said = command(some, "mirror", "mirror")
        if code != 0:
            self.problems.append(f"gcwatch mirror ended with {code}: {said}")
        self.judge(some)

    def judge(self, host):
        """Count everything; ask one of the hosts."""
        self.problems += self.audit(host)
        count = verdict.Count(self.platform.tell("state"), self.platform.folder / "storage")
        self.problems += verdict.counted(count, self.patients)
        self.problems += verdict.published(self.folders, self.patients)
        self.problems += verdict.told(self.folders, self.platform, self.tokens)
        self.problems += verdict.recorded(host)
        self.problems += [f"a lease is held: {each}" for each in self.folders.journal.held()]
        self.problems += self.shared.problems()

    @property
    def shared(self):
        """How the hosts shared the work, by their logs."""
        return Sharing(self.folders.hosts, self.deaths.losses)

    def audit(self, host):
        """`gcwatch audit` is clean once the afterthoughts that came too late are gone."""
        _, said = command(host, "audit", "--json")
        late = {each.name: each for each in self.patients if each.thought}
        for each in json.loads(said)["findings"]:
            if "changed since it was sent" in each["detail"] and each["name"] in late:
                inbox = self.folders.inbox(late[each["name"]].line.name)
                (inbox / each["name"] / AFTERTHOUGHT).unlink()
        code, said = command(host, "audit")
        if code != 0:
            yield f"gcwatch audit ended with {code}:\n{said}"

    # --- words -----------------------------------------------------------------------------------

    def tell(self):
        """Say how it goes: in one line on a terminal, else now and then."""
        every = 0.5 if sys.stdout.isatty() else 30.0
        if self.passed < self._told + every:
            return
        self._told = self.passed
        line = (
            f"{self.passed:5.0f} s  {self.expected} cases, {self.closed()} closed; "
            f"{self.storm.faults} faults, {self.changes.reloads} reloads, "
            f"{self.done_to_hosts()}"
        )
        is_drawn = sys.stdout.isatty()
        print(f"\r\033[K{line}" if is_drawn else line, end="" if is_drawn else "\n", flush=True)

    def done_to_hosts(self):
        """How often daemons, hosts and their database went."""
        count, deaths = self.group.count, self.deaths
        told = f"{count('kills')} kills, {count('stops')} stops, {deaths.expiries} expiries"
        if deaths.is_shared:
            told += f", {count('freezes')} freezes, {deaths.cuts} cuts, {deaths.crashes} crashes"
        return told

    def summary(self):
        """What it came to, in a few lines."""
        if self.left:
            yield f"This machine was too slow for {self.left} further cases."
        slowest = max(each.slowest_stop for each in self.group)
        yield (
            f"{self.expected} cases in {self.passed / 60:.1f} minutes: {self.storm.faults} faults "
            f"set, {self.done_to_hosts()} (the slowest stop {slowest:.1f} s), "
            f"{self.changes.reloads} reloads, {len(self.tokens)} tokens."
        )
        yield from self.shared.told()
        for name, samples in self.samples.items():
            if samples:
                yield f"{name}, over {samples[-1].cases} cases of one life:"
                yield from verdict.measured(samples)


def _options():
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--cases", type=int, help="by default 2000 in 15 minutes")
    parser.add_argument("--hosts", type=int, default=1, help="more than one share a PostgreSQL")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--keep", action="store_true", help="leave the folder in any case")
    return parser.parse_args()


def main():
    """Soak, and exit with 0 only if nothing is wrong."""
    options = _options()
    # A soak that is ended takes its platform and its daemon along.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cases = options.cases or round(2000 * options.minutes / 15)
    root = Path(tempfile.mkdtemp(prefix="gcwatch-soak-"))
    print(
        f"{cases} cases in {options.minutes:g} minutes, seed {options.seed}, in {root}", flush=True
    )
    with working(root, options.hosts) as (platform, folders):
        soak = Soak(root, platform, folders, random.Random(options.seed), options.minutes)
        try:
            soak.run(cases)
        except NotDrainedError as error:
            soak.problems.append(str(error))
        finally:
            for each in soak.group:
                if each.is_alive:
                    each.kill()
    print(*soak.summary(), sep="\n")
    for problem in soak.problems:
        print(f"WRONG: {problem}")
    if soak.problems or options.keep:
        print(f"All files are in {root}; the seed was {options.seed}.")
    else:
        shutil.rmtree(root)
    sys.exit(1 if soak.problems else 0)


if __name__ == "__main__":
    main()
