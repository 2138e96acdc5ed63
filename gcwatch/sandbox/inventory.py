"""A short list of all records, which a test compares with the client's own account."""

from typing import Any

from gcwatch.sandbox.api import permissions
from gcwatch.sandbox.model import ArchiveItem, Case, DisplaySet, Job, PlatformState, Value

Rows = list[dict[str, Any]]


def list_records(state: PlatformState) -> dict[str, Rows]:
    """Return all records by kind. The caller holds the lock."""
    return {
        "jobs": [_describe_job(each) for each in state.jobs.values()],
        "uploads": _describe_uploads(state),
        "sessions": _describe_sessions(state),
        "images": _describe_images(state),
        "display_sets": [_describe_display_set(each) for each in state.display_sets.values()],
        "items": [_describe_item(each) for each in state.items.values()],
    }


def _describe_uploads(state: PlatformState) -> Rows:
    return [
        {"pk": each.pk, "filename": each.filename, "status": each.status}
        | {"size": each.size, "owner": each.owner.username}
        for each in state.uploads.values()
    ]


def _describe_sessions(state: PlatformState) -> Rows:
    return [
        {"pk": each.pk, "status": each.status, "error_message": each.error_message}
        | {"images": [image.pk for image in each.images]}
        for each in state.sessions.values()
    ]


def _describe_images(state: PlatformState) -> Rows:
    held = {each.image.pk for each in permissions.all_values(state) if each.image}
    return [
        {"pk": each.pk, "name": each.name, "size": list(each.size)}
        | {"visible": each.pk in held, "sha256": each.sha256}
        for each in state.images.values()
    ]


def _describe_job(job: Job) -> dict[str, Any]:
    return {
        "pk": job.pk,
        "algorithm": job.algorithm.slug,
        "status": job.status,
        "creator": job.creator.username,
        "inputs": [_describe_value(each) for each in job.inputs],
        "outputs": [_describe_value(each) for each in job.outputs],
    }


def _describe_display_set(case: DisplaySet) -> dict[str, Any]:
    place = {"order": case.order, "answers": len(case.answers)}
    return {"reader_study": case.parent.slug, **_describe_case(case), **place}


def _describe_item(case: ArchiveItem) -> dict[str, Any]:
    return {"archive": case.parent.slug, **_describe_case(case)}


def _describe_case(case: Case) -> dict[str, Any]:
    values = sorted(case.values.values(), key=lambda each: each.socket.slug)
    return {
        "pk": case.pk,
        "title": case.title,
        "values": [_describe_value(each) for each in values],
    }


def _describe_value(value: Value) -> dict[str, Any]:
    """Describe a value; its files and voxels are given as SHA-256."""
    content, image = value.file or value.image, value.image
    return {
        "socket": value.socket.slug,
        "kind": value.socket.super_kind,
        "pk": value.pk,
        "value": value.value,
        "image": image.pk if image else None,
        "sha256": content.sha256 if content else None,
        "voxels": image.voxels if image else None,
        "instances": [each.file.sha256 for each in image.instances] if image else [],
    }
