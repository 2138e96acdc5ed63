"""Endpoints of display sets and archive items (platform 5, 6)."""

from random import Random
from typing import Any, TypeVar

from gcwatch.sandbox.api import item_rules, permissions
from gcwatch.sandbox.api.item_rules import DISPLAY_SETS, ITEMS, CaseKind
from gcwatch.sandbox.api.requests import (
    PERMISSION_DENIED,
    Endpoint,
    RequestContext,
    find_by_pk,
    find_filtered,
    paginate,
    parse_body,
    require_user,
)
from gcwatch.sandbox.model import ArchiveItem, DisplaySet
from gcwatch.sandbox.server.reply import Reply, json_refusal, json_reply

C = TypeVar("C", DisplaySet, ArchiveItem)


def list_display_sets(context: RequestContext) -> Reply:
    """List the display sets of the studies that the user sees, in the studies' order."""
    rows = _visible_cases(context, DISPLAY_SETS)
    study = find_filtered(context, "reader_study", context.state.catalogue.reader_studies)
    if study:
        rows = [each for each in rows if each.parent is study]
    rows.sort(key=lambda each: each.sort_key)
    return json_reply(200, paginate(context.request, rows, context.serializer.display_set))


def list_items(context: RequestContext) -> Reply:
    """List the items of the archives that the user sees, in an order that changes.

    On the platform an item that is written moves in the list, so that pages may repeat or skip
    items. Here the order changes at every second request, the same in every run (platform 1.16).
    """
    rows = _visible_cases(context, ITEMS)
    archive = find_filtered(context, "archive", context.state.catalogue.archives)
    if archive:
        rows = [each for each in rows if each.parent is archive]
    context.state.item_listings += 1
    Random(context.state.item_listings // 2).shuffle(rows)  # noqa: S311 - no secret
    return json_reply(200, paginate(context.request, rows, context.serializer.item))


def _visible_cases(context: RequestContext, kind: CaseKind[C]) -> list[C]:
    rows = kind.records(context.state).values()
    return [each for each in rows if permissions.can_view(context.state, context.user, each.parent)]


def _make_show_endpoint(kind: CaseKind[Any]) -> Endpoint:
    """Make the endpoint that shows one case of a kind."""

    def endpoint(context: RequestContext, pk: str) -> Reply:
        found = find_by_pk(kind.model, pk, _visible_cases(context, kind), lambda each: each.pk)
        return json_reply(200, context.serializer.case(found))

    return endpoint


def _make_create_endpoint(kind: CaseKind[Any]) -> Endpoint:
    """Make the endpoint that creates a case of a kind, without values."""

    def endpoint(context: RequestContext) -> Reply:
        data = parse_body(context.request)
        case = item_rules.create_case(context.state, require_user(context.user), kind, data)
        return json_reply(201, context.serializer.changed_case(case))

    return endpoint


def _make_update_endpoint(kind: CaseKind[Any], *, whole: bool = False) -> Endpoint:
    """Make the endpoint that changes a case of a kind; *whole* is for PUT."""

    def endpoint(context: RequestContext, pk: str) -> Reply:
        case = find_by_pk(kind.model, pk, _visible_cases(context, kind), lambda each: each.pk)
        if not permissions.can_change(context.state, context.user, case.parent):
            raise json_refusal(403, PERMISSION_DENIED)
        data = parse_body(context.request)
        item_rules.update_case(context.state, require_user(context.user), case, data, whole=whole)
        return json_reply(200, context.serializer.changed_case(case))

    return endpoint


def make_case_routes(kind: CaseKind[Any], listing: Endpoint) -> dict[str, dict[str, Endpoint]]:
    """Make the routes of a kind: its list and its cases."""
    one_case = {
        "GET": _make_show_endpoint(kind),
        "PUT": _make_update_endpoint(kind, whole=True),
        "PATCH": _make_update_endpoint(kind),
    }
    return {
        kind.path: {"GET": listing, "POST": _make_create_endpoint(kind)},
        f"{kind.path}<pk>/": one_case,
    }
