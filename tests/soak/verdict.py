"""What must be true after a soak; each check yields what is wrong, in words.

The count at the platform is independent of gcwatch: it knows patients only by the numbers in the
bytes that the platform holds.
"""

import hashlib
import json
import re
import statistics
from collections import Counter
from dataclasses import dataclass
from itertools import combinations

from support.builders import check_history

import gcwatch

from .patients import (
    GUEST,
    HEADER,
    LINES,
    SURNAME,
    number_in_dicom,
    number_in_mha,
)

SIGNATURE = re.compile(rb"Signature=[0-9a-zA-Z%]|X-Amz-Credential")
WARMING = 2
"""Periods at the beginning of a life that do not count."""
POOLED = 8
"""So many files more are no leak: connections are kept, as many as were once used together."""


# --- exactly one of each -------------------------------------------------------------------------


class Count:
    """What the platform holds, by the numbers of the patients."""

    def __init__(self, state, storage):
        self._state = state
        self._files = {_sha256(path): path for path in storage.rglob("*") if path.is_file()}

    def of(self, line):
        """The numbers that a route's target holds: for each job or item the set in its sockets."""
        kind, slug = line.target
        kinds = {
            "algorithm": ("jobs", "inputs"),
            "reader_study": ("display_sets", "values"),
            "archive": ("items", "values"),
        }
        rows, values = kinds[kind]
        for row in self._state[rows]:
            if row[kind] == slug:
                yield row, {each["socket"]: self._number(each) for each in row[values]}

    def _number(self, value):
        """The number that one socket holds; -1 where there is none to be found."""
        if value["instances"]:
            contents = [self._files[sha256].read_bytes() for sha256 in value["instances"]]
            numbers = {number_in_dicom(content) for content in contents}
            return numbers.pop() if len(numbers) == 1 else -1
        if value["kind"] == "Image":
            return number_in_mha(self._files[value["sha256"]].read_bytes())
        if value["kind"] == "File":
            return json.loads(self._files[value["sha256"]].read_bytes())["case"]
        return int(value["value"] - 0.5)


def counted(count, patients):
    """Each patient that can be sent is there exactly once, whole, and nobody else is."""
    for line in (*LINES, GUEST):
        ours = [each for each in patients if each.line == line and not each.broken]
        wanted = Counter(number for each in ours for number in each.numbers)
        found = Counter()
        for row, sockets in count.of(line):
            numbers = set(sockets.values())
            if set(sockets) != set(line.places) or len(numbers) != 1:
                yield f"{line.name}: {row['pk']} holds {sockets}, not one patient in {line.places}"
            if row.get("status", "Succeeded") != "Succeeded":
                yield f"{line.name}: job {row['pk']} is {row['status']}"
            found.update(numbers)
        for number, times in (wanted - found).items():
            yield f"{line.name}: patient {number} is lost ({times} missing)"
        for number, times in (found - wanted).items():
            yield f"{line.name}: patient {number} is there {times} times too often"


def published(folders, patients):
    """Each patient has exactly one result, or its explanation, and nothing else stands there."""
    for line in (*LINES, GUEST):
        outbox = folders.outbox(line.name)
        if not outbox.exists():
            continue
        ours = [each for each in patients if each.line == line]
        wanted = Counter({each.name: each.line.cases for each in ours if not each.broken})
        wanted.update({f"{each.name}.failed.txt": 1 for each in ours if each.broken})
        found = Counter()
        for path in outbox.iterdir():
            if path.name.endswith(".changed.txt"):
                continue  # of an afterthought that came too late
            is_patient = path.is_dir() and not (path / "gcwatch.json").exists()
            found[path.name] += len(list(path.iterdir())) if is_patient else 1
        for name, times in (wanted - found).items():
            yield f"{line.name}: {times} of the results of {name} are not in the outbox"
        for name, times in (found - wanted).items():
            yield f"{line.name}: {name} stands in the outbox {times} times too often"


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def recorded(host):
    """Every case in the journal is what its events make of it."""
    with gcwatch.open(host.file) as watch:
        try:
            check_history(watch)
        except AssertionError as error:
            yield str(error)


# --- secrets -------------------------------------------------------------------------------------


def told(folders, platform, tokens):
    """No secret stands where it must not.

    Tokens and signatures nowhere; what stands in DICOM headers only in the inbox; folder names,
    which journal and receipts exist to map, in no log and not on the platform.
    """
    logs = [file for host in folders.hosts for file in (host.stderr, *host.logs)]
    states = [path for host in folders.hosts for path in host.state.rglob("*") if path.is_file()]
    journal = [*states, *folders.journal.files()]
    outboxes = [*(folders.root / "out").rglob("*"), *folders.mirror.rglob("*")]
    notes = [path for path in outboxes if path.suffix in {".json", ".txt"}]
    away = [path for path in (platform.folder / "storage").rglob("*") if path.is_file()]
    keys = [re.compile(re.escape(token.encode())) for token in tokens]
    header, surname = re.compile(HEADER.encode()), re.compile(SURNAME.encode())
    yield from _found("a token", keys, (*logs, *journal, *notes, *away))
    yield from _found("a signature", [SIGNATURE], (*logs, *journal, *notes))
    yield from _found("a name of a header", [header], (*logs, *journal, *notes, *away))
    yield from _found("a folder's name", [surname], (*logs, *away))
    state = json.dumps(platform.tell("state")).encode()
    yield from (
        f"the platform was told {each.pattern!r}"
        for each in (header, surname)
        if each.search(state)
    )


def _found(what, patterns, paths):
    for path in paths:
        content = path.read_bytes()
        for pattern in patterns:
            match = pattern.search(content)
            if match:
                near = content[max(0, match.start() - 200) : match.end() + 20]
                yield f"{what} stands in {path}: {near!r}"


# --- memory and open files -----------------------------------------------------------------------


@dataclass(frozen=True)
class Measure:
    """What a case may leave behind of something, and how much growth over all is no leak yet."""

    name: str
    unit: str
    leak: float
    noise: float


MEASURES = (
    Measure("blocks", "blocks", leak=30.0, noise=8000.0),
    Measure("held", "KiB", leak=4.0, noise=3072.0),
    Measure("memory", "KiB", leak=6.0, noise=6144.0),
)
"""A settled folder that is watched costs about 10 blocks and 1.5 KiB: it stands there.

The least that could be forgotten, a record or a reply of each case, is more than 30 blocks. One of
several hosts that had few cases still fills its caches of statements and connections. `held`
may fill SQLite's page cache (2 MiB) or double the table of interned names once (2 MiB more than
before); `memory` has both, and what allocators keep for later (2 MiB).
"""


def slope(points):
    """The median of the slopes between all pairs of points: one odd sample does not bend it."""
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if b[0] != a[0]]
    return statistics.median(slopes) if slopes else 0.0


def _rise(samples, what):
    return slope([(each.cases, getattr(each, what)) for each in samples])


def grown(samples):
    """Memory and open files did not grow with the cases of one life.

    Samples are taken while nothing is left to do, after the same work again and again. What is
    forgotten to be let go goes with the cases. The median of all slopes is asked, not first and
    last, and over all cases it has to come to more than noise. The first two periods do not count,
    as caches fill in them.
    """
    early = samples[: len(samples) // 2]
    samples = samples[WARMING:]
    if len(samples) < 3:
        yield f"only {len(samples)} settled periods count"
        return
    cases = samples[-1].cases - samples[0].cases
    for each in MEASURES:
        rise = _rise(samples, each.name)
        if rise > each.leak and rise * cases > each.noise:
            yield f"{each.name}: {rise:+.1f} {each.unit} a case is a leak"
    for what in ("files", "threads"):
        before, after = max(getattr(each, what) for each in early), getattr(samples[-1], what)
        if after > before + POOLED and _rise(samples, what) > 0:
            yield f"{after} {what} at the end of a life, {before} at its beginning"


def measured(samples):
    """What was measured in each period, a line for each measure."""
    for each in MEASURES:
        values = ", ".join(str(getattr(sample, each.name)) for sample in samples)
        rise = _rise(samples[WARMING:], each.name)
        yield f"  {each.name} ({each.unit}): {values}; {rise:+.1f} a case"
    for what in ("files", "threads"):
        yield f"  {what}: {', '.join(str(getattr(sample, what)) for sample in samples)}"
