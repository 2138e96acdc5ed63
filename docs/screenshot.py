"""docs/status.svg: what `gcwatch status` shows of a made-up morning, always the same.

The cases are folded from events and told by the program's own sentences and tables; only the
events, the names and the time are made up.
"""

import io
from datetime import UTC, datetime

from rich.console import Console

from gcwatch.commands.status import Overview
from gcwatch.core import events, folding
from gcwatch.core.case import Case, Input, Snapshot, Target, Upload
from gcwatch.core.events import Event
from gcwatch.core.reasons import Reason
from gcwatch.core.timing import Every, Pace
from gcwatch.journal.hosts.progress import DaemonProgress
from gcwatch.views.status_table import status_tables
from gcwatch.wording import case_view
from gcwatch.wording.why_waiting import DaemonSnapshot

NOW = datetime(2026, 9, 1, 9, 41, tzinfo=UTC).timestamp()
PACE = Pace(settle=30, poll=Every(60))
TARGET = Target("1", "https://grand-challenge.org/api/v1/algorithms/1/", "lobes", expected=240)
COLUMNS = 108

SENT = "lobes-5mzq8h3w"
STARTED = events.FolderSettled(), events.Planned((Input("ct", "image", "**"),), TARGET)
UPLOAD = Upload("ct", "2", "", "", "lobes-k2x6n8bd.zip", 99_000_000, 99_000_000, NOW, files=188)
JOB = "https://grand-challenge.org/algorithms/lobes/jobs/3/"
RUNNING = (
    *(*STARTED, events.UploadStarted(UPLOAD), events.UploadCompleted("2", "0f")),
    *(events.SubmissionAttempted(), events.Submitted("3", JOB), events.StillRunning("Executing")),
)
GAP = Reason("slices_missing", {"count": 1, "expected": 24, "where": "60.0 mm"})
REFUSED = events.Rejected(GAP), events.FailureReported()


def screenshot() -> str:
    """Return the picture as SVG."""
    cases = [
        _case("lobes-p4v7rt9c", "scan-0108", 12, _seen(96, changing=3)),
        _case(SENT, "scan-0107", 95, _seen(212), *STARTED),
        _case("lobes-k2x6n8bd", "scan-0106", 62, _seen(188), *RUNNING),
        _case("lobes-h9s3w7ye", "scan-0093", 3600, _seen(23), *REFUSED),
    ]
    progress = DaemonProgress(
        transfers={SENT: (74_100_000, 111_700_000)}, working=frozenset({SENT})
    )
    around = DaemonSnapshot(progress=progress)
    seen = Overview(
        at=NOW,
        daemon=812,
        counts={"settling": 1, "uploading": 1, "running": 1, "delivered": 104, "failed": 1},
        views=tuple(case_view.case_view(case, PACE, NOW, around) for case in cases),
    )
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), highlight=False, color_system="truecolor"
    )
    console.print("$ gcwatch status", style="bold")
    console.print(status_tables(seen))
    return console.export_svg(title="gcwatch status", unique_id="status")


def _case(key: str, folder: str, age: float, *happened: Event) -> Case:
    """Return a case whose folder was found so many seconds ago; the rest took a second each."""
    told = (events.FolderFound("lobes", folder), *happened)
    return folding.fold_events(
        key, ((NOW - age + second, each) for second, each in enumerate(told))
    )


def _seen(files: int, changing: int = 0) -> Event:
    return events.FolderChanged(Snapshot("a", files, files * 526_848, 0, changing=changing))


if __name__ == "__main__":
    print(screenshot(), end="")
