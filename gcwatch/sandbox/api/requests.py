"""What a request asks: who by, with which data, and which page of a list (platform 1)."""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Request

from gcwatch.sandbox.model import PlatformState, User
from gcwatch.sandbox.server.reply import refuse

T = TypeVar("T")

DENIED = {"detail": "You do not have permission to perform this action."}
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


def user_of(world: PlatformState, request: Request) -> User | None:
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
        raise refuse(401, {"detail": f"Invalid token header. {reason}"}, **_CHALLENGE)
    user = next((each for each in world.users if each.token == words[1]), None)
    if user is None or (user is world.users[0] and not world.settings.token_valid):
        raise refuse(401, {"detail": "Invalid token."}, **_CHALLENGE)
    return user


def signed_in(user: User | None) -> User:
    """The user, who must be one.

    Raises:
        Refusal: 401, nobody is signed in.
    """
    if user is None:
        detail = "Authentication credentials were not provided."
        raise refuse(401, {"detail": detail}, **_CHALLENGE)
    return user


def check_accept(request: Request) -> None:
    """The API speaks JSON only.

    Raises:
        Refusal: 406, JSON is not accepted.
    """
    if request.accept_mimetypes and not request.accept_mimetypes.accept_json:
        raise refuse(406, {"detail": "Could not satisfy the request Accept header."})


def data_of(request: Request) -> dict[str, Any]:
    """The request's body, a JSON object.

    Raises:
        Refusal: 415, 400, it is something else.
    """
    kind = request.mimetype or "application/json"
    if kind in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        return dict(request.form.items())
    if kind != "application/json":
        given = request.headers["Content-Type"]
        raise refuse(415, {"detail": f'Unsupported media type "{given}" in request.'})
    try:
        data = json.loads(request.get_data() or b"{}")
    except (ValueError, BadRequest) as error:
        raise refuse(400, {"detail": f"JSON parse error - {error}"}) from error
    if not isinstance(data, dict):
        found = type(data).__name__
        problem = f"Invalid data. Expected a dictionary, but got {found}."
        raise refuse(400, {"non_field_errors": [problem]})
    return data


def page(request: Request, rows: Iterable[T], render: Callable[[T], Any]) -> dict[str, Any]:
    """One page of a list: limit 100, at most 1000 (platform 1.14)."""
    everything = list(rows)
    limit = min(_natural(request.args.get("limit"), least=1) or 100, 1000)
    offset = _natural(request.args.get("offset")) or 0
    until = offset + limit
    return {
        "count": len(everything),
        "next": _link(request, limit, until) if until < len(everything) else None,
        "previous": _link(request, limit, offset - limit) if offset else None,
        "results": [render(each) for each in everything[offset:until]],
    }


def _natural(text: str | None, least: int = 0) -> int | None:
    number = int(text) if text and re.fullmatch(r"[0-9]{1,18}", text) else None
    return number if number is not None and number >= least else None


def _link(request: Request, limit: int, offset: int) -> str:
    query = {**request.args.to_dict(), "limit": str(limit), "offset": str(offset)}
    if offset <= 0:
        del query["offset"]
    return f"{request.base_url}?{urlencode(sorted(query.items()))}"


def linked(value: Any, prefix: str) -> str:
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
