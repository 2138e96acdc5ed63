"""Uses the job that the platform calls a duplicate, instead of computing its results again.

The platform compares the jobs of all users, in every status (platform 7.6), and does not say which
job it found. So gcwatch looks for it among the jobs that this token may read.
"""

from typing import Final

from gcwatch.core import events
from gcwatch.core.case import Case
from gcwatch.core.checklist import StepEvents
from gcwatch.core.reasons import Reason
from gcwatch.outbox.result_time import day_of_results
from gcwatch.platform.models import Job, pk_of
from gcwatch.targets import locating, sending
from gcwatch.targets.context import TargetContext

_WITHOUT_RESULTS: Final = frozenset({"Failed", "Cancelled"})


def use_earlier_job(case: Case, context: TargetContext, *, in_doubt: bool) -> StepEvents:
    """Given a case whose job the platform refused as a duplicate, go on with the job that exists.

    `in_doubt`: an earlier call of this case may have created it. The case is rejected if that job
    failed (`duplicate`), or if this token can't see it (`duplicate_hidden`).
    """
    target = sending.target_of(case)
    if in_doubt and (own := locating.find_unknown_job(case, context)):
        yield locating.submitted_event(own.pk, target, context)
        return
    job = _find_same_job(case, context)
    url = sending.public_page(job.pk, target, context.platform) if job else ""
    if job is None:
        yield events.Rejected(Reason("duplicate_hidden", {"algorithm": target.slug}))
    elif job.status in _WITHOUT_RESULTS:
        facts = {"algorithm": target.slug, "status": job.status, "url": url}
        yield events.Rejected(Reason("duplicate", facts))
    else:
        day = day_of_results(job, context.platform)
        facts = {"algorithm": target.slug, "when": f" on {day}" if day else "", "url": url}
        yield events.WarningFound(Reason("earlier_job", facts))
        yield locating.submitted_event(job.pk, target, context)


def _find_same_job(case: Case, context: TargetContext) -> Job | None:
    """Return the newest job with exactly a case's inputs; None if this token sees none."""
    # A job of a former container image does not count as a duplicate, and no answer tells which
    # image is in use. The list begins with the oldest job, so the last one is most likely of it.
    inputs = case.inputs or ()
    image = next((pk_of(item.image) for item in inputs if item.image), "")
    found = None
    for job in context.platform.jobs(sending.target_of(case).pk, image):
        if len(job.inputs) == len(inputs) and locating.has_our_inputs(job, case, context):
            found = job
    return found
