"""Endpoints of algorithms, reader studies, archives and sockets (platform 1, 2, 3)."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from gcwatch.sandbox.api import permissions
from gcwatch.sandbox.api.requests import (
    Endpoint,
    RequestContext,
    find_by_pk,
    paginate,
    require_user,
)
from gcwatch.sandbox.api.serializers import Serializer
from gcwatch.sandbox.api.study_serializer import Json
from gcwatch.sandbox.content.catalogue import Algorithm, Archive, Catalogue, ReaderStudy, Socket
from gcwatch.sandbox.server.reply import Reply, json_refusal, json_reply


def show_version(context: RequestContext) -> Reply:
    """Show the versions of gcapi that the platform supports (platform 1.5)."""
    settings = context.state.settings
    return json_reply(
        200,
        {
            "latest_version": settings.latest_version,
            "lowest_supported_version": settings.lowest_version,
        },
    )


def show_profile(context: RequestContext) -> Reply:
    """Show the user whose token was sent (platform 1.4)."""
    return json_reply(200, context.serializer.profile(context.user))


def list_nothing(context: RequestContext) -> Reply:
    """Answer with an empty list, for kinds of records that the sandbox does not have."""
    return json_reply(200, paginate(context.request, [], str))


R = TypeVar("R", Algorithm, ReaderStudy, Archive)


def filter_visible(context: RequestContext, resources: Iterable[R]) -> list[R]:
    """Return those of the resources that the user may see."""
    return [each for each in resources if permissions.can_view(context.state, context.user, each)]


def make_resource_routes(
    path: str,
    model: str,
    rows: Callable[[Catalogue], Iterable[R]],
    serialize: Callable[[Serializer, R], Json],
) -> dict[str, dict[str, Endpoint]]:
    """Make the two routes of a kind of resource: the list of those that the user sees, and each."""

    def list_resources(context: RequestContext) -> Reply:
        slug = context.request.args.get("slug")
        found = filter_visible(context, rows(context.state.catalogue))
        chosen = [each for each in found if slug in {None, "", each.slug}]
        return json_reply(
            200, paginate(context.request, chosen, partial(serialize, context.serializer))
        )

    def show_resource(context: RequestContext, pk: str) -> Reply:
        found = find_by_pk(
            model, pk, filter_visible(context, rows(context.state.catalogue)), lambda each: each.pk
        )
        return json_reply(200, serialize(context.serializer, found))

    return {path: {"GET": list_resources}, f"{path}<pk>/": {"GET": show_resource}}


def list_algorithm_images(context: RequestContext) -> Reply:
    """List the container images of the algorithms that the user may run.

    The platform shows them to an algorithm's editors only; the sandbox has no such role.
    """
    wanted = context.request.args.get("algorithm")
    rows = [
        each
        for each in filter_visible(context, context.state.catalogue.algorithms)
        if permissions.can_execute(context.state, context.user, each)
        and wanted in {None, "", each.pk}
    ]
    return json_reply(200, paginate(context.request, rows, context.serializer.algorithm_image))


def show_algorithm_image(context: RequestContext, pk: str) -> Reply:
    """Show one container image."""
    algorithms = filter_visible(context, context.state.catalogue.algorithms)
    found = find_by_pk("AlgorithmImage", pk, algorithms, lambda each: each.image_pk)
    return json_reply(200, context.serializer.algorithm_image(found))


def _list_all_sockets(context: RequestContext) -> list[Socket]:
    require_user(context.user)
    return sorted(context.state.catalogue.sockets, key=lambda each: each.pk)


def list_sockets(context: RequestContext) -> Reply:
    """List all sockets; an anonymous user gets 401 (platform 1.3)."""
    slug = context.request.args.get("slug")
    rows = [each for each in _list_all_sockets(context) if slug in {None, "", each.slug}]
    return json_reply(200, paginate(context.request, rows, context.serializer.socket))


def show_socket(context: RequestContext, pk: str) -> Reply:
    """Show one socket, by its number."""
    for socket in _list_all_sockets(context):
        if str(socket.pk) == pk:
            return json_reply(200, context.serializer.socket(socket))
    raise json_refusal(404, {"detail": "No ComponentInterface matches the given query."})
