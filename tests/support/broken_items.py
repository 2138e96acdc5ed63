"""Wrong protocols for display sets and archive items: the enumeration has to catch them."""

from dataclasses import replace
from uuid import uuid4

from gcwatch.core import events
from gcwatch.targets import items
from gcwatch.targets.items import ItemTarget


def title_not_kept():
    """In doubt the item gets another title, under which nothing is found."""
    make = ItemTarget._make

    def forgetful(self, case, context):
        fresh = self if case.attempt is None else replace(self, body=_another_title(self.body))
        return make(fresh, case, context)

    ItemTarget._make = forgetful
    create_without_look()


def _another_title(body):
    return lambda target: body(replace(target, title=f"{target.title}-{uuid4().hex[:6]}"))


def create_without_look():
    """In doubt the item is made again, and nobody looks who has its title."""
    ItemTarget._find = lambda _self, _case, _context: None


def fill_before_effect():
    """The item is on record as filled before the call that fills it."""
    fill = ItemTarget._fill

    def hasty(self, case, context):
        case = yield events.ItemFilled()
        yield from fill(self, replace(case, submission=replace(case.submission)), context)

    ItemTarget._fill = hasty
    items.FILE_LIMIT_SECONDS = items.IMPORT_LIMIT = -1.0  # what never comes is given up at once


VARIANTS = {
    each.__name__: each for each in (title_not_kept, create_without_look, fill_before_effect)
}
