"""What must be true after a soak; each check yields what is wrong, in words.

The count at the platform is independent of gcwatch: it knows patients only by the numbers in the
bytes that the platform holds.
"""

import hashlib
import json
import re
import statistics
from collections import Counter
from itertools import combinations

from .patients import (
    GUEST,
    HEADER,
    LINES,
    SURNAME,
    number_in_dicom,
    number_in_mha,
)

SIGNATURE = re.compile(rb"Signature=[0-9a-zA-Z%]|X-Amz-Credential")
LEAK_KIB = 6.0
"""KiB of memory that a case may leave behind; see `grown`."""

NOISE_KIB = 4096.0
"""KiB of growth over all cases that are no leak yet."""

WARMING = 2
"""Periods at the beginning of a life that do not count."""


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
            is_patient = path.is_dir() and not (path / "gcwatch.json").exists()
            found[path.name] += len(list(path.iterdir())) if is_patient else 1
        for name, times in (wanted - found).items():
            yield f"{line.name}: {times} of the results of {name} are not in the outbox"
        for name, times in (found - wanted).items():
            yield f"{line.name}: {name} stands in the outbox {times} times too often"


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- secrets -------------------------------------------------------------------------------------


def told(folders, platform, tokens):
    """No secret stands where it must not.

    Tokens and signatures nowhere; what stands in DICOM headers only in the inbox; folder names,
    which journal and receipts exist to map, in no log and not on the platform.
    """
    logs = [folders.root / "stderr.jsonl", *folders.root.glob("log.jsonl*")]
    journal = [path for path in folders.state.rglob("*") if path.is_file()]
    outboxes = [*(folders.root / "out").rglob("*"), *folders.mirror.rglob("*")]
    papers = [path for path in outboxes if path.suffix in {".json", ".txt"}]
    away = [path for path in (platform.folder / "storage").rglob("*") if path.is_file()]
    keys = [re.compile(re.escape(token.encode())) for token in tokens]
    header, surname = re.compile(HEADER.encode()), re.compile(SURNAME.encode())
    yield from _found("a token", keys, (*logs, *journal, *papers, *away))
    yield from _found("a signature", [SIGNATURE], (*logs, *journal, *papers))
    yield from _found("a name of a header", [header], (*logs, *journal, *papers, *away))
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


def slope(points):
    """The median of the slopes between all pairs of points: one odd sample does not bend it."""
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if b[0] != a[0]]
    return statistics.median(slopes) if slopes else 0.0


def grown(samples):
    """Memory and open files did not grow with the cases of one life.

    Samples are taken while nothing is left to do, after the same work again and again. What is
    forgotten to be let go goes with the cases: a reply, a record or a connection kept for each is
    more than `LEAK_KIB`. The median of all slopes is asked, not first and last, and over all cases
    it has to come to more than `NOISE_KIB`: what the allocator keeps jumps up and down by a MiB or
    two. The first two periods do not count, as caches fill in them. So a soak of 2000 cases, half a
    thousand of them in what counts, sees a leak of 8 KiB a case; a short one only coarser ones.
    """
    early = samples[: len(samples) // 2]
    samples = samples[WARMING:]
    if len(samples) < 3:
        yield f"only {len(samples)} settled periods count"
        return
    memory = slope([(each.cases, each.pss) for each in samples])
    if memory > LEAK_KIB and memory * (samples[-1].cases - samples[0].cases) > NOISE_KIB:
        yield f"memory grows by {memory:.1f} KiB a case: {[each.pss for each in samples]} KiB"
    for what in ("files", "threads"):
        before, after = max(getattr(each, what) for each in early), getattr(samples[-1], what)
        steady = slope([(each.cases, getattr(each, what)) for each in samples]) <= 0
        if after > before + 4 and not steady:
            yield f"{after} {what} at the end of a life, {before} at its beginning"
