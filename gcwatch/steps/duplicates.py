"""Whether the same content was sent before, from a folder with another name."""

import hashlib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from gcwatch.config import Route
from gcwatch.core import events
from gcwatch.core.case import Case, Input, Target
from gcwatch.core.errors import CannotSend, CaseError, NotYet
from gcwatch.core.events import Event
from gcwatch.core.reasons import Reason
from gcwatch.core.text import iso_time
from gcwatch.core.timing import Pace
from gcwatch.files.safe_open import Readable
from gcwatch.imaging.bundles.members import Bundle
from gcwatch.inbox.layouts import inbox_of
from gcwatch.platform.file_parts import part_size
from gcwatch.steps.context import StepContext

Bundles = Mapping[str, Sequence[Bundle]]
"""The bundles of each input that is uploaded, by socket."""


HashFile = Callable[[Readable, int], str]
"""Given a file and its size, returns its SHA-256 in hex."""


def is_compared_under_way(case: Case, bundles: Bundles, context: StepContext) -> bool:
    """Whether a planned case is compared while its first parts are sent, and not before.

    So is one file of several parts that only its bytes can tell: to read it takes time. But if
    another folder may have the same content, nothing is sent before that is known.
    """
    items = [item for item in case.inputs or () if item.is_uploaded]
    if case.content or len(items) != 1:
        return False
    first = bundles[items[0].socket][0]
    if first.content or first.size <= part_size(first.size):
        return False
    return bool(case.uploads) or not context.may_have_twin(case)


def require_new_content(
    case: Case,
    bundles: Bundles,
    route: Route,
    pace: Pace,
    context: StepContext,
    *,
    hash_file: HashFile,
) -> Generator[Event, Case, Case]:
    """Record what a planned case would send, and make sure that no other case sends the same.

    Call it before the last upload is complete: after that, the case may be submitted. A case that
    the operator asked for is not compared.

    Raises:
        CannotSend: (`same_images`) when the same was delivered.
        NotYet: (`same_images_under_way`) when the same is being sent.
    """
    if not case.content:
        assert case.inputs is not None, "only a planned case has bundles"
        assert case.target is not None, "only a planned case has bundles"
        receipt = inbox_of(route).read_receipt(case.folder)
        digest = content_digest(case.target, case.inputs, bundles, hash_file, receipt)
        # Recorded first: of two folders that are compared at the same time, one sees the other.
        case = yield events.ContentIdentified(digest)
    twin = None if case.even_if_same else context.twin(case)
    if twin is not None:
        raise twin_error(twin, pace.survey)
    return case


def twin_error(twin: Case, wait: float) -> CaseError:
    """Given the case that sends or sent the same content, return why another folder is held.

    If that case is still open, another try may be made after `wait` seconds.
    """
    facts, names = {"case": twin.key}, {"folder": twin.folder}
    if twin.is_open:
        return NotYet(Reason("same_images_under_way", facts, names), wait)
    date = iso_time(twin.touched)[:10]
    return CannotSend(Reason("same_images", {**facts, "date": date}, names))


def content_digest(
    target: Target,
    inputs: Sequence[Input],
    bundles: Bundles,
    hash_file: HashFile,
    receipt: Mapping[str, Any],
) -> str:
    """Given a plan and its bundles, return a SHA-256 over the content of what would be sent, where.

    The results of two cases are never the same, as the receipt in a result folder shows: two
    patients may have equal results, such as empty masks.

    DICOM images count by their SOPInstanceUIDs, since de-identified copies are never equal;
    everything else by its bytes, which *hash_file* reads.
    """
    content = {item.socket: _content(item, bundles, hash_file) for item in inputs}
    origin = [key] if isinstance(key := receipt.get("key"), str) else []
    told = json.dumps([target.api_url, content, *origin], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _content(item: Input, bundles: Bundles, hash_file: HashFile) -> object:
    if not item.is_uploaded:
        return item.image or item.value
    first = bundles[item.socket][0]
    return first.content or hash_file(first.written().file, first.size)
