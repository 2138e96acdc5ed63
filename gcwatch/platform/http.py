"""HTTP for the platform: two kinds of sessions, limited retries, and gcwatch's own errors.

Only the API session sends the token, and only to the API's own origin; presigned URLs use sessions
without a token. HTTP_PROXY, HTTPS_PROXY and netrc are ignored; the proxy is set in the config.
Only repeatable calls are repeated here. After a lost reply to another call, its caller finds out
what happened (platform 10.1).
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests
from pydantic_core import from_json
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from gcwatch.config.types import is_loopback
from gcwatch.core.case import LONGEST_WAIT_SECONDS
from gcwatch.core.errors import NotYet, Refused, TokenRefused, TryAgain, Unreachable
from gcwatch.core.reasons import Reason
from gcwatch.platform.models import wrong_answer

CONNECT_SECONDS, READ_SECONDS = 10.0, 150.0
CHUNK_BYTES = 1 << 18
_REPEATABLE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT"})
_READING = frozenset({"GET", "OPTIONS"})
"""Methods that change nothing."""
_TRANSIENT_STATUSES = frozenset({500, 502, 503, 504})
_BUSY_SECONDS = 60.0
"""The wait if a 429 names none."""
_SHORTEST_BUSY_SECONDS = 1.0
_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]+")


def origin_of(url: str) -> tuple[str, str]:
    """Given a URL, return its scheme, host and port; a token is only sent to one origin."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


class _Bearer(requests.auth.AuthBase):
    """Adds the token to requests to one origin, and to no others."""

    def __init__(self, home: str, token: Callable[[], str]) -> None:
        self._home = origin_of(home)
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if origin_of(request.url or "") == self._home:
            request.headers["Authorization"] = f"Bearer {self._token()}"
        return request


class _Adapter(HTTPAdapter):
    """Sets the time-outs and retries of all requests."""

    def __init__(self) -> None:
        retry = Retry(
            total=3,
            backoff_factor=0.2,
            allowed_methods=_REPEATABLE_METHODS,
            status_forcelist=_TRANSIENT_STATUSES,
            respect_retry_after_header=False,  # a long wait is in the journal, not in a thread
            raise_on_status=False,
        )
        super().__init__(max_retries=retry, pool_maxsize=1)

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["timeout"] = (CONNECT_SECONDS, READ_SECONDS)
        return super().send(*args, **kwargs)


class Http:
    """HTTP for one platform. Threads may share it: each gets its own sessions.

    Args:
        home: The API's URL, with a slash at the end.
        token: Returns the current token.
        ca_bundle: A file with certificates, if the platform's is not publicly signed.
        proxy: The URL of a proxy, if one is needed.
    """

    def __init__(
        self,
        home: str,
        token: Callable[[], str],
        *,
        ca_bundle: str | None = None,
        proxy: str | None = None,
    ) -> None:
        self.home = home
        self._auth = _Bearer(home, token)
        self._verify = ca_bundle or True
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._local = threading.local()
        self._opened: list[requests.Session] = []

    def close(self) -> None:
        """Close every thread's connections."""
        for session in self._opened:
            session.close()

    def call(self, method: str, url: str, body: Any = None) -> Any:
        """Given an API call, return its answer's JSON.

        Raises:
            TokenRefused: when the status is 401.
            Refused: when the status is another 4xx.
            NotYet: when the platform asks to wait (429).
            Unreachable: when no valid answer came.
        """
        name = f"{method} {urlsplit(url).path}"
        with _translate_errors(name, method):
            response = self._session("api").request(method, url, json=body, allow_redirects=False)
        return _read_reply(name, method, response)

    def put(self, url: str, body: Any) -> requests.Response:
        """Given a presigned URL and a body with a length, store the body; return the reply.

        Raises:
            TryAgain: when the URL is not https; patients' images are never sent unencrypted.
            Unreachable: when no reply came.
        """
        _require_https(url)
        with _translate_errors("PUT storage", "PUT"):
            return self._session("bare").put(url, data=body, allow_redirects=False)

    @contextmanager
    def stream(self, url: str, offset: int) -> Iterator[requests.Response]:
        """Given a media URL, open the file that it redirects to, from byte *offset* on.

        The token is sent to the API's origin only; the storage's URL contains its own signature.
        """
        _require_https(url)
        call = f"GET {urlsplit(url).path}"
        headers = {"Accept-Encoding": "identity"}
        with _translate_errors(call, "GET"):
            reply = self._session("api").get(
                url, headers=headers, allow_redirects=False, stream=True
            )
            target = reply.headers.get("Location")
            if target:
                reply.close()
                _require_https(target)
                if offset:
                    headers["Range"] = f"bytes={offset}-"
                reply = self._session("bare").get(
                    target, headers=headers, allow_redirects=False, stream=True
                )
            with reply:
                yield reply

    @contextmanager
    def signed(
        self, method: str, url: str, headers: Mapping[str, str], data: str | None
    ) -> Iterator[requests.Response]:
        """Given a request with its own signature, send it unchanged, without the token."""
        _require_https(url)
        with (
            _translate_errors(f"{method} {urlsplit(url).path}", "GET"),
            self._session("bare").request(
                method, url, headers={**headers}, data=data, allow_redirects=False, stream=True
            ) as reply,
        ):
            yield reply

    def _session(self, kind: str) -> requests.Session:
        session: requests.Session | None = getattr(self._local, kind, None)
        if session is None:
            session = requests.Session()
            session.trust_env = False
            session.verify = self._verify
            session.proxies.update(self._proxies)
            session.headers["Accept"] = "application/json" if kind == "api" else "*/*"
            session.auth = self._auth if kind == "api" else None
            session.mount("https://", _Adapter())
            session.mount("http://", _Adapter())
            setattr(self._local, kind, session)
            self._opened.append(session)
        return session


def _require_https(url: str) -> None:
    """Given a URL from the platform, raise TryAgain (`insecure`) if it is not encrypted."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise TryAgain(Reason("insecure", {"host": parts.hostname or "without a host"}))


@contextmanager
def _translate_errors(call: str, method: str) -> Iterator[None]:
    """Turn errors of requests into Unreachable; its `doubt` is False if nothing was sent."""
    try:
        yield
    except requests.RequestException as error:
        never_sent = isinstance(error, requests.ConnectTimeout) or _refused_connection(error)
        doubt = method not in _READING and not never_sent
        raise Unreachable(_unreachable_reason(call, error), doubt=doubt) from error
    except OSError as error:
        if not _is_missing_bundle(error):
            raise
        problem = "the file of certificates, ca_bundle, can't be read"
        reason = Reason("untrusted_certificate", {"call": call, "problem": problem})
        raise Unreachable(reason) from error


def _unreachable_reason(call: str, error: requests.RequestException) -> Reason:
    if isinstance(error, requests.exceptions.SSLError):
        # The sentence of OpenSSL: "self-signed certificate in certificate chain", "… expired".
        told = re.search(r"verify failed: ([^(\[]*)", str(error))
        problem = told[1].strip(" .'\"") if told else "the encrypted connection could not be made"
        return Reason("untrusted_certificate", {"call": call, "problem": problem})
    return Reason("unreachable", {"call": call, "error": type(error).__name__})


def _is_missing_bundle(error: OSError) -> bool:
    """Whether requests can't find the file of certificates; it then raises a bare OSError."""
    return "TLS CA certificate bundle" in str(error)


def _refused_connection(error: requests.RequestException) -> bool:
    return "NewConnectionError" in repr(error) or "NameResolutionError" in repr(error)


def _read_reply(call: str, method: str, response: requests.Response) -> Any:
    """Given a reply of the API, return its JSON, or raise its status as an error."""
    status = response.status_code
    if status == HTTPStatus.UNAUTHORIZED:
        raise TokenRefused("; ".join(_error_sentences(response, _json_or_none(response))))
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise busy_error(response)
    body = _json_or_none(response)
    if body is None and status < 300:
        raise wrong_answer(call, f"status {status} without JSON", doubt=method not in _READING)
    if status >= 500 or 300 <= status < 400:
        reason = Reason("server_error", {"call": call, "status": status})
        raise Unreachable(reason, doubt=method not in _READING)
    if status >= 400:
        fields = body if isinstance(body, dict) else ()
        raise Refused(call, status, _error_sentences(response, body), fields)
    return body


def _error_sentences(response: requests.Response, body: Any) -> list[str]:
    """Given an error's body, return its sentences without the token or a signed URL's query."""
    # A proxy may repeat the request in its error, and the sentences are kept in the journal.
    token = response.request.headers.get("Authorization", "").rpartition(" ")[2]
    found = [each.replace(token, "[hidden]") if token else each for each in _collect_messages(body)]
    return [_QUERY.sub(r"\1?[hidden]", message) for message in found]


def busy_error(response: requests.Response) -> NotYet:
    """Given a reply with status 429, return the error with the seconds to wait."""
    asked = response.headers.get("Retry-After", "")
    # More digits than these are no number of seconds that anybody means.
    wait = float(asked[:20]) if re.fullmatch("[0-9]+", asked) else _BUSY_SECONDS
    if wait <= LONGEST_WAIT_SECONDS:
        wait = max(wait, _SHORTEST_BUSY_SECONDS)
        return NotYet(Reason("busy", {"seconds": wait, "message": "429"}), wait)
    facts = {"asked": _long_span(wait), "seconds": LONGEST_WAIT_SECONDS}
    return NotYet(Reason("busy_long", facts), LONGEST_WAIT_SECONDS)


def _long_span(seconds: float) -> str:
    """Given more than a day in seconds, return it in words; some servers send an epoch."""
    days = seconds / 86400
    return f"{days:.0f} days" if days < 3650 else "more than 10 years"


def _json_or_none(response: requests.Response) -> Any:
    """Return a reply's JSON, or None if it is something else, such as an HTML error page."""
    try:
        # This reader limits the depth, and refuses what is no Unicode; Python's own does not.
        return from_json(response.content)
    except ValueError:
        return None


def _collect_messages(body: Any) -> Sequence[str]:
    """Given an error body (platform 1.9), return its sentences, the outermost first."""
    match body:
        case str():
            return [body]
        case dict():
            return [message for value in body.values() for message in _collect_messages(value)]
        case list():
            return [message for value in body for message in _collect_messages(value)]
        case _:
            return []
