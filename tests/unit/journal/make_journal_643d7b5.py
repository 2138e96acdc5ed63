"""Makes journal-643d7b5.sqlite: every kind of event, as the journal of version 643d7b5 wrote it.

It runs with that version, not with the present one:

    git worktree add /tmp/old 643d7b5 && python3 -m venv /tmp/old/.venv
    /tmp/old/.venv/bin/pip install --editable /tmp/old
    /tmp/old/.venv/bin/python tests/unit/journal/make_journal_643d7b5.py
"""

import itertools
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from gcwatch.naming import Place
from gcwatch.reasons import Reason

from gcwatch import cases
from gcwatch.journal import FILE, Journal

MADE = Path(__file__).with_name("journal-643d7b5.sqlite")
API = "https://grand-challenge.org/api/v1"
KINDS = {"lobes": "algorithm", "readers": "reader_study", "cts": "archive"}
SEEN = cases.Snapshot("5d41402abc4b2a76", 3, 1_572_864, 1_763_000_000, 1_763_000_000, 1)
UPLOAD = cases.Upload(
    "ct-image",
    "u1",
    "s3-1",
    f"{API}/uploads/u1/",
    "k-1-01.mha",
    1_572_864,
    1 << 24,
    1_763_000_050.0,
)
INFO = replace(UPLOAD, socket="clinical-info", pk="u3", filename="k-1-03.json", size=11)
SLICE = cases.Upload(
    *("dicom-ct", "u2", "s3-2", f"{API}/uploads/u2/", "k-1-02-0001.dcm", 9, 9, 1_763_000_060.0),
    sha256="ab" * 32,
    completed=True,
    files=3,
    left_out=1,
)
OUTPUT = cases.Output(1, "lung-lobes", "image", "images/lung-lobes", f"{API}/cases/images/i2/")
SCORE = cases.Output(2, "score", "value", "score.json", value={"a": [1, None, "é"]})
FETCHED = (
    cases.Fetched(1, "images/lung-lobes/i2.mha", 5, "cd" * 32),
    cases.Fetched(2, "score.json", 11, "23" * 32),
)
UNREACHABLE = Reason("unreachable", {"call": "POST", "error": "refused"}, {"file": "m\udce9.dcm"})
BUSY = Reason("busy", {"seconds": 60, "message": "later"})
MISSING = Reason("slices_missing", {"count": 1, "expected": 24, "where": "z = 3 mm"})
NO_RIGHTS = Reason(
    "no_rights", {"what": "algorithm", "slug": "slug", "right": "run it", "role": "a user"}
)

SETTLED = (cases.Changed(SEEN), cases.Settled())


def planned(kind):
    """A target of a kind with an input of each carrier."""
    inputs = (
        cases.Input("ct-image", "image", "*.mha"),
        cases.Input("dicom-ct", "dicom", "**"),
        cases.Input("clinical-info", "file", "info.json"),
        cases.Input("threshold", "value", value=2.5),
        cases.Input("pet-image", "image", image=f"{API}/cases/images/i1/"),
    )
    where = {"algorithm": "algorithms", "reader_study": "reader-studies", "archive": "archives"}
    url = f"{API}/{where[kind]}/t1/"
    title = "" if kind == "algorithm" else "k"
    target = cases.Target("t1", url, "slug", 600.0, kind, title, 3)
    return cases.Planned(inputs, target, "the first of two interfaces")


def submitted(kind):
    """Everything that is sent, and what it became."""
    return (
        *SETTLED,
        planned(kind),
        cases.Warned(MISSING),
        cases.Begun(UPLOAD),
        cases.Uploaded("u1", "ef" * 32),
        cases.Begun(INFO),
        cases.Uploaded("u3", "01" * 32),
        cases.FilesUploaded((SLICE,)),
        cases.Prepared("ct-image", f"{API}/cases/upload-sessions/s1/"),
        cases.Attempted(4, ("i1",)),
        cases.Submitted(f"{kind}-1", f"{API}/{kind}/1/", filled=kind == "algorithm"),
        *(() if kind == "algorithm" else (cases.Filled(),)),
    )


def succeeded(kind):
    """The platform is done."""
    outputs = (OUTPUT, SCORE) if kind == "algorithm" else ()
    return (
        *submitted(kind),
        cases.StillRunning("Executing", stalled=True),
        cases.Succeeded(outputs, {"ct-image": f"{API}/cases/images/i9/"}),
    )


def histories(kind):
    """For each folder, what happened to it after it was found."""
    fetched = (cases.OutputFetched(FETCHED),) if kind == "algorithm" else ()
    delivered = (*succeeded(kind), *fetched)
    failed = (*SETTLED, cases.Rejected(NO_RIGHTS), cases.Reported())
    return {
        "settling": (cases.Changed(SEEN),),
        "uploading": (*SETTLED, planned(kind), cases.Begun(UPLOAD), cases.Resumed("u1")),
        "expired": (*submitted(kind)[:9], cases.UploadsExpired()),
        "waiting": (*SETTLED, cases.Faltered(UNREACHABLE), cases.Postponed(BUSY, 60.0)),
        "submitting": submitted(kind)[:10],
        "running": submitted(kind),
        "fetching": succeeded(kind),
        "delivering": delivered,
        "delivered": (
            *(*delivered, cases.Delivered("delivered")),
            *(cases.Touched(replace(SEEN, digest="other")), cases.Left(), cases.Returned()),
        ),
        "failed": failed,
        "retried": (*failed, cases.Retried()),
        "withdrawn": (*SETTLED, cases.Withdrawn()),
        "vanished": (*SETTLED, cases.Vanished()),
    }


def make(state):
    """Write the journal of a state directory; check that it holds every kind of event."""
    clock = itertools.count(1_763_000_100, 10)
    with closing(Journal(state, clock=lambda: float(next(clock)))) as journal:
        journal.rename({f"old-{name}": Place(Path("/in", name), name) for name in KINDS})
        for name, kind in KINDS.items():
            for folder, events in histories(kind).items():
                key = journal.open_case(f"old-{name}", folder).key
                for event in events:
                    journal.record(key, event)
        journal.rename({name: Place(Path("/in", name), name) for name in KINDS})
        recorded = {type(e.event) for case in journal.cases() for e in journal.history(case.key)}
    assert recorded == set(cases.Event.__args__), set(cases.Event.__args__) - recorded


def main():
    """Store the journal as one file."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        file = Path(folder, FILE)
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("VACUUM")
        MADE.write_bytes(file.read_bytes())


if __name__ == "__main__":
    main()
