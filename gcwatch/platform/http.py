"""HTTP for the platform: two kinds of sessions, limited retries, and gcwatch's own errors.

Only the API session sends the token, and only to the API's own origin; presigned URLs use sessions
without a token. HTTP_PROXY, HTTPS_PROXY and netrc are ignored; the proxy is set in the config.
Only repeatable calls are repeated here. After a lost reply to another call, its caller finds out
what happened (platform 10.1).
"""

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from gcwatch.core.errors import Stopped, Unreachable
from gcwatch.core.reasons import Reason
from gcwatch.platform.addresses import join, origin_of, require_https, require_safe_host
from gcwatch.platform.certificates import Certificates, UnreadableCertificatesError
from gcwatch.platform.deadlines import POOL_CLASSES, Call, Deadlines
from gcwatch.platform.models import wrong_answer
from gcwatch.platform.replies import READING_METHODS, busy_error, read_reply
from gcwatch.platform.throttle import Throttle
from gcwatch.platform.traffic import Traffic
from gcwatch.threads.heartbeats import before_write

CONNECT_SECONDS, READ_SECONDS = 10.0, 150.0
CALL_SECONDS = 160.0
"""A call ends after so long, its tries included; a transfer has more time the more bytes move."""
LARGEST_ANSWER_BYTES = 16 << 20
"""A thousand items with all their values are 3 MB."""
_LARGEST_STORAGE_ANSWER_BYTES = 1 << 20
CHUNK_BYTES = 1 << 18
_REPEATABLE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT"})
_REPEAT_SECONDS = (0.2, 0.4, 0.8)
"""Pauses before a repeatable call is repeated after a transient status."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRANSIENT_STATUSES = frozenset({500, 502, 503, 504})


class _Bearer(requests.auth.AuthBase):
    """Adds the token to requests to one origin, and to no others."""

    def __init__(self, home: str, token: Callable[[], str]) -> None:
        self._home = origin_of(home)
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if origin_of(request.url or "") == self._home:
            request.headers["Authorization"] = f"Bearer {self._token()}"
        return request


class _Session(requests.Session):
    """A session that follows no redirect, and keeps nothing of what a server sends."""

    def __init__(self) -> None:
        super().__init__()
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - as requests names it
        """Return None: requests would read the whole body of a redirect that it does not follow."""
        return None


class _Adapter(HTTPAdapter):
    """Sets the time-outs and retries of all requests; it connects to safe addresses only."""

    def __init__(self, home: str, certificates: Certificates) -> None:
        self._home = home
        self._certificates = certificates
        retry = Retry(
            total=3,
            status=0,  # statuses are repeated by `_send`: urllib3 would read their whole bodies
            backoff_factor=0.2,
            allowed_methods=_REPEATABLE_METHODS,
            respect_retry_after_header=False,  # a long wait is in the journal, not in a thread
            raise_on_status=False,
        )
        super().__init__(max_retries=retry, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make connections that can be ended at a deadline."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOL_CLASSES

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Make connections through a proxy that can be ended at a deadline."""
        context = self._certificates.context() if proxy.startswith("https:") else None
        manager = super().proxy_manager_for(proxy, proxy_ssl_context=context, **kwargs)
        manager.pool_classes_by_scheme = POOL_CLASSES
        return manager

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        """Return the host to connect to; raise TryAgain (`insecure`) if it is not a safe one."""
        # This is the last look at the address: what is decided on is what is connected to.
        host, pool = super().build_connection_pool_key_attributes(*args, **kwargs)
        require_safe_host(host["scheme"], host["host"] or "", self._home)
        if host["scheme"] == "https":
            pool = {"cert_reqs": "CERT_REQUIRED", "ssl_context": self._certificates.context()}
        return host, pool

    def cert_verify(self, *args: Any) -> None:
        """Do nothing: requests would load the certificates again for each connection."""

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["timeout"] = (CONNECT_SECONDS, READ_SECONDS)
        return super().send(*args, **kwargs)


class Reply:
    """A reply whose body has not been read yet: its status, its headers, and the body in chunks."""

    def __init__(self, response: requests.Response, call: Call, name: str) -> None:
        self.status_code = response.status_code
        self.headers = response.headers
        self._response, self._call, self._name = response, call, name

    def read_chunks(self, size: int, limit: int) -> Iterator[bytes]:
        """Yield the body in chunks of at most *size* bytes.

        Raises:
            Unreachable: when it is longer than *limit* bytes, or compressed, which nobody asked
                for: a small body could become a very large one.
        """
        if self.headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
            raise wrong_answer(self._name, "a body that is compressed")
        total = 0
        for chunk in self._response.iter_content(size):
            total += len(chunk)
            if total > limit:
                self._response.close()
                raise wrong_answer(self._name, f"more than {limit} bytes")
            self._call.moved(len(chunk))
            yield chunk

    def read(self, limit: int) -> bytes:
        """Return the whole body; raise as `read_chunks` does."""
        return b"".join(self.read_chunks(CHUNK_BYTES, limit))


class _CountedBody:
    """A request's body within the limit of uploads; it gives its call more time for each slice."""

    def __init__(self, body: Any, call: Call, throttle: Throttle) -> None:
        self._body, self._call, self._throttle = body, call, throttle

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[Any]:
        call = self._call
        for chunk in self._body:
            for each in self._throttle.slices(
                chunk, on_wait=call.paused, is_over=lambda: call.is_over
            ):
                yield each
                call.moved(len(each))


class Http:
    """HTTP for one platform. Threads may share it: each gets its own sessions.

    Args:
        home: The API's URL, with a slash at the end.
        token: Returns the current token.
        ca_bundle: A file with certificates, if the platform's is not publicly signed.
        proxy: The URL of a proxy, if one is needed.
        traffic: Where requests are counted.
        throttle: What slows uploads.
    """

    def __init__(
        self,
        home: str,
        token: Callable[[], str],
        *,
        ca_bundle: str | None = None,
        proxy: str | None = None,
        traffic: Traffic | None = None,
        throttle: Throttle | None = None,
    ) -> None:
        self.home = home
        self._traffic, self._throttle = traffic or Traffic(), throttle or Throttle()
        self._auth = _Bearer(home, token)
        self._certificates = Certificates(ca_bundle)
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._local = threading.local()
        self._opened: list[requests.Session] = []
        self._deadlines = Deadlines()

    def close(self) -> None:
        """Close every thread's connections."""
        self._deadlines.close()
        for session in self._opened:
            session.close()

    def stop_within(self, seconds: float) -> None:
        """End all calls within some seconds: they raise Stopped, and so does each new one."""
        self._deadlines.stop_within(seconds)

    def call(self, method: str, url: str, body: Any = None) -> Any:
        """Given an API call, return its answer's JSON.

        Raises:
            TokenRefused: when the status is 401.
            Refused: when the status is another 4xx.
            NotYet: when the platform asks to wait (429).
            Unreachable: when no valid answer came.
        """
        name = f"{method} {urlsplit(url).path}"
        if method not in _REPEATABLE_METHODS:
            before_write()
        with self._limited(name, method) as call:
            response = self._send(call, "api", method, url, json=body)
            with response:
                content = Reply(response, call, name).read(LARGEST_ANSWER_BYTES)
        return read_reply(name, method, response, content)

    @contextmanager
    def _limited(self, name: str, method: str) -> Iterator[Call]:
        """Make a call that ends in time; errors of requests become gcwatch's own."""
        with self._deadlines.call(CALL_SECONDS) as call:
            try:
                with _translate_errors(name, method):
                    yield call
                problem: Unreachable | None = None
            except Unreachable as error:
                problem = error
            # A body without a length seems to be complete when its connection is broken.
            if call.is_over and self._deadlines.is_stopping:
                raise Stopped
            if call.is_over or problem is not None:
                self._traffic.unanswered()
            if call.is_over:
                facts = {"call": name, "error": "there was no complete answer in time"}
                raise Unreachable(Reason("unreachable", facts), doubt=method not in READING_METHODS)
            if problem is not None:
                raise problem

    def _send(self, call: Call, kind: str, method: str, url: str, **how: Any) -> requests.Response:
        """Send a request; repeat it after a transient status, if it is repeatable."""
        session = self._session(kind)
        for pause in (*_REPEAT_SECONDS, None):
            response = session.request(method, url, allow_redirects=False, stream=True, **how)
            self._traffic.answered(response.status_code)
            if kind == "api" and response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                self._traffic.asked_to_wait(busy_error(response.headers).wait)
            again = response.status_code in _TRANSIENT_STATUSES and method in _REPEATABLE_METHODS
            if not again or pause is None or call.is_over:
                break
            response.close()
            time.sleep(pause)
        return response

    def put(self, url: str, body: Any) -> Reply:
        """Given a presigned URL and a body with a length, store the body; return the reply.

        Raises:
            TryAgain: when the URL is not https; patients' images are never sent unencrypted.
            Unreachable: when no reply came.
        """
        require_https(url, self.home)
        with self._limited("PUT storage", "PUT") as call:
            data = body if isinstance(body, bytes) else _CountedBody(body, call, self._throttle)
            with self._send(call, "bare", "PUT", url, data=data) as response:
                reply = Reply(response, call, "PUT storage")
                reply.read(_LARGEST_STORAGE_ANSWER_BYTES)
            return reply

    @contextmanager
    def stream(self, url: str, offset: int, etag: str = "") -> Iterator[Reply]:
        """Given a media URL, open the file that it redirects to, from byte *offset* on.

        With an *etag*, a file of another version is sent from its beginning.

        The token is sent to the API's origin only; the storage's URL contains its own signature.
        """
        require_https(url, self.home)
        name = f"GET {urlsplit(url).path}"
        with self._limited(name, "GET") as call:
            response = self._send(call, "api", "GET", url)
            if response.status_code in _REDIRECTS:
                response.close()
                target = join(url, response.headers.get("Location", ""))
                require_https(target, self.home)
                headers = {"Range": f"bytes={offset}-"} if offset else {}
                headers |= {"If-Range": etag} if offset and etag else {}
                response = self._send(call, "bare", "GET", target, headers=headers)
            with response:
                yield Reply(response, call, name)

    @contextmanager
    def signed(
        self, method: str, url: str, headers: Mapping[str, str], data: str | None
    ) -> Iterator[Reply]:
        """Given a request with its own signature, send it unchanged, without the token."""
        require_https(url, self.home)
        name = f"{method} {urlsplit(url).path}"
        with (
            self._limited(name, "GET") as call,
            self._send(call, "bare", method, url, headers={**headers}, data=data) as response,
        ):
            yield Reply(response, call, name)

    def _session(self, kind: str) -> requests.Session:
        session: requests.Session | None = getattr(self._local, kind, None)
        if session is None:
            session = _Session()
            session.trust_env = False
            session.proxies.update(self._proxies)
            session.headers["Accept"] = "application/json" if kind == "api" else "*/*"
            session.headers["Accept-Encoding"] = "identity"
            session.auth = self._auth if kind == "api" else None
            session.mount("https://", _Adapter(self.home, self._certificates))
            session.mount("http://", _Adapter(self.home, self._certificates))
            setattr(self._local, kind, session)
            self._opened.append(session)
        return session


@contextmanager
def _translate_errors(call: str, method: str) -> Iterator[None]:
    """Turn errors of requests into Unreachable; its `doubt` is False if nothing was sent."""
    try:
        yield
    except (requests.RequestException, HTTPError, UnicodeError) as error:
        never_sent = isinstance(error, requests.ConnectTimeout) or _refused_connection(error)
        doubt = method not in READING_METHODS and not never_sent
        raise Unreachable(_unreachable_reason(call, error), doubt=doubt) from error
    except UnreadableCertificatesError as error:
        problem = "the file of certificates, ca_bundle, can't be read"
        reason = Reason("untrusted_certificate", {"call": call, "problem": problem})
        raise Unreachable(reason) from error


def _unreachable_reason(call: str, error: Exception) -> Reason:
    if isinstance(error, requests.exceptions.SSLError):
        # The sentence of OpenSSL: "self-signed certificate in certificate chain", "… expired".
        told = re.search(r"verify failed: ([^(\[]*)", str(error))
        problem = told[1].strip(" .'\"") if told else "the encrypted connection could not be made"
        return Reason("untrusted_certificate", {"call": call, "problem": problem})
    return Reason("unreachable", {"call": call, "error": type(error).__name__})


def _refused_connection(error: Exception) -> bool:
    return "NewConnectionError" in repr(error) or "NameResolutionError" in repr(error)
