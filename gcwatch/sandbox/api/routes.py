"""The platform's origin: the routes of the API, and redirects to media files (platform 1, 8)."""

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, RequestRedirect, Rule
from werkzeug.wrappers import Request

from gcwatch.sandbox.api import (
    answer_endpoints,
    catalogue_endpoints,
    image_endpoints,
    item_endpoints,
    job_endpoints,
    permissions,
    session_endpoints,
    upload_endpoints,
)
from gcwatch.sandbox.api.item_rules import DISPLAY_SETS, ITEMS
from gcwatch.sandbox.api.requests import (
    PERMISSION_DENIED,
    Endpoint,
    RequestContext,
    authenticate,
    check_accept,
    require_user,
)
from gcwatch.sandbox.api.serializers import Serializer
from gcwatch.sandbox.due_tasks import run_due_tasks
from gcwatch.sandbox.model import PlatformState
from gcwatch.sandbox.server.reply import Refusal, Reply, html_reply, json_refusal, json_reply
from gcwatch.sandbox.storage.objects import PROTECTED_PATH
from gcwatch.sandbox.storage.presign import Signer

API_ROOT = "/api/v1/"
_MAX_BODY_BYTES = 16 * 1024**2
_UPLOAD_PATH = "uploads/<pk>/<s3_id>"

Methods = dict[str, Endpoint]

ROUTES: dict[str, Methods] = {
    "gcapi/": {"GET": catalogue_endpoints.show_version},
    "profiles/users/self/": {"GET": catalogue_endpoints.show_profile},
    **catalogue_endpoints.make_resource_routes(
        "algorithms/", "Algorithm", lambda known: known.algorithms, Serializer.algorithm
    ),
    "algorithms/images/": {"GET": catalogue_endpoints.list_algorithm_images},
    "algorithms/images/<pk>/": {"GET": catalogue_endpoints.show_algorithm_image},
    "algorithms/jobs/": {"GET": job_endpoints.list_jobs, "POST": job_endpoints.post_job},
    "algorithms/jobs/<pk>/": {"GET": job_endpoints.show_job},
    "components/interfaces/": {"GET": catalogue_endpoints.list_sockets},
    "components/interfaces/<pk>/": {"GET": catalogue_endpoints.show_socket},
    "uploads/": {"GET": upload_endpoints.list_uploads, "POST": upload_endpoints.create_upload},
    "uploads/<pk>/": {"GET": upload_endpoints.show_upload},
    f"{_UPLOAD_PATH}/list-parts/": {"GET": upload_endpoints.list_parts},
    f"{_UPLOAD_PATH}/generate-presigned-urls/": {"PATCH": upload_endpoints.presign_parts},
    f"{_UPLOAD_PATH}/complete-multipart-upload/": {"PATCH": upload_endpoints.complete_upload},
    f"{_UPLOAD_PATH}/abort-multipart-upload/": {"PATCH": upload_endpoints.abort_upload},
    "cases/upload-sessions/": {
        "GET": session_endpoints.list_sessions,
        "POST": session_endpoints.create_session,
    },
    "cases/upload-sessions/<pk>/": {"GET": session_endpoints.show_session},
    "cases/images/": {"GET": image_endpoints.list_images},
    "cases/images/<pk>/": {"GET": image_endpoints.show_image},
    "cases/images/<pk>/dicom/instances/": {"GET": image_endpoints.list_instances},
    **catalogue_endpoints.make_resource_routes(
        "archives/", "Archive", lambda known: known.archives, Serializer.archive
    ),
    **item_endpoints.make_case_routes(ITEMS, item_endpoints.list_items),
    **catalogue_endpoints.make_resource_routes(
        "reader-studies/",
        "ReaderStudy",
        lambda known: known.reader_studies,
        Serializer.reader_study,
    ),
    "reader-studies/questions/": {"GET": answer_endpoints.list_questions},
    "reader-studies/questions/<pk>/": {"GET": answer_endpoints.show_question},
    "reader-studies/answers/": {
        "GET": answer_endpoints.list_answers,
        "POST": answer_endpoints.create_answer,
    },
    "reader-studies/answers/mine/": {"GET": answer_endpoints.list_own_answers},
    "reader-studies/answers/<pk>/": {
        "GET": answer_endpoints.show_answer,
        "PUT": answer_endpoints.update_answer,
        "PATCH": answer_endpoints.update_answer,
    },
    "reader-studies/<pk>/ground-truth/<case>/": {"GET": answer_endpoints.show_ground_truth},
    **item_endpoints.make_case_routes(DISPLAY_SETS, item_endpoints.list_display_sets),
    "notifications/": {"GET": catalogue_endpoints.list_nothing},
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


@cache
def _make_map() -> Map:
    """Return the routes; to compile them takes longer than all else at a sandbox's start."""
    rules = [Rule(API_ROOT + path, endpoint=path) for path in ROUTES]
    return Map(rules, merge_slashes=False)


class Api:
    """Answers requests to the platform's origin."""

    def __init__(self, state: PlatformState, serializer: Serializer, signer: Signer) -> None:
        self.state = state
        self.serializer = serializer
        self.signer = signer
        self._routes = _make_map().bind("sandbox")

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        if request.path.startswith("/media/"):
            return self._redirect_media(request)
        try:
            path, arguments = self._routes.match(request.path, method="GET")
        except RequestRedirect:
            query = request.query_string.decode("latin-1")
            location = f"{request.path}/{'?' * bool(query)}{query}"
            kind = "text/html; charset=utf-8"
            return Reply(301, headers={"Location": location, "Content-Type": kind})
        except NotFound:
            return html_reply(404)
        if (request.content_length or 0) > _MAX_BODY_BYTES:
            return html_reply(413)
        reply = self._answer(request, path, arguments)
        reply.route = API_ROOT + path
        return reply

    def _allowed_methods(self, path: str) -> Methods:
        methods = ROUTES[path]
        if path == "cases/upload-sessions/" and not self.state.settings.sessions:
            return {"GET": methods["GET"]}
        return methods

    def _answer(self, request: Request, path: str, arguments: Mapping[str, Any]) -> Reply:
        methods = self._allowed_methods(path)
        try:
            reply = self._dispatch(request, path, methods, arguments)
        except Refusal as refusal:
            reply = refusal.reply
        except Exception:
            logging.getLogger(__name__).exception("the sandbox failed on %s", path)
            reply = html_reply(500)
        if reply.headers["Content-Type"] == "application/json":
            reply.headers |= {
                "Allow": _format_allow_header(methods),
                "Vary": "Accept, Cookie, origin",
            }
        return reply

    def _dispatch(
        self, request: Request, path: str, methods: Methods, arguments: Mapping[str, Any]
    ) -> Reply:
        request.get_data()
        check_accept(request)
        user = authenticate(self.state, request)
        method = "GET" if request.method == "HEAD" else request.method
        if method == "OPTIONS":
            return json_reply(200, _describe_endpoint(path, methods, may_post=user is not None))
        if method != "GET":
            require_user(user)
        endpoint = methods.get(method)
        if endpoint is None:
            raise _refuse_method(path, method)
        with self.state.lock:
            run_due_tasks(self.state)
            context = RequestContext(request, user, self.state, self.serializer, self.signer)
            reply = endpoint(context, **arguments)
        # Presigning is a PATCH, but changes nothing on the platform.
        reply.applied = method != "GET" and endpoint is not upload_endpoints.presign_parts
        return reply

    def _redirect_media(self, request: Request) -> Reply:
        """Redirect a user who may read the file to the storage (platform 8.3)."""
        try:
            user = authenticate(self.state, request)
        except Refusal:
            user = None
        with self.state.lock:
            run_due_tasks(self.state)
            stored = self.state.media_files.get(request.path.removeprefix("/media/"))
            may_read = stored is not None and permissions.can_read_file(self.state, user, stored)
            now, lifetime = self.state.now(), self.state.settings.presign_lifetime
        if stored is None:
            reply = html_reply(404)
        elif not may_read:
            reply = html_reply(403 if stored.key.startswith("images/") else 404)
        else:
            url = self.signer.sign_url("GET", f"{PROTECTED_PATH}{stored.key}", {}, now, lifetime)
            kind = "text/html; charset=utf-8"
            reply = Reply(302, headers={"Location": url, "Content-Type": kind})
        reply.route = "/media/<key>"
        return reply


def _refuse_method(path: str, method: str) -> Refusal:
    """Make the error for a method that a route does not have (platform 1.7, 10.5)."""
    # The platform checks rights before the method: an unknown method is a 403.
    gone = path == "cases/upload-sessions/" and method == "POST"
    if gone or (path == f"{DISPLAY_SETS.path}<pk>/" and method == "DELETE"):
        return json_refusal(405, {"detail": f'Method "{method}" not allowed.'})
    return json_refusal(403, PERMISSION_DENIED)


def _format_allow_header(methods: Methods) -> str:
    head = ["HEAD"] if "GET" in methods else []
    return ", ".join([*methods, *head, "OPTIONS"])


def _describe_endpoint(path: str, methods: Methods, *, may_post: bool) -> dict[str, Any]:
    """Return the answer to OPTIONS; it has `actions.POST` if POST is allowed (platform 9.10).

    Only for upload sessions does it list the fields of a POST.
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
        data["actions"] = {"POST": {name: _describe_field(name) for name in fields}}
    return data


def _describe_field(name: str) -> dict[str, Any]:
    read_only = name in {"pk", "status", "image_set", "api_url"}
    text = name in {"pk", "status", "error_message"}
    return {
        "type": "string" if text else "field",
        "required": name == "uploads",
        "read_only": read_only,
        "label": "Id" if name == "pk" else name.replace("_", " ").capitalize(),
    }
