"""The events of one case, from the folder that is found to the result that is delivered."""

from gcwatch.core import events
from gcwatch.core.case import Fetched, Input, Output, Snapshot, Target, Upload
from gcwatch.core.checklist import Step

SNAPSHOT = Snapshot("digest", 1, 10, 7)
IMAGE = Input("ct", "image", "**")
TARGET = Target("a", "https://x/a/", "lobes", expected=1000.0)
UPLOAD = Upload("ct", "u", "s3", "https://x/u/", "k.mha", 10, 16, 3.0)
OUTPUT = Output(1, "seg", "image", "images/seg", "https://x/i/")
FETCHED = Fetched(1, "images/seg/1.mha", 5, "ab")

PATH = (
    ("settling", Step.SURVEY, events.FolderFound("lobes", "p1")),
    ("settling", Step.SURVEY, events.FolderChanged(SNAPSHOT)),
    ("uploading", Step.UPLOAD, events.FolderSettled()),
    ("uploading", Step.UPLOAD, events.Planned((IMAGE,), TARGET)),
    ("uploading", Step.UPLOAD, events.UploadStarted(UPLOAD)),
    ("submitting", Step.SUBMIT, events.UploadCompleted("u", "ff")),
    ("submitting", Step.SUBMIT, events.SessionCreated("ct", "https://x/s/")),
    ("submitting", Step.SUBMIT, events.SubmissionAttempted()),
    ("running", Step.POLL, events.Submitted("j", "https://x/j/")),
    ("running", Step.POLL, events.StillRunning("Executing")),
    ("fetching", Step.FETCH, events.Succeeded((OUTPUT,))),
    ("delivering", Step.DELIVER, events.OutputFetched((FETCHED,))),
    ("delivered", None, events.Delivered("p1")),
)
"""The way of a case: where each event brings it, and what it needs then."""
