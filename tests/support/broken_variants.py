"""Deliberately broken variants of gcwatch: the proofs have to catch each of them."""

from dataclasses import replace
from uuid import uuid4

from gcwatch.core import events
from gcwatch.core.errors import UploadsGone
from gcwatch.core.receipt import RECEIPT_NAME
from gcwatch.daemon.hosts import held_leases
from gcwatch.daemon.hosts.held_leases import HeldLeases
from gcwatch.journal.databases.postgres_leases import SharedLeases
from gcwatch.journal.journal import Journal
from gcwatch.mirrors import folders
from gcwatch.mirrors.flat import FlatLayout
from gcwatch.mirrors.storage import HiddenFolder
from gcwatch.outbox import publish
from gcwatch.targets import algorithm, items
from gcwatch.targets.items import ItemTarget


def swap(owner, name, new):
    """Put something else in the place of what a module or class has by this name; return that.

    Raises:
        AttributeError: when it has nothing by that name, so that the variant would break nothing.
    """
    old = getattr(owner, name)
    setattr(owner, name, new)
    return old


# --- jobs ----------------------------------------------------------------------------------------


def post_without_look():
    """In doubt, everything is prepared anew and posted again, without a look at the platform."""

    def careless(case, context):
        if case.attempt is not None:
            raise UploadsGone
        yield from submit(case, context)

    submit = swap(algorithm, "_submit_job", careless)


def commit_before_effect():
    """The job is on record before it is asked for."""

    def hasty(case, context):
        promised = "00000000-0000-0000-0000-000000000000"
        case = yield events.Submitted(promised, "")
        yield from post(replace(case, submission=None), context)

    post = swap(algorithm, "_post_job", hasty)


# --- display sets and archive items --------------------------------------------------------------


def title_not_kept():
    """In doubt the item gets another title, under which nothing is found."""

    def forgetful(self, case, context):
        fresh = self if case.attempt is None else replace(self, body=_another_title(self.body))
        return make(fresh, case, context)

    make = swap(ItemTarget, "_make_item", forgetful)
    create_without_look()


def _another_title(body):
    return lambda target: body(replace(target, title=f"{target.title}-{uuid4().hex[:6]}"))


def create_without_look():
    """In doubt the item is made again, and nobody looks who has its title."""
    swap(ItemTarget, "_find_item", lambda _self, _case, _context: None)


def fill_before_effect():
    """The item is on record as filled before the call that fills it."""

    def hasty(self, case, context):
        case = yield events.ItemFilled()
        yield from fill(self, replace(case, submission=replace(case.submission)), context)

    fill = swap(ItemTarget, "_fill_item", hasty)
    for limit in ("FILE_LIMIT_SECONDS", "IMPORT_LIMIT_SECONDS"):
        swap(items, limit, -1.0)  # what never comes is given up at once


# --- mirrors -------------------------------------------------------------------------------------


def receipt_after_rename():
    """A mirror's item is seen before its receipt is in it."""
    receipts = {}

    def take_and_write(source, parent, folder):
        name = take(source, parent, folder)
        publish.write_receipt(parent / name / RECEIPT_NAME, receipts[source])
        return name

    swap(publish, "seal_folder", receipts.__setitem__)
    take = swap(folders, "take_free_name", take_and_write)


def leave_old_aside():
    """What a mirror set aside for an exchange is never looked at again."""
    swap(HiddenFolder, "finish_exchanges", lambda _self: None)


def names_after_images():
    """A flat mirror writes down an image's name only once the image has it."""

    def publish_late(self, receipt, arrivals, _held):
        for arrival in arrivals:
            self._hidden.exchange_entry(arrival.staged, arrival.name)
        publish.write_receipt(self._receipt_path(receipt.target.item), receipt.to_json())

    swap(FlatLayout, "_publish_images", publish_late)


# --- several hosts -------------------------------------------------------------------------------


def no_fencing():
    """A host records and writes by a lease that another host has by now."""
    swap(SharedLeases, "require", lambda _self, _connection, _lease: None)
    write_without_lease()


def write_without_lease():
    """A call that can't be repeated is made without a look at the lease."""
    swap(HeldLeases, "_require_write", lambda _self, _lease: None)
    swap(held_leases, "_require", lambda _lease: None)


def surveys_by_two():
    """What a host saw in an inbox is recorded, although another one surveys it by now."""
    opening = Journal.open_case

    def open_case(self, route, folder, *, even_if_same=False, lease=None):
        del lease
        return opening(self, route, folder, even_if_same=even_if_same)

    swap(Journal, "open_case", open_case)
    swap(held_leases, "_require", lambda _lease: None)


VARIANTS = {
    each.__name__: each
    for each in (
        *(post_without_look, commit_before_effect),
        *(title_not_kept, create_without_look, fill_before_effect),
        *(receipt_after_rename, leave_old_aside, names_after_images),
        *(no_fencing, write_without_lease, surveys_by_two),
    )
}
