"""`gcwatch check`: whose token it is, and whether the platform takes what each route sends."""

import json
import time
from collections.abc import Iterator

from gcwatch import config, targets
from gcwatch.commands.finding import Cause, Finding
from gcwatch.config import Column, Constant, Glob, JsonFile, Mirror, Named, Route, Settings, Source
from gcwatch.core.errors import (
    CannotSend,
    CaseError,
    ConfigError,
    NotYet,
    Refused,
    TokenRefused,
    Unreachable,
)
from gcwatch.core.kinds import KIND_NAMES
from gcwatch.core.reasons import Reason, explain
from gcwatch.mirrors.source import open_source
from gcwatch.platform.client import CachingGrandChallenge, GrandChallenge
from gcwatch.platform.connect import connect
from gcwatch.platform.models import Socket
from gcwatch.targets import sockets


def check_platform(settings: Settings, *, offline: bool = False) -> Iterator[Finding]:
    """Given settings, check whose token it is, and what it may do with each target."""
    try:
        config.require_certificates(settings)
    except ConfigError as error:
        [problem] = error.problems
        yield Finding("platform", "ca_bundle", problem.message, "config", problem.hint)
        return
    yield from _expired_certificates(settings)
    try:
        config.read_token(settings)
    except ConfigError as error:
        [problem] = error.problems
        yield Finding("platform", "token", problem.message, "token", problem.hint)
        return
    if offline:
        yield Finding("platform", "token", "exists; not tested with the platform (offline)")
    else:
        yield from _online(settings)


def _expired_certificates(settings: Settings) -> Iterator[Finding]:
    """Say if all certificates of `ca_bundle` have expired; the daemon starts: clocks go wrong."""
    bundle = settings.platform.ca_bundle
    if bundle is not None and config.expiry_of(bundle) < time.time():
        hint = "Ask who looks after this network's certificates for the new file."
        problem = f"all certificates in {bundle} have expired"
        yield Finding("platform", "ca_bundle", problem, "config", hint)


def _online(settings: Settings) -> Iterator[Finding]:
    """Check whose token it is, and whether each route's target accepts the route's inputs."""
    platform = CachingGrandChallenge(connect(settings))
    try:
        name = platform.me()
        yield Finding("platform", "token", f"of {name}, at {settings.platform.url}")
        for route in settings.routes:
            yield from check_target(route, platform)
        for mirror in settings.mirrors:
            yield _mirrored_place(f"mirror {mirror.name}", mirror, platform)
        for source in settings.sources:
            yield _mirrored_place(f"route {source.name}", source, platform)
    except TokenRefused as error:
        detail = f"is refused by {settings.platform.url}"
        yield Finding("platform", "token", detail, "token", error.hint)
    except Unreachable as error:
        detail = explain(error.reason).detail
        yield Finding("platform", "url", detail, "platform", error.hint)
    except Refused as error:
        detail = f"{error.call} was answered {error.status}: {'; '.join(error.messages)}"
        yield Finding("platform", "url", detail, "platform", _url_hint(settings))
    finally:
        platform.close()


def _url_hint(settings: Settings) -> str:
    url = settings.platform.url
    if url.endswith("/api/v1/"):
        return "Is this the address of the platform?"
    site = url.partition("/api/")[0].rstrip("/")
    return f'The address of its API ends with /api/v1/: url = "{site}/api/v1/"'


def _mirrored_place(where: str, mirror: Mirror, platform: GrandChallenge) -> Finding:
    noun = KIND_NAMES[mirror.kind].noun
    try:
        with open_source(mirror, platform) as source:
            found = source.find_place()
    except NotYet as error:
        return _wrong(where, noun, error.reason)
    title = f" ({found.title})" if found.title else ""
    return Finding(
        where, noun, f"{found.slug}{title}: the token may read {_readable(mirror, platform)}"
    )


def _readable(mirror: Mirror, platform: GrandChallenge) -> str:
    """Return what the token may read of a mirror's place; of a study, an editor all answers."""
    if mirror.kind != "reader_study":
        return "it"
    is_editor = platform.may_add("reader_study", mirror.slug)
    return "the answers of all readers" if is_editor else "only its own answers, as no editor"


def check_target(route: Route, platform: GrandChallenge) -> Iterator[Finding]:
    """Check a route's target: whether it exists, may be used, and accepts the route's inputs."""
    names = KIND_NAMES[route.kind]
    where, what = f"route {route.name}", names.noun
    try:
        seen = targets.target_for(route).inspect(platform, route)
    except CaseError as error:
        yield _wrong(where, what, error.reason)
        return
    if seen.no_right is not None:
        yield _wrong(where, what, seen.no_right)
    else:
        title = f" ({seen.title})" if seen.title else ""
        yield Finding(where, what, f"{route.target}{title}: the token may {names.right}")
    for socket in seen.sockets:
        yield _socket(where, socket, route)


def _socket(where: str, socket: Socket, route: Route) -> Finding:
    what = f"input {socket.slug}"
    source = sockets.source_of(route, socket)
    try:
        carrier = sockets.check_source(socket, source)
    except CannotSend as error:
        return _wrong(where, what, error.reason)
    return Finding(where, what, f"{socket.kind}, sent as {carrier}: {_shown(source, route)}")


def _shown(source: Source, route: Route) -> str:
    match source:
        case Named() if route.source:
            return f"what the item holds in {source.socket}"
        case Constant():
            return f"always {json.dumps(source.value)}"
        case JsonFile():
            return f"the value in {source.file}"
        case Named():
            return f"the image or value of {source.socket} in the folder's gcwatch.json"
        case Column():
            return f"the column {source.column} of cases.csv"
        case Glob():
            return source.pattern


def _wrong(where: str, what: str, reason: Reason) -> Finding:
    words = explain(reason)
    takes = reason.facts.get("takes")
    detail = f"{words.detail} It takes {takes}." if takes else words.detail
    cause: Cause = "platform" if reason.code == "busy" else "config"
    return Finding(where, what, detail, cause, words.hint)
