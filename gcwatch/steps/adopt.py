"""Before anything is sent: whether the outbox already holds what a folder became.

That is so if the journal was lost, or restored from a backup that is older than the outbox. To send
the folder again would make a second job, display set or archive item for one patient.
"""

import re
from collections.abc import Callable

from gcwatch.config import Route
from gcwatch.core import events
from gcwatch.core.case import Case
from gcwatch.core.receipt import is_receipt_of, product_pk, receipt_key, target_of_receipt
from gcwatch.inbox.single import SingleCaseRoute
from gcwatch.outbox.publish import find_receipts
from gcwatch.platform.client import GrandChallenge
from gcwatch.targets import sending

_PK = re.compile(r"[0-9a-f-]{36}")


def find_earlier_result(
    case: Case, route: Route, platform: GrandChallenge, knows: Callable[[str], bool]
) -> events.Adopted | None:
    """Given a case that is not planned yet, return the event that adopts its earlier result.

    A result that belongs to another case of this journal is none: `gcwatch retry` sends a folder
    again on purpose. Nor is there one for `gcwatch send`: it remembers itself what it has sent, and
    other values or options make another case of the same folder. `knows` tells whether a job or
    item (its pk) belongs to a case of the journal. Raise TryAgain (`disk`) if the outbox can't be
    read.
    """
    if isinstance(route, SingleCaseRoute):
        return None
    for name, receipt in find_receipts(route.outbox, case.folder):
        pk = product_pk(receipt)
        if (
            is_receipt_of(receipt, case, route.kind, route.target)
            and _PK.fullmatch(pk)  # who may write to the outbox may have changed it
            and not knows(pk)
        ):
            target = target_of_receipt(receipt, route.kind)
            url = sending.public_page(pk, target, platform)
            has_command = bool(route.on_delivered)
            return events.Adopted(name, receipt_key(receipt), target, pk, url, has_command)
    return None
