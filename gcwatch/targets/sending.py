"""What all submissions share: upload sessions, request bodies, refusals (platform 9, 10)."""

from collections.abc import Generator, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

from gcwatch.core import events
from gcwatch.core.case import Attempt, Case, Input, Submission, Target, Upload
from gcwatch.core.errors import NotYet, Refused, UploadsGone
from gcwatch.core.events import Event
from gcwatch.core.forecast import UNKNOWN, describe_image, is_as_foretold
from gcwatch.core.kinds import KIND_NAMES, Kind
from gcwatch.core.reasons import Reason
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.models import SocketValue, UploadSession
from gcwatch.targets.context import HOUR_SECONDS, TargetContext

UPLOAD_LIFETIME_SECONDS: Final = 20 * HOUR_SECONDS
"""Older uploads are made again before they are used."""
IMPORT_LIMIT_SECONDS: Final = 6 * HOUR_SECONDS
"""An import that takes longer is reported as stalled."""
_NO_SESSION_STATUSES: Final = frozenset({403, 404, 405})
"""Statuses of a platform that offers no upload sessions to this account."""


def target_of(case: Case) -> Target:
    """Return the target of a planned case."""
    assert case.target is not None, "a case is planned before it is submitted"
    return case.target


def submission_of(case: Case) -> Submission:
    """Return the job or item of a submitted case."""
    assert case.submission is not None, "a case is submitted before it is polled"
    return case.submission


def session_inputs(case: Case) -> list[Input]:
    """Return the inputs that the platform imports through an upload session."""
    return [each for each in case.inputs or () if each.carrier == "image" and each.is_uploaded]


def uploaded_inputs(case: Case) -> list[Input]:
    """Return the inputs that were uploaded."""
    return [each for each in case.inputs or () if each.is_uploaded]


def uploads_of(case: Case, socket: str) -> list[Upload]:
    """Return the uploads of a socket: several for a DICOM image set, else one."""
    return [upload for upload in case.uploads if upload.socket == socket]


def image_name(case: Case, item: Input) -> str:
    """Return the name of a DICOM image set: its files' names without their numbers."""
    return uploads_of(case, item.socket)[0].filename.rpartition("-")[0]


def uploads_are_old(case: Case, now: float) -> bool:
    """Whether the platform may soon delete a case's uploads (platform 4.14); `now` in seconds."""
    return any(now - upload.created > UPLOAD_LIFETIME_SECONDS for upload in case.uploads)


def create_sessions(case: Case, platform: GrandChallenge) -> Generator[Event, Case, Case]:
    """Create the upload session of each image that has none; one event for each."""
    for item in session_inputs(case):
        if item.socket not in case.sessions:
            case = yield events.SessionCreated(item.socket, _create_session(case, item, platform))
    return case


def _create_session(case: Case, item: Input, platform: GrandChallenge) -> str:
    """Create a socket's upload session; return its URL, "" if the platform offers no sessions."""
    try:
        [upload] = uploads_of(case, item.socket)
        return platform.create_session([upload.api_url]).api_url
    except Refused as error:
        if error.status in _NO_SESSION_STATUSES:
            return ""
        if error.says("post processing tasks"):
            raise NotYet(
                Reason("busy", {"seconds": 300, "message": refusal_text(error)}), 300
            ) from error
        if error.says("Object does not exist"):
            raise UploadsGone from error
        raise


def input_body(case: Case, item: Input) -> dict[str, Any]:
    """Given an input, return its entry in a request body, with one source (platform 3.8)."""
    entry: dict[str, Any] = {"interface": item.socket}
    if item.image:
        return {**entry, "image": item.image}
    if item.carrier == "value":
        return {**entry, "value": item.value}
    urls = [upload.api_url for upload in uploads_of(case, item.socket)]
    if item.carrier == "dicom":
        return {**entry, "user_uploads": urls, "image_name": image_name(case, item)}
    if item.carrier == "file":
        return {**entry, "user_upload": urls[0]}
    session = case.sessions[item.socket]
    return {**entry, "upload_session": session} if session else {**entry, "user_uploads": urls}


def refusal_text(error: Refused) -> str:
    """Given a refusal, return the platform's sentences, at most 500 characters for the log."""
    return "; ".join(error.messages)[:500]


def refused_reason(error: Refused) -> Reason:
    """Given a refusal that has no reason of its own, return the general one."""
    return Reason(
        "refused", {"call": error.call, "status": error.status, "message": refusal_text(error)}
    )


def no_rights_reason(kind: Kind, slug: str) -> Reason:
    """Return the reason if this token can see a target but may not send to it."""
    names = KIND_NAMES[kind]
    facts = {"what": names.noun, "slug": slug, "right": names.right, "role": names.role}
    return Reason("no_rights", facts)


def known_reason(what: str, pk: str) -> Reason:
    """Return the reason if the platform calls something new that belongs to a case already."""
    return Reason("other_object", {"what": f"a new {what}", "found": pk, "wanted": "a new one"})


def public_page(pk: str, target: Target, platform: GrandChallenge) -> str:
    """Given the pk of a job or item, return the URL of its page for people."""
    path = KIND_NAMES[target.kind].product_page.format(slug=target.slug, pk=pk)
    return f"{platform.site}/{path}"


def fetch_sessions(case: Case, platform: GrandChallenge) -> dict[str, UploadSession]:
    """Ask the platform for a case's upload sessions; return them by socket."""
    return {slot: platform.session(url) for slot, url in case.sessions.items() if url}


def import_failed_reason(session: UploadSession) -> Reason:
    """Given a failed session, return the reason with its message."""
    return Reason("import_failed", {"message": failed_import_text(session)})


def failed_import_text(session: UploadSession) -> str:
    """Given a failed session, return its message, and how many images it made if that is wrong."""
    made = len(session.image_set)
    if made <= 1:
        return session.error_message
    told = session.error_message.rstrip(". ")
    return f"{told}. The platform made {made} images of what was sent; gcwatch expected 1."


def uploads_exist(case: Case, item: Input, platform: GrandChallenge) -> bool:
    """Whether all of an input's uploads still exist; a used one does not (platform 4.15)."""
    return all(_upload_exists(upload, platform) for upload in uploads_of(case, item.socket))


def _upload_exists(upload: Upload, platform: GrandChallenge) -> bool:
    try:
        platform.upload(upload.pk)
    except Refused as error:
        if error.status == 404:
            return False
        raise
    return True


def find_session(case: Case, platform: GrandChallenge) -> events.SessionCreated | None:
    """Find a session that the platform created itself from our uploads (platform 9.7, 10.5).

    It can be recognised until the uploads are imported. Return None if there is none.
    """
    wanted = {
        upload.api_url: item.socket
        for item in session_inputs(case)
        if not case.sessions.get(item.socket)
        for upload in uploads_of(case, item.socket)
    }
    if not wanted:
        return None
    for session in platform.sessions():
        for url in session.uploads:
            if url in wanted:
                return events.SessionCreated(wanted[url], session.api_url)
    return None


def import_events(
    case: Case,
    states: Mapping[str, UploadSession],
    images: Mapping[str, str],
    context: TargetContext,
) -> Iterator[Event]:
    """Yield what is odd about a case's imports, given their sessions and images by socket.

    The last event rejects the case if the route does not allow what is odd.
    """
    for event in (*_leftover_events(states, context), *_image_events(case, images, context)):
        yield event
        if isinstance(event, events.Rejected):
            return


def _leftover_events(
    states: Mapping[str, UploadSession], context: TargetContext
) -> Iterator[Event]:
    """Yield a warning for each successful import with files that were not read (platform 13.8).

    If the route's `leftovers` is "fail", the case is rejected.
    """
    for socket, session in states.items():
        if session.status == "Succeeded" and session.error_message:
            facts = {"socket": socket, "message": session.error_message}
            reason = Reason("leftovers", facts)
            yield events.WarningFound(reason)
            if context.route.leftovers == "fail":
                yield events.Rejected(reason)


def _image_events(case: Case, images: Mapping[str, str], context: TargetContext) -> Iterator[Event]:
    """Yield a warning for each image, by socket, that is not the one of the forecast.

    If the route's `integrity` is "refuse", the case is rejected.
    """
    for item in session_inputs(case):
        forecast = uploads_of(case, item.socket)[0].forecast
        if forecast == UNKNOWN or item.socket not in images:
            continue
        reported = context.platform.image(images[item.socket]).reported
        if not is_as_foretold(forecast, reported):
            expected, found = describe_image(forecast), describe_image(reported)
            facts = {"socket": item.socket, "expected": expected, "found": found}
            reason = Reason("other_image", facts)
            yield events.WarningFound(reason)
            if context.route.integrity == "refuse":
                yield events.Rejected(reason)


def wait_out_doubt(attempt: Attempt, context: TargetContext) -> None:
    """Raise NotYet while the platform may still act on the attempt (platform 10.2)."""
    # By real seconds: a clock that is set forward must not end the doubt.
    left = context.doubt - attempt.age(context.clock(), context.uptime())
    if left > 0:
        raise NotYet(Reason("in_doubt", {"seconds": round(context.doubt)}), left)


def has_our_content(item: Input, held: SocketValue | None, case: Case) -> bool:
    """Whether a socket has the value, or the file by its unique name, that we sent."""
    if held is None:
        return False
    if item.carrier == "value":
        return is_same_json(held.value, item.value)
    name = PurePosixPath(urlsplit(held.file or "").path).name
    return name == uploads_of(case, item.socket)[0].filename


def is_same_json(one: Any, other: Any) -> bool:
    """Whether the platform takes two JSON values for the same: 1 equals 1.0, but not true."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same_json(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same_json, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
