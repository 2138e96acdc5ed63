"""The target `algorithm`: a case becomes exactly one job (contract sections 7, 9 and 10.4).

Where an input is an image, the upload session made before the job is a one-time token: the
platform accepts it once, and its status tells whether a lost reply had an effect. Without images
there is no token; then the jobs of the algorithm are searched for ours before asking again.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

from gcwatch import bundle, cases, content, fetching
from gcwatch.cases import Case, Event, Input, Target
from gcwatch.config import Constant, Glob, JsonFile, Route, Source
from gcwatch.errors import CannotSend, NotYet, Refused, Unreachable, UploadsGone
from gcwatch.grandchallenge import (
    Algorithm,
    GrandChallenge,
    Interface,
    Job,
    Socket,
    SocketValue,
    UploadSession,
)
from gcwatch.inbox import SourceFile
from gcwatch.reasons import Reason
from gcwatch.steps import Work

HOUR: Final = 3600.0
MOST_JOBS: Final = 16
HELD_SECONDS: Final = 30.0
IMPORT_LIMIT: Final = 6 * HOUR
JOB_LIMIT: Final = 54 * HOUR
UPLOAD_LIFETIME: Final = 20 * HOUR
DICOM_IMAGE_SET: Final = "DICOM Image Set"
_CARRIERS: Final[Mapping[str, cases.Carrier]] = {"Image": "image", "File": "file", "Value": "value"}
_NO_SESSIONS: Final = frozenset({403, 404, 405})


@dataclass(frozen=True)
class Context:
    """What a target works with.

    `knows_job` tells whether a job is some case's already, `active` how many jobs are running;
    `doubt` is for how many seconds the platform may still act on a call whose reply was lost.
    """

    platform: GrandChallenge
    route: Route
    clock: Callable[[], float]
    knows_job: Callable[[str], bool]
    active: Callable[[], int]
    doubt: float


# --- planning: sockets to files ------------------------------------------------------------------


def look_up(platform: GrandChallenge, slug: str) -> Algorithm:
    """Given a slug, return the algorithm; raise NotYet if this token can't see it."""
    algorithm = platform.algorithm(slug)
    if algorithm is None:
        raise NotYet(Reason("not_found", {"what": "Algorithm", "slug": slug}), HOUR)
    return algorithm


def choose_interface(algorithm: Algorithm, route: Route) -> Interface:
    """Given an algorithm, return the interface that takes exactly the route's sockets.

    Without `inputs` the route means the interface that takes one image and nothing else.

    Raises:
        CannotSend: when there is none.
    """
    wanted = set(route.inputs) if route.inputs else None
    for interface in algorithm.interfaces:
        slugs = {socket.slug for socket in interface.inputs}
        if slugs == wanted or (wanted is None and _is_one_image(interface)):
            return interface
    takes = " or ".join(
        "{" + ", ".join(sorted(socket.slug for socket in interface.inputs)) + "}"
        for interface in algorithm.interfaces
    )
    sockets = ", ".join(sorted(wanted)) if wanted else "one image"
    facts = {"algorithm": algorithm.slug, "sockets": sockets, "takes": takes}
    raise CannotSend(Reason("mismatched_inputs", facts))


def _is_one_image(interface: Interface) -> bool:
    return [socket.super_kind for socket in interface.inputs] == ["Image"]


def plan(context: Context, files: Sequence[SourceFile]) -> cases.Planned:
    """Given a folder's files, match them to the algorithm's sockets and check them.

    Raises:
        CannotSend: when the folder is not what the algorithm takes.
        NotYet: when the algorithm can't be seen.
    """
    algorithm = look_up(context.platform, context.route.algorithm)
    interface = choose_interface(algorithm, context.route)
    inputs = tuple(
        _input(socket, _source(context.route, socket), files)
        for socket in sorted(interface.inputs, key=lambda socket: socket.slug)
    )
    target = Target(algorithm.pk, algorithm.api_url, algorithm.slug, algorithm.average_duration)
    return cases.Planned(inputs, target)


def _source(route: Route, socket: Socket) -> Source:
    return route.inputs[socket.slug] if route.inputs else Glob(pattern="**/*")


def _input(socket: Socket, source: Source, files: Sequence[SourceFile]) -> Input:
    """Given a socket and where its content comes from, check it and return the input."""
    carrier = check_source(socket, source)
    if isinstance(source, Constant):
        content.check_value(source.value, socket.kind, socket.slug)
        return Input(socket.slug, carrier, value=source.value)
    pattern = source.pattern if isinstance(source, Glob) else source.file
    if carrier == "image":
        _some(files, pattern, socket)
        return Input(socket.slug, carrier, pattern)
    file = _one(files, pattern, socket)
    if carrier == "file":
        content.check_file(file, socket.kind, socket.slug)
        return Input(socket.slug, carrier, pattern)
    value = content.read_value(file, socket.slug)
    content.check_value(value, socket.kind, socket.slug)
    return Input(socket.slug, carrier, pattern, value)


def check_source(socket: Socket, source: Source) -> cases.Carrier:
    """Given a socket and its source, return how it travels; CannotSend if they don't fit."""
    carrier = _CARRIERS[socket.super_kind]
    problem = ""
    if socket.kind == DICOM_IMAGE_SET:
        problem = "DICOM image sets are not supported"
    elif isinstance(source, Constant) and carrier != "value":
        problem = "it takes a file, not a value"
    elif isinstance(source, JsonFile) and carrier == "image":
        problem = "it takes an image, not JSON"
    if problem:
        facts = {"socket": socket.slug, "kind": socket.kind, "problem": problem}
        raise CannotSend(Reason("unsupported_socket", facts))
    return carrier


def _some(files: Sequence[SourceFile], pattern: str, socket: Socket) -> tuple[SourceFile, ...]:
    found = bundle.select(files, pattern)
    if not found:
        raise CannotSend(Reason("no_files", {"socket": socket.slug, "pattern": pattern}))
    return found


def _one(files: Sequence[SourceFile], pattern: str, socket: Socket) -> SourceFile:
    found = _some(files, pattern, socket)
    if len(found) > 1:
        facts = {"socket": socket.slug, "pattern": pattern, "count": len(found)}
        raise CannotSend(Reason("too_many_files", facts))
    return found[0]


# --- submitting: exactly one job -----------------------------------------------------------------


def submit(case: Case, context: Context) -> Work:
    """Given a case whose uploads are complete, yield what leads to its one job.

    Raises:
        NotYet: when the platform has to be waited for.
        UploadsGone: when the uploads expired before anything used them.
        CannotSend: when the platform does not accept the inputs.
    """
    now = context.clock()
    if case.attempt is None and any(now - u.created > UPLOAD_LIFETIME for u in case.uploads):
        raise UploadsGone
    if case.attempt is not None:
        found = yield from _look(case, case.attempt, context)
        if found:
            return
    if context.active() >= MOST_JOBS:
        raise NotYet(Reason("too_many_jobs", {"limit": MOST_JOBS}), HELD_SECONDS)
    for item in _images(case):
        if item.socket not in case.sessions:
            case = yield cases.Prepared(item.socket, _prepare(case, item, context.platform))
    yield from _post(case, context)


def _images(case: Case) -> list[Input]:
    return [item for item in case.inputs or () if item.carrier == "image"]


def _upload(case: Case, socket: str) -> cases.Upload:
    return next(upload for upload in case.uploads if upload.socket == socket)


def _prepare(case: Case, item: Input, platform: GrandChallenge) -> str:
    """Make the socket's upload session; return its URL, or "" where the platform makes none."""
    try:
        return platform.create_session([_upload(case, item.socket).api_url]).api_url
    except Refused as error:
        if error.status in _NO_SESSIONS:
            return ""
        if error.says("post processing tasks"):
            raise NotYet(Reason("busy", {"seconds": 300, "message": _text(error)}), 300) from error
        if error.says("Object does not exist"):
            raise UploadsGone from error
        raise


def _post(case: Case, context: Context) -> Work:
    """Ask for the job, once, with the intention on record."""
    target = _target(case)
    in_doubt = case.attempt is not None
    case = yield cases.Attempted(_jobs_before(case, context))
    try:
        job = context.platform.create_job(
            target.api_url, [_body(case, i) for i in case.inputs or ()]
        )
    except Refused as error:
        yield _refusal(error, case, context, in_doubt=in_doubt)
    except Unreachable as error:
        yield cases.Faltered(error.reason, undone=not error.doubt and not in_doubt)
    else:
        yield _submitted(job.pk, target, context)


def _jobs_before(case: Case, context: Context) -> int | None:
    """Return how many jobs stood before the first attempt, where only a search can find ours.

    An attempt in doubt may have come true since it was last looked for, so it keeps its count.
    """
    if any(case.sessions.values()):
        return None
    if case.attempt is not None and case.attempt.jobs is not None:
        return case.attempt.jobs
    return context.platform.count_jobs(_target(case).pk)


def _target(case: Case) -> Target:
    assert case.target is not None, "a case is planned before it is submitted"
    return case.target


def _submitted(pk: str, target: Target, context: Context) -> cases.Submitted:
    site = urlsplit(context.platform.http.home)
    url = f"{site.scheme}://{site.netloc}/algorithms/{target.slug}/jobs/{pk}/"
    return cases.Submitted(pk, url)


def _body(case: Case, item: Input) -> dict[str, Any]:
    """Given an input, return its entry in the job's body: exactly one source (contract 5)."""
    body: dict[str, Any] = {"interface": item.socket}
    if item.carrier == "value":
        return {**body, "value": item.value}
    upload = _upload(case, item.socket)
    if item.carrier == "file":
        return {**body, "user_upload": upload.api_url}
    session = case.sessions[item.socket]
    if session:
        return {**body, "upload_session": session}
    return {**body, "user_uploads": [upload.api_url]}


def _refusal(error: Refused, case: Case, context: Context, *, in_doubt: bool) -> Event:
    """Given why a job was refused, return what that means (contract 7 and 11)."""
    target = _target(case)
    slug: dict[str, Any] = {"algorithm": target.slug}
    if error.says("too many active jobs"):
        reason = Reason("too_many_jobs", {"limit": MOST_JOBS})
        return cases.Postponed(reason, wait=60, undone=True)
    if error.says("run out of algorithm credits"):
        return cases.Postponed(Reason("no_credits", slug), wait=6 * HOUR, undone=True)
    if error.says("image is not ready"):
        return cases.Postponed(Reason("not_ready", slug), wait=HOUR / 2, undone=True)
    if error.says("A result for these inputs"):
        job = _unknown_job(case, context) if in_doubt else None
        if job is not None:
            return _submitted(job.pk, target, context)
        return cases.Rejected(Reason("duplicate", slug))
    if error.says("does not match any of the algorithm's interfaces"):
        facts = {**slug, "sockets": "that were sent", "takes": _text(error)}
        return cases.Rejected(Reason("mismatched_inputs", facts))
    if error.says("Object does not exist"):
        if _all_stand(case, context):  # so it is the algorithm that we may not use
            facts = {"what": "Algorithm", "slug": target.slug}
            return cases.Postponed(Reason("not_found", facts), wait=HOUR, undone=not in_doubt)
        # Either the earlier call used the inputs after all, which the next look finds, or they
        # have expired.
        if in_doubt:
            return cases.Postponed(Reason("importing", {"status": "used"}), wait=15)
        return cases.UploadsExpired()
    facts = {"call": error.call, "status": error.status, "message": _text(error)}
    return cases.Rejected(Reason("refused", facts))


def _all_stand(case: Case, context: Context) -> bool:
    """Whether everything that a job would use is there, unused."""
    sessions = [context.platform.session(url) for url in case.sessions.values() if url]
    return all(session.status == "Queued" for session in sessions) and all(
        _is_there(case, item, context.platform)
        for item in case.inputs or ()
        if item.carrier != "value"
    )


def _text(error: Refused) -> str:
    return "; ".join(error.messages)[:500]


# --- looking: what became of an attempt whose reply was lost -------------------------------------


def _look(case: Case, attempt: cases.Attempt, context: Context) -> Generator[Event, Case, bool]:
    """Find out whether the attempt made a job; return True when that settled the matter.

    Raises:
        NotYet: while it is not certain.
        UploadsGone: when it is certain that nothing was made, or ever will be.
    """
    if any(case.sessions.values()):
        settled = yield from _look_at_sessions(case, attempt, context)
    elif _images(case):
        settled = yield from _look_at_uploads(case, attempt, context)
    else:
        settled = yield from _look_through_jobs(case, attempt, context)
    return settled


def _look_at_sessions(
    case: Case, attempt: cases.Attempt, context: Context
) -> Generator[Event, Case, bool]:
    """A session that is no longer Queued proves that the job was made (contract 10.4 a)."""
    sessions = [context.platform.session(url) for url in case.sessions.values() if url]
    failed = next((session for session in sessions if session.status == "Failed"), None)
    if failed:
        yield cases.Rejected(_import_failed(failed))
        return True
    if all(session.status == "Queued" for session in sessions):
        if not all(session.uploads for session in sessions):
            raise UploadsGone
        _wait_out_doubt(attempt, context)
        return False
    job = _job_of(sessions, _target(case), context)
    if job is None:
        statuses = ", ".join(sorted({session.status for session in sessions}))
        _give_up_late(attempt, context, f"its upload session is {statuses}")
        raise NotYet(Reason("importing", {"status": statuses}), _patience(attempt, context))
    yield _submitted(job.pk, _target(case), context)
    return True


def _job_of(sessions: Iterable[UploadSession], target: Target, context: Context) -> Job | None:
    """A freshly imported image belongs to exactly one job."""
    images = [image for session in sessions for image in session.image_set]
    return _job_with_image(images, target, context)


def _job_with_image(images: Iterable[str], target: Target, context: Context) -> Job | None:
    for image in images:
        pk = image.rstrip("/").rpartition("/")[2]
        try:
            found = list(context.platform.jobs(target.pk, pk))
        except Refused as error:
            if error.status != 400:
                raise
            continue  # the image is not there for the filter yet
        if found:
            return found[0]
    return None


def _look_at_uploads(
    case: Case, attempt: cases.Attempt, context: Context
) -> Generator[Event, Case, bool]:
    """Without sessions of our own (contract 10.5): one that holds our upload, or its use, tells."""
    uploads = {_upload(case, item.socket).api_url: item.socket for item in _images(case)}
    for session in context.platform.sessions():
        for url in session.uploads:
            if url in uploads:
                yield cases.Prepared(uploads[url], session.api_url)
                raise NotYet(Reason("importing", {"status": session.status}), 0)
    if all(_is_there(case, item, context.platform) for item in _images(case)):
        _wait_out_doubt(attempt, context)
        return False
    names = [_upload(case, item.socket).filename for item in _images(case)]
    images = [image.pk for name in names for image in context.platform.images(name)]
    job = _job_with_image(images, _target(case), context)
    if job is None:
        _give_up_late(attempt, context, "its uploads were used, but no job of them is found")
        raise NotYet(Reason("importing", {"status": "used"}), _patience(attempt, context))
    yield _submitted(job.pk, _target(case), context)
    return True


def _is_there(case: Case, item: Input, platform: GrandChallenge) -> bool:
    """Whether an input's upload still stands; a consumed one is gone (contract 4)."""
    try:
        platform.upload(_upload(case, item.socket).pk)
    except Refused as error:
        if error.status == 404:
            return False
        raise
    return True


def _look_through_jobs(
    case: Case, attempt: cases.Attempt, context: Context
) -> Generator[Event, Case, bool]:
    """No image, so no token (contract 10.4 b, c): search the jobs made since, then ask again."""
    recent = _recent_jobs(case, context)
    ours = next((job for job in recent if _holds(job, case)), None)
    if ours:
        yield _submitted(ours.pk, _target(case), context)
        return True
    files = [item for item in case.inputs or () if item.carrier == "file"]
    gone = not all(_is_there(case, item, context.platform) for item in files)
    unclear = any(job.status == "Validating inputs" for job in recent)
    if gone or unclear:
        _give_up_late(attempt, context, "it can't be told from other jobs")
        raise NotYet(Reason("importing", {"status": "unclear"}), _patience(attempt, context))
    _wait_out_doubt(attempt, context)
    return False


def _recent_jobs(case: Case, context: Context) -> list[Job]:
    """Return the jobs made since the first attempt that are no other case's."""
    offset = (case.attempt.jobs if case.attempt else None) or 0
    jobs = context.platform.jobs(_target(case).pk, offset=offset)
    return [job for job in jobs if not context.knows_job(job.pk)]


def _unknown_job(case: Case, context: Context) -> Job | None:
    """Return the job of an attempt that came true after all."""
    return next((job for job in _recent_jobs(case, context) if _holds(job, case)), None)


def _holds(job: Job, case: Case) -> bool:
    """Whether a job has exactly the case's inputs: our unique file names, our values."""
    held = {value.socket.slug: value for value in job.inputs}
    return all(_is_ours(item, held.get(item.socket), case) for item in case.inputs or ())


def _is_ours(item: Input, held: SocketValue | None, case: Case) -> bool:
    if held is None:
        return False
    if item.carrier == "value":
        return bool(held.value == item.value)
    name = PurePosixPath(urlsplit(held.file or "").path).name
    return name == _upload(case, item.socket).filename


def _wait_out_doubt(attempt: cases.Attempt, context: Context) -> None:
    """Raise NotYet until the platform can no longer be acting on the attempt (contract 10.1)."""
    left = attempt.at + context.doubt - context.clock()
    if left > 0:
        raise NotYet(Reason("in_doubt", {"seconds": round(context.doubt)}), left)


def _patience(attempt: cases.Attempt, context: Context) -> float:
    """Look again soon at first, and then more and more seldom."""
    return min(max((context.clock() - attempt.at) / 4, 0.05), 300)


def _give_up_late(attempt: cases.Attempt, context: Context, problem: str) -> None:
    """After six hours a person has to look; a second job is never risked."""
    if context.clock() - attempt.at > IMPORT_LIMIT:
        raise CannotSend(Reason("job_lost", {"problem": problem}))


# --- following -----------------------------------------------------------------------------------


def poll(case: Case, context: Context) -> Iterator[Event]:
    """Given a case with a job, ask once what has become of it."""
    assert case.job is not None, "a case is submitted before it is polled"
    try:
        job = context.platform.job(case.job.pk)
    except Refused as error:
        if error.status != 404:
            raise
        raise CannotSend(Reason("job_lost", {"problem": "the platform denies it"})) from error
    if job.status == "Succeeded":
        yield cases.Succeeded(tuple(map(fetching.output, job.outputs)))
    elif job.status == "Cancelled":
        yield cases.Rejected(_why_cancelled(case, job, context))
    elif job.status == "Failed":
        yield cases.Rejected(_job_failed(case.job.url, job.status))
    else:
        age = context.clock() - case.job.submitted
        limit = IMPORT_LIMIT if job.status == "Validating inputs" else JOB_LIMIT
        yield cases.StillRunning(job.status, stalled=age > limit)


def _why_cancelled(case: Case, job: Job, context: Context) -> Reason:
    """The reason stands in the upload session that failed, if any (contract 7)."""
    for url in filter(None, case.sessions.values()):
        session = context.platform.session(url)
        if session.status == "Failed":
            return _import_failed(session)
    return _job_failed(case.job.url if case.job else "", job.status)


def _import_failed(session: UploadSession) -> Reason:
    return Reason("import_failed", {"message": session.error_message})


def _job_failed(url: str, status: str) -> Reason:
    return Reason("job_failed", {"status": status, "url": url})
