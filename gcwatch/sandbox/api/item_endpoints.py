"""Endpoints of display sets and archive items (platform 5, 6)."""

from random import Random
from typing import Any, TypeVar

from gcwatch.sandbox.api import item_rules, permissions
from gcwatch.sandbox.api.endpoints import Asked, Endpoint, chosen, one
from gcwatch.sandbox.api.item_rules import DISPLAY_SETS, ITEMS, Kind
from gcwatch.sandbox.api.requests import DENIED, data_of, page, signed_in
from gcwatch.sandbox.model import ArchiveItem, DisplaySet
from gcwatch.sandbox.server.reply import Reply, json_reply, refuse

C = TypeVar("C", DisplaySet, ArchiveItem)


def list_display_sets(asked: Asked) -> Reply:
    """The display sets of the studies that the user sees, in the studies' order."""
    rows = _cases(asked, DISPLAY_SETS)
    study = chosen(asked, "reader_study", asked.world.catalogue.reader_studies)
    if study:
        rows = [each for each in rows if each.parent is study]
    rows.sort(key=lambda each: each.place)
    return json_reply(200, page(asked.request, rows, asked.answers.display_set))


def list_items(asked: Asked) -> Reply:
    """The items of the archives that the user sees, in an order that changes now and then.

    On the platform rows move when they are rewritten, so that pages repeat and skip some; here
    they do at every second request, alike in every run (platform 1.16).
    """
    rows = _cases(asked, ITEMS)
    archive = chosen(asked, "archive", asked.world.catalogue.archives)
    if archive:
        rows = [each for each in rows if each.parent is archive]
    asked.world.listings += 1
    Random(asked.world.listings // 2).shuffle(rows)  # noqa: S311 - no secret
    return json_reply(200, page(asked.request, rows, asked.answers.item))


def _cases(asked: Asked, kind: Kind[C]) -> list[C]:
    rows = kind.records(asked.world).values()
    return [each for each in rows if permissions.sees(asked.world, asked.user, each.parent)]


def _showing(kind: Kind[Any]) -> Endpoint:
    """The endpoint that shows one case of a kind."""

    def endpoint(asked: Asked, pk: str) -> Reply:
        found = one(kind.model, pk, _cases(asked, kind), lambda each: each.pk)
        return json_reply(200, asked.answers.case(found))

    return endpoint


def _creating(kind: Kind[Any]) -> Endpoint:
    """The endpoint that makes a case of a kind, without values."""

    def endpoint(asked: Asked) -> Reply:
        data = data_of(asked.request)
        case = item_rules.create(asked.world, signed_in(asked.user), kind, data)
        return json_reply(201, asked.answers.changed_case(case))

    return endpoint


def _updating(kind: Kind[Any], *, whole: bool = False) -> Endpoint:
    """The endpoint that changes a case of a kind; whole is for PUT."""

    def endpoint(asked: Asked, pk: str) -> Reply:
        case = one(kind.model, pk, _cases(asked, kind), lambda each: each.pk)
        if not permissions.changes(asked.world, asked.user, case.parent):
            raise refuse(403, DENIED)
        data = data_of(asked.request)
        item_rules.update(asked.world, signed_in(asked.user), case, data, whole=whole)
        return json_reply(200, asked.answers.changed_case(case))

    return endpoint


def routes(kind: Kind[Any], listing: Endpoint) -> dict[str, dict[str, Endpoint]]:
    """The routes of a kind: its list and its cases."""
    one_case = {
        "GET": _showing(kind),
        "PUT": _updating(kind, whole=True),
        "PATCH": _updating(kind),
    }
    return {
        kind.path: {"GET": listing, "POST": _creating(kind)},
        f"{kind.path}<pk>/": one_case,
    }
