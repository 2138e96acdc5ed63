"""What a request asks: who by, with which data, and which page of a list (platform 1)."""

import json
import re
from collections.abc import Callable, Iterable
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

PERMISSION_DENIED = {"detail": "You do not have permission to perform this action."}
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


def authenticate(state: PlatformState, request: Request) -> User | None:
    """The user whose token is sent; None without a token (platform 1.3).

    Raises:
        Refusal: 401, the token is malformed or unknown.
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
    """The user, who must be one.

    Raises:
        Refusal: 401, nobody is signed in.
    """
    if user is None:
        detail = "Authentication credentials were not provided."
        raise json_refusal(401, {"detail": detail}, **_CHALLENGE)
    return user


def check_accept(request: Request) -> None:
    """The API speaks JSON only.

    Raises:
        Refusal: 406, JSON is not accepted.
    """
    if request.accept_mimetypes and not request.accept_mimetypes.accept_json:
        raise json_refusal(406, {"detail": "Could not satisfy the request Accept header."})


def parse_body(request: Request) -> dict[str, Any]:
    """The request's body, a JSON object.

    Raises:
        Refusal: 415, 400, it is something else.
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


def paginate(request: Request, rows: Iterable[T], render: Callable[[T], Any]) -> dict[str, Any]:
    """One page of a list: limit 100, at most 1000 (platform 1.14)."""
    everything = list(rows)
    limit = min(_parse_natural(request.args.get("limit"), least=1) or 100, 1000)
    offset = _parse_natural(request.args.get("offset")) or 0
    until = offset + limit
    return {
        "count": len(everything),
        "next": _make_page_link(request, limit, until) if until < len(everything) else None,
        "previous": _make_page_link(request, limit, offset - limit) if offset else None,
        "results": [render(each) for each in everything[offset:until]],
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
    """The pk in a hyperlink; only its path counts (platform 1.17).

    Args:
        value: What the request gave.
        prefix: API path of the list that the object is in, for example "uploads/".

    Raises:
        ValueError: Not such a link; the message is the platform's.
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


INVALID_CHOICE = "Select a valid choice. That choice is not one of the available choices."


@dataclass
class RequestContext:
    """A request to the API, and what is needed to answer it.

    Attributes:
        user: Who asks; None is anonymous.
    """

    request: Request
    user: User | None
    state: PlatformState
    serializer: Serializer
    signer: Signer


Endpoint = Callable[..., Reply]


def _not_found_refusal(model: str, pk: str) -> Exception:
    try:
        UUID(pk)
    except ValueError:
        return json_refusal(404, {"detail": "Not found."})
    return json_refusal(404, {"detail": f"No {model} matches the given query."})


def find_by_pk(model: str, pk: str, rows: list[T], key: Callable[[T], str]) -> T:
    """The row with this pk.

    Raises:
        Refusal: 404, as of a model's object that is not there.
    """
    for row in rows:
        if key(row) == pk:
            return row
    raise _not_found_refusal(model, pk)


class _HasPk(Protocol):
    @property
    def pk(self) -> str: ...


K = TypeVar("K", bound=_HasPk)


def find_filtered(context: RequestContext, key: str, records: Iterable[K]) -> K | None:
    """The record that a filter names by its pk; None if the filter is not used.

    Raises:
        Refusal: 400, there is no such record.
    """
    pk = context.request.args.get(key)
    if not pk:
        return None
    try:
        UUID(pk)
    except ValueError as error:
        raise json_refusal(400, {key: [f"“{pk}” is not a valid UUID."]}) from error
    for record in records:
        if record.pk == pk:
            return record
    raise json_refusal(400, {key: [INVALID_CHOICE]})
