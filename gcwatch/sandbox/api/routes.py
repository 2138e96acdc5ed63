"""The platform's origin: routes of the API, and media files (platform 1, 8)."""

import logging
from collections.abc import Mapping
from typing import Any

from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, RequestRedirect, Rule
from werkzeug.wrappers import Request

from gcwatch.sandbox.api import endpoints, item_endpoints, permissions, upload_sessions
from gcwatch.sandbox.api.endpoints import Asked, Endpoint
from gcwatch.sandbox.api.item_rules import DISPLAY_SETS, ITEMS
from gcwatch.sandbox.api.requests import DENIED, check_accept, signed_in, user_of
from gcwatch.sandbox.api.serializers import Answers
from gcwatch.sandbox.due_tasks import settle
from gcwatch.sandbox.model import PlatformState
from gcwatch.sandbox.server.reply import Refusal, Reply, html_reply, json_reply, refuse
from gcwatch.sandbox.storage.objects import PROTECTED
from gcwatch.sandbox.storage.presign import Signer

ROOT = "/api/v1/"
_BODY_LIMIT = 16 * 1024**2
_UPLOAD = "uploads/<pk>/<s3_id>"

Methods = dict[str, Endpoint]

ROUTES: dict[str, Methods] = {
    "gcapi/": {"GET": endpoints.version},
    "profiles/users/self/": {"GET": endpoints.profile},
    **endpoints.places(
        "algorithms/", "Algorithm", lambda known: known.algorithms, Answers.algorithm
    ),
    "algorithms/images/": {"GET": endpoints.list_algorithm_images},
    "algorithms/images/<pk>/": {"GET": endpoints.show_algorithm_image},
    "algorithms/jobs/": {"GET": endpoints.list_jobs, "POST": endpoints.post_job},
    "algorithms/jobs/<pk>/": {"GET": endpoints.show_job},
    "components/interfaces/": {"GET": endpoints.list_sockets},
    "components/interfaces/<pk>/": {"GET": endpoints.show_socket},
    "uploads/": {"GET": endpoints.list_uploads, "POST": endpoints.create_upload},
    "uploads/<pk>/": {"GET": endpoints.show_upload},
    f"{_UPLOAD}/list-parts/": {"GET": endpoints.list_parts},
    f"{_UPLOAD}/generate-presigned-urls/": {"PATCH": endpoints.presign},
    f"{_UPLOAD}/complete-multipart-upload/": {"PATCH": endpoints.complete},
    f"{_UPLOAD}/abort-multipart-upload/": {"PATCH": endpoints.abort},
    "cases/upload-sessions/": {
        "GET": upload_sessions.list_sessions,
        "POST": upload_sessions.create_session,
    },
    "cases/upload-sessions/<pk>/": {"GET": upload_sessions.show_session},
    "cases/images/": {"GET": endpoints.list_images},
    "cases/images/<pk>/": {"GET": endpoints.show_image},
    "cases/images/<pk>/dicom/instances/": {"GET": endpoints.list_instances},
    **endpoints.places("archives/", "Archive", lambda known: known.archives, Answers.archive),
    **item_endpoints.routes(ITEMS, item_endpoints.list_items),
    **endpoints.places(
        "reader-studies/",
        "ReaderStudy",
        lambda known: known.reader_studies,
        Answers.reader_study,
    ),
    "reader-studies/questions/": {"GET": endpoints.nothing},
    **item_endpoints.routes(DISPLAY_SETS, item_endpoints.list_display_sets),
    "notifications/": {"GET": endpoints.nothing},
}

_SESSION_FIELDS = (
    "pk",
    "creator",
    "status",
    "error_message",
    "image_set",
    "api_url",
    "user_uploads",
    "archive",
    "answer",
    "interface",
    "archive_item",
    "display_set",
    "uploads",
)


class Api:
    """Answers requests to the platform's origin."""

    def __init__(self, world: PlatformState, answers: Answers, signer: Signer) -> None:
        self.world = world
        self.answers = answers
        self.signer = signer
        rules = [Rule(ROOT + path, endpoint=path) for path in ROUTES]
        self._routes = Map(rules, merge_slashes=False).bind("sandbox")

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        if request.path.startswith("/media/"):
            return self._media(request)
        try:
            path, arguments = self._routes.match(request.path, method="GET")
        except RequestRedirect:
            query = request.query_string.decode("latin-1")
            location = f"{request.path}/{'?' * bool(query)}{query}"
            kind = "text/html; charset=utf-8"
            return Reply(301, headers={"Location": location, "Content-Type": kind})
        except NotFound:
            return html_reply(404)
        if (request.content_length or 0) > _BODY_LIMIT:
            return html_reply(413)
        reply = self._answered(request, path, arguments)
        reply.template = ROOT + path
        return reply

    def _methods(self, path: str) -> Methods:
        methods = ROUTES[path]
        if path == "cases/upload-sessions/" and not self.world.settings.sessions:
            return {"GET": methods["GET"]}
        return methods

    def _answered(self, request: Request, path: str, arguments: Mapping[str, Any]) -> Reply:
        methods = self._methods(path)
        try:
            reply = self._dispatched(request, path, methods, arguments)
        except Refusal as refusal:
            reply = refusal.reply
        except Exception:
            logging.getLogger(__name__).exception("the sandbox failed on %s", path)
            reply = html_reply(500)
        if reply.headers["Content-Type"] == "application/json":
            reply.headers |= {"Allow": _allowed(methods), "Vary": "Accept, Cookie, origin"}
        return reply

    def _dispatched(
        self, request: Request, path: str, methods: Methods, arguments: Mapping[str, Any]
    ) -> Reply:
        request.get_data()
        check_accept(request)
        user = user_of(self.world, request)
        method = "GET" if request.method == "HEAD" else request.method
        if method == "OPTIONS":
            return json_reply(200, _metadata(path, methods, may_post=user is not None))
        if method != "GET":
            signed_in(user)
        endpoint = methods.get(method)
        if endpoint is None:
            raise _refused_method(path, method)
        with self.world.lock:
            settle(self.world)
            asked = Asked(request, user, self.world, self.answers, self.signer)
            reply = endpoint(asked, **arguments)
        # Presigning changes nothing on the platform; it only looks like a write.
        reply.applied = method != "GET" and endpoint is not endpoints.presign
        return reply

    def _media(self, request: Request) -> Reply:
        """Redirect to storage, whoever may see the file (platform 8.3)."""
        try:
            user = user_of(self.world, request)
        except Refusal:
            user = None
        with self.world.lock:
            settle(self.world)
            stored = self.world.stored.get(request.path.removeprefix("/media/"))
            may_read = stored is not None and permissions.may_read(self.world, user, stored)
            now, life = self.world.now(), self.world.settings.presign_lifetime
        if stored is None:
            reply = html_reply(404)
        elif not may_read:
            reply = html_reply(403 if stored.key.startswith("images/") else 404)
        else:
            url = self.signer.sign("GET", f"{PROTECTED}{stored.key}", {}, now, life)
            kind = "text/html; charset=utf-8"
            reply = Reply(302, headers={"Location": url, "Content-Type": kind})
        reply.template = "/media/<key>"
        return reply


def _refused_method(path: str, method: str) -> Refusal:
    """Rights are checked before the method; POST of sessions may be gone (platform 1.7, 10.5)."""
    gone = path == "cases/upload-sessions/" and method == "POST"
    if gone or (path == f"{DISPLAY_SETS.path}<pk>/" and method == "DELETE"):
        return refuse(405, {"detail": f'Method "{method}" not allowed.'})
    return refuse(403, DENIED)


def _allowed(methods: Methods) -> str:
    head = ["HEAD"] if "GET" in methods else []
    return ", ".join([*methods, *head, "OPTIONS"])


def _metadata(path: str, methods: Methods, *, may_post: bool) -> dict[str, Any]:
    """What OPTIONS tells: `actions.POST` only where a POST would be taken (platform 9.10).

    The fields of a POST are told of upload sessions only.
    """
    words = path.replace("-", " ").replace("/", " ").split()
    data: dict[str, Any] = {
        "name": " ".join(word.capitalize() for word in words if not word.startswith("<")),
        "description": "",
        "renders": ["application/json"],
        "parses": [
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
        ],
    }
    if path == "cases/upload-sessions/":
        data["name"] = "Raw Image Upload Session List"
    if "POST" in methods and may_post:
        fields = _SESSION_FIELDS if path == "cases/upload-sessions/" else ()
        data["actions"] = {"POST": {name: _field(name) for name in fields}}
    return data


def _field(name: str) -> dict[str, Any]:
    read_only = name in {"pk", "status", "image_set", "api_url"}
    text = name in {"pk", "status", "error_message"}
    return {
        "type": "string" if text else "field",
        "required": name == "uploads",
        "read_only": read_only,
        "label": "Id" if name == "pk" else name.replace("_", " ").capitalize(),
    }
