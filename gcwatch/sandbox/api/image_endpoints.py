"""Endpoints of images (platform 8)."""

from collections.abc import Iterator

from gcwatch.sandbox.api import permissions
from gcwatch.sandbox.api.requests import (
    RequestContext,
    find_all_filtered,
    find_by_pk,
    find_filtered,
    paginate,
)
from gcwatch.sandbox.model import Image
from gcwatch.sandbox.server.reply import Reply, html_refusal, json_refusal, json_reply
from gcwatch.sandbox.storage import dicom_sets


def _visible_images(context: RequestContext) -> list[Image]:
    images = permissions.visible_images(context.state, context.user).values()
    return sorted(images, key=lambda each: each.name)


def list_images(context: RequestContext) -> Reply:
    """List the images that the user sees, by name."""
    rows = _visible_images(context)
    name = context.request.args.get("name")
    if name:
        rows = [each for each in rows if each.name == name]
    session = find_filtered(context, "origin", context.state.sessions.values())
    if session:
        rows = [each for each in rows if each.origin is session]
    for images in _filter_by_holder(context):
        rows = [each for each in rows if each.pk in images]
    return json_reply(200, paginate(context.request, rows, context.serializer.image))


def _filter_by_holder(context: RequestContext) -> Iterator[set[str]]:
    """Yield the images in each job, study or archive that a filter names."""
    state = context.state
    for key in ("job_input", "job_output"):
        if find_all_filtered(context, key, state.jobs):
            # The platform's filter names a field that its model does not have (platform 8.10).
            raise html_refusal(500)
    archive = find_filtered(context, "archive", state.catalogue.archives)
    study = find_filtered(context, "reader_study", state.catalogue.reader_studies)
    for owner in filter(None, (archive, study)):
        cases = [each for each in permissions.all_cases(state) if each.parent is owner]
        yield {value.image.pk for case in cases for value in case.values.values() if value.image}


def _find_image(context: RequestContext, pk: str) -> Image:
    return find_by_pk("Image", pk, _visible_images(context), lambda each: each.pk)


def show_image(context: RequestContext, pk: str) -> Reply:
    """Show one image, which must be a value in a job or case that the user sees."""
    return json_reply(200, context.serializer.image(_find_image(context, pk)))


def list_instances(context: RequestContext, pk: str) -> Reply:
    """List signed requests for the instances of a DICOM Image Set; 404 for other images."""
    found = _find_image(context, pk)
    if not found.instances:
        raise json_refusal(404, {"detail": "Not found."})
    return json_reply(
        200, dicom_sets.make_instance_requests(found, context.signer, context.state.now())
    )
