"""Requests to the API: the user, the body, the page of a list, the records named (platform 1)."""

import json
import re
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Request

from gcwatch.sandbox.api.serializers import Serializer
from gcwatch.sandbox.model import PlatformState, User
from gcwatch.sandbox.server.reply import Reply, json_refusal
from gcwatch.sandbox.storage.presign import Signer

T = TypeVar("T")

INVALID_CHOICE = "Select a valid choice. That choice is not one of the available choices."
PERMISSION_DENIED = {"detail": "You do not have permission to perform this action."}
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


@dataclass
class RequestContext:
    """A request to the API, and what an endpoint needs to answer it.

    Attributes:
        user: The user whose token was sent; None for an anonymous request.
    """

    request: Request
    user: User | None
    state: PlatformState
    serializer: Serializer
    signer: Signer


Endpoint = Callable[..., Reply]
"""Answers a request; takes a `RequestContext` and the parameters of its path."""


class _HasPk(Protocol):
    @property
    def pk(self) -> str: ...


K = TypeVar("K", bound=_HasPk)


def authenticate(state: PlatformState, request: Request) -> User | None:
    """Return the user whose token is sent; None without a token (platform 1.3).

    Raises:
        Refusal: 401 if the token is malformed or unknown.
    """
    words = request.headers.get("Authorization", "").split()
    if not words or words[0].lower() != "bearer":
        return None
    if len(words) != 2:
        reason = (
            "No credentials provided."
            if len(words) == 1
            else "Token string should not contain spaces."
        )
        raise json_refusal(401, {"detail": f"Invalid token header. {reason}"}, **_CHALLENGE)
    user = next((each for each in state.users if each.token == words[1]), None)
    if user is None or (user is state.users[0] and not state.settings.token_valid):
        raise json_refusal(401, {"detail": "Invalid token."}, **_CHALLENGE)
    return user


def require_user(user: User | None) -> User:
    """Return the user if there is one.

    Raises:
        Refusal: 401 for an anonymous request.
    """
    if user is None:
        detail = "Authentication credentials were not provided."
        raise json_refusal(401, {"detail": detail}, **_CHALLENGE)
    return user


def check_accept(request: Request) -> None:
    """Check that the client accepts JSON.

    Raises:
        Refusal: 406 if it does not.
    """
    if request.accept_mimetypes and not request.accept_mimetypes.accept_json:
        raise json_refusal(406, {"detail": "Could not satisfy the request Accept header."})


def parse_body(request: Request) -> dict[str, Any]:
    """Return the request's body, which must be a JSON object or a form.

    Raises:
        Refusal: 415 for another media type, 400 for another body.
    """
    kind = request.mimetype or "application/json"
    if kind in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        return dict(request.form.items())
    if kind != "application/json":
        given = request.headers["Content-Type"]
        raise json_refusal(415, {"detail": f'Unsupported media type "{given}" in request.'})
    try:
        data = json.loads(request.get_data() or b"{}")
    except (ValueError, BadRequest) as error:
        raise json_refusal(400, {"detail": f"JSON parse error - {error}"}) from error
    if not isinstance(data, dict):
        found = type(data).__name__
        problem = f"Invalid data. Expected a dictionary, but got {found}."
        raise json_refusal(400, {"non_field_errors": [problem]})
    return data


def paginate(
    request: Request, records: Iterable[T], serialize: Callable[[T], Any]
) -> dict[str, Any]:
    """Return one page of a list: 100 records by default, at most 1000 (platform 1.14)."""
    everything = list(records)
    limit = min(_parse_natural(request.args.get("limit"), least=1) or 100, 1000)
    offset = _parse_natural(request.args.get("offset")) or 0
    until = offset + limit
    return {
        "count": len(everything),
        "next": _make_page_link(request, limit, until) if until < len(everything) else None,
        "previous": _make_page_link(request, limit, offset - limit) if offset else None,
        "results": [serialize(each) for each in everything[offset:until]],
    }


def _parse_natural(text: str | None, least: int = 0) -> int | None:
    number = int(text) if text and re.fullmatch(r"[0-9]{1,18}", text) else None
    return number if number is not None and number >= least else None


def _make_page_link(request: Request, limit: int, offset: int) -> str:
    query = {**request.args.to_dict(), "limit": str(limit), "offset": str(offset)}
    if offset <= 0:
        del query["offset"]
    return f"{request.base_url}?{urlencode(sorted(query.items()))}"


def parse_hyperlink(value: Any, prefix: str) -> str:
    """Return the pk in a hyperlink; its scheme and host are not checked (platform 1.17).

    Args:
        value: The field of the request.
        prefix: API path of the list that the object is in, for example "uploads/".

    Raises:
        ValueError: It is not such a link; the message is the platform's.
    """
    if not isinstance(value, str):
        message = f"Incorrect type. Expected URL string, received {type(value).__name__}."
        raise ValueError(message)  # noqa: TRY004 - one error for all bad links
    path = urlsplit(value).path if value.startswith(("http:", "https:")) else value
    found = re.fullmatch(r"/api/v1/((?:[a-z-]+/)+)([^/]+)/", path)
    if not found:
        message = "Invalid hyperlink - No URL match."
        raise ValueError(message)
    if found[1] != prefix:
        message = "Invalid hyperlink - Incorrect URL match."
        raise ValueError(message)
    return found[2]


def _not_found_refusal(model: str, pk: str) -> Exception:
    try:
        UUID(pk)
    except ValueError:
        return json_refusal(404, {"detail": "Not found."})
    return json_refusal(404, {"detail": f"No {model} matches the given query."})


def find_by_pk(model: str, pk: str, records: Iterable[T], key: Callable[[T], str]) -> T:
    """Return the record with this pk.

    Raises:
        Refusal: 404 if there is none; *model* is in the message.
    """
    for record in records:
        if key(record) == pk:
            return record
    raise _not_found_refusal(model, pk)


def find_filtered(context: RequestContext, key: str, records: Iterable[K]) -> K | None:
    """Return the record that a query parameter names by its pk; None without the parameter.

    Raises:
        Refusal: 400 if there is no such record.
    """
    pk = context.request.args.get(key)
    if not pk:
        return None
    _require_uuid(key, pk)
    for record in records:
        if record.pk == pk:
            return record
    raise json_refusal(400, {key: [INVALID_CHOICE]})


def find_all_filtered(context: RequestContext, key: str, known: Container[str]) -> set[str]:
    """Return the pks that a query parameter, which may be repeated, names.

    Raises:
        Refusal: 400 if one is not known.
    """
    pks = set(context.request.args.getlist(key))
    for pk in pks:
        _require_uuid(key, pk)
        if pk not in known:
            problem = f"Select a valid choice. {pk} is not one of the available choices."
            raise json_refusal(400, {key: [problem]})
    return pks


def _require_uuid(key: str, pk: str) -> None:
    try:
        UUID(pk)
    except ValueError as error:
        raise json_refusal(400, {key: [f"“{pk}” is not a valid UUID."]}) from error
