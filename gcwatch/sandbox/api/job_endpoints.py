"""Endpoints of jobs (platform 7)."""

from gcwatch.sandbox.api.job_rules import create_job
from gcwatch.sandbox.api.requests import (
    RequestContext,
    find_all_filtered,
    find_by_pk,
    find_filtered,
    paginate,
    parse_body,
    require_user,
)
from gcwatch.sandbox.model import Job
from gcwatch.sandbox.server.reply import Reply, json_reply


def _own_jobs(context: RequestContext) -> list[Job]:
    return [each for each in context.state.jobs.values() if each.creator is context.user]


def list_jobs(context: RequestContext) -> Reply:
    """List the user's jobs, oldest first; unknown parameters are ignored."""
    rows = _own_jobs(context)
    algorithms = context.state.catalogue.algorithms
    algorithm = find_filtered(context, "algorithm_image__algorithm", algorithms)
    if algorithm:
        rows = [job for job in rows if job.algorithm is algorithm]
    for key in ("input_image", "output_image"):
        images = find_all_filtered(context, key, context.state.images)
        if images:
            rows = [job for job in rows if images & _image_pks_of_job(job, key)]
    return json_reply(200, paginate(context.request, rows, context.serializer.job))


def _image_pks_of_job(job: Job, key: str) -> set[str]:
    """Return the pks of a job's input or output images; *key* is the filter's name."""
    values = job.inputs if key == "input_image" else job.outputs
    return {each.image.pk for each in values if each.image}


def show_job(context: RequestContext, pk: str) -> Reply:
    """Show one job."""
    found = find_by_pk("Job", pk, _own_jobs(context), lambda each: each.pk)
    return json_reply(200, context.serializer.job(found))


def post_job(context: RequestContext) -> Reply:
    """Create a job."""
    job = create_job(context.state, require_user(context.user), parse_body(context.request))
    return json_reply(201, context.serializer.created_job(job))
