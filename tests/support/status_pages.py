"""Made-up mornings for the status page: what it shows of them is looked at in tests."""

import base64
from datetime import UTC, datetime

from gcwatch.core.reasons import Reason
from gcwatch.core.text import iso_time
from gcwatch.demo.phantoms import make_chest, segment_lungs
from gcwatch.pictures.drawing import draw_plane
from gcwatch.pictures.drawings import Drawing, Picture
from gcwatch.pictures.plane import Plane
from gcwatch.wording import status_page
from gcwatch.wording.case_view import CaseView
from gcwatch.wording.status_facts import StatusFileFacts

NOW = datetime(2026, 9, 1, 7, 41, tzinfo=UTC).timestamp()
JOB = "https://grand-challenge.org/algorithms/lobes/jobs/{}/"
HOSTILE = (
    "<script>document.title = 'taken'</script>",
    "p\u202etxt.eod",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "line\nbreak",
    "mail-\\xff",
    "\u05d9\u05e2\u05e7\u05d1 \u05db\u05d4\u05df",
    "Zo\u00eb M\u00fcller",
)
"""Names of folders that a browser might take for something else."""


def view(folder, stage, *, minutes=0, **more):
    key = f"lobes-{abs(hash((folder, stage))) % 10**8:08d}" if "case" not in more else more["case"]
    facts = {"why": "", "since": iso_time(NOW - 60 * minutes), **more, "case": key}
    return CaseView(route="lobes", folder=folder, stage=stage, **facts)


def failed(folder, **more):
    return view(
        folder,
        "failed",
        why="Slices of the series are missing.",
        advice="Export the series again with all slices, and put them into the folder.",
        detail="1 of 24 slices is missing: at 60.0 mm.",
        hint="If the scanner skipped it on purpose, whoever is responsible for the analysis "
        "decides whether such series are sent (integrity).",
        reason="slices_missing",
        **more,
    )


def delivered(number, **more):
    return view(
        f"p{number}",
        "delivered",
        minutes=7 * number,
        case=f"lobes-d{number:07d}",
        link=JOB.format(number),
        why=f"The results are in the outbox as p{number}.",
        result=f"p{number}",
        **more,
    )


def picture(side, label, numbers, **more):
    """A small picture of slice 9 of 16 of a phantom, or an empty one."""
    data = draw_plane(Plane(32, 32, numbers[8 * 1024 : 9 * 1024]))
    place = {"number": 9, "count": 16, **more}
    drawing = Drawing(subject=0, data=base64.b64encode(data).decode(), **place)
    return Picture(side=side, label=label, drawing=drawing)


def pictures():
    """What was sent and what came back: as it should be, empty, and not drawn."""
    chest = make_chest(3)
    scan = picture("input", "ct-image", chest)
    empty = picture("result", "lungs", bytes(16 * 1024), is_empty=True)
    problem = Drawing(subject=0, problem="images of this format are not drawn here")
    return {
        "lobes-d0000001": (scan, picture("result", "lungs", segment_lungs(chest))),
        "lobes-d0000002": (scan, empty),
        "lobes-d0000003": (Picture(side="input", label="slide", drawing=problem), empty),
    }


def morning(count=12, **more):
    """Cases of every kind, as `count` were delivered since yesterday."""
    views = [
        failed("ct-2026-0830-\u00d8stby", minutes=95, case="lobes-5mzq8h3w"),
        view(
            "trial 7/series 3",
            "running",
            case="lobes-k2x6n8bd",
            minutes=60 * 26,
            why="The job does not end: it has been Executing for 26 hours. Next try in 1 h.",
            advice="Ask IT to look at it.",
            detail="Job 17 has had the status Executing for 26 hours.",
            hint="Look at the job on the platform; its owner can cancel it.",
            reason="job_stalled",
            link=JOB.format(17),
        ),
        view(
            "p-with-change",
            "delivered",
            case="lobes-w8d7c6b5",
            minutes=200,
            why="The results are in the outbox as p-with-change.",
            link=JOB.format(18),
            warnings=("To check: The folder changed after its results were delivered.",),
        ),
        view(
            "doe-jane",
            "settling",
            minutes=1,
            case="lobes-a1b2c3d4",
            why="Complete when nothing has changed for 30 s: 12 s to go (188 files, 99 MB).",
        ),
        view(
            "doe-john",
            "uploading",
            minutes=2,
            case="lobes-b2c3d4e5",
            why="Sending: 41 MB of 99 MB (41 %).",
        ),
        view(
            "roe-richard",
            "running",
            minutes=9,
            case="lobes-c3d4e5f6",
            link=JOB.format(19),
            why="The job has been running on the platform for 9 min (Executing); the average is "
            "4 min. Next check in 40 s.",
        ),
    ]
    latest = [delivered(n) for n in range(1, count + 1)]
    return StatusFileFacts(
        "lobes",
        views,
        {
            "failed": 1,
            "running": 2,
            "settling": 1,
            "uploading": 1,
            "delivered": count + 1,
            "withdrawn": 2,
        },
        unused=[Reason("archives", {"count": 1}, {"entries": "p2.zip"})],
        delivered=latest,
        links={each.case: f"./out/{each.folder}/" for each in latest}
        | {
            "lobes-w8d7c6b5": "./out/p-with-change/",
            "lobes-5mzq8h3w": "./out/ct-2026-0830-%C3%98stby.failed.txt",
        },
        pictures=pictures(),
        **more,
    )


def page(facts, now=NOW):
    return status_page.page_bytes(facts, now).decode()
