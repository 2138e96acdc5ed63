"""What platform.http promises of servers that never end: a deadline and a size for every answer."""

import gzip
import socket
import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest

from gcwatch.core.errors import Stopped, TryAgain, Unreachable
from gcwatch.platform import http as http_module
from gcwatch.platform.addresses import require_https
from gcwatch.platform.http import Http
from gcwatch.platform.replies import MOST_ANSWER_VALUES

SOON_SECONDS = 0.4
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
PAUSE_SECONDS = 0.05


@contextmanager
def serving(*pieces, pause=0.0, head=b""):
    """A server that sends *head*, and then the pieces again and again until nobody listens."""
    gone = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        threads = []

        def answer(connection):
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(head)
                while not gone.wait(pause):
                    for piece in pieces:
                        connection.sendall(piece)

        def accept():
            with suppress(OSError):
                while True:
                    thread = threading.Thread(target=answer, args=(server.accept()[0],))
                    thread.start()
                    threads.append(thread)

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            home = f"http://127.0.0.1:{server.getsockname()[1]}/api/v1/"
            with closing(Http(home, lambda: "0" * 64)) as http:
                yield http
        finally:
            gone.set()
            server.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join()


def download(http, limit):
    """Read what is at the root of the API as if it were a file; return the reply's status."""
    with http.stream(http.home, 0) as reply:
        for _ in reply.read_chunks(1024, limit):
            pass
        return reply.status_code


def outcome_of(http):
    """What becomes of a download: a status, or why there is none."""
    try:
        return str(download(http, 1))
    except (TryAgain, Unreachable) as error:
        return error.reason.facts.get("error", error.reason.code)


DRIPS = {
    "status": b"",
    "headers": b"HTTP/1.1 200 OK\r\n",
    "body": HEAD + b"Content-Length: 100000\r\n\r\n",
    "body without a length": HEAD + b"\r\n",
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("where", DRIPS)
def test_a_dripping_reply_costs_one_try(monkeypatch, where, method):
    """Each byte comes in time, so no time-out of a socket ever ends it; the deadline does."""
    monkeypatch.setattr(http_module, "CALL_SECONDS", SOON_SECONDS)
    drop = b"1\r\n \r\n" if where == "chunks" else b" " if "body" in where else b"x: y\r\n"
    begun = time.monotonic()
    with serving(drop, pause=PAUSE_SECONDS, head=DRIPS[where]) as http:
        with pytest.raises(Unreachable) as error:
            http.call(method, http.home)
        assert error.value.doubt == (method == "POST")
    assert time.monotonic() - begun < 10


def test_a_dripping_download_is_not_taken_for_a_complete_one(monkeypatch):
    """A body without a length ends with its connection, also when gcwatch ends it."""
    monkeypatch.setattr(http_module, "CALL_SECONDS", SOON_SECONDS)
    head = DRIPS["body without a length"]
    with serving(b"x", pause=PAUSE_SECONDS, head=head) as http, pytest.raises(Unreachable):
        download(http, 1 << 20)


def test_a_download_that_moves_has_more_time(monkeypatch):
    """The deadline is a floor of throughput, so large files arrive over slow lines."""
    monkeypatch.setattr(http_module, "CALL_SECONDS", SOON_SECONDS)
    head = DRIPS["body without a length"]
    begun = time.monotonic()
    slow = serving(bytes(4096), pause=PAUSE_SECONDS, head=head)
    with slow as http, pytest.raises(Unreachable) as error:
        download(http, 100_000)
    assert error.value.reason.facts["problem"] == "more than 100000 bytes"
    assert time.monotonic() - begun > 2 * SOON_SECONDS


@pytest.mark.parametrize("head", [HEAD, b"HTTP/1.1 503 Busy\r\n", b"HTTP/1.1 302 Found\r\n"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_endless_answer_is_not_read_to_its_end(head, method):
    """More than any real answer holds is trouble of the platform, whatever the status is."""
    head += b"Location: /elsewhere\r\n\r\n"
    with serving(b"[" * (1 << 16), head=head) as http, pytest.raises(Unreachable):
        http.call(method, http.home)


def test_an_answer_of_many_small_values_is_not_parsed():
    """Some megabytes of brackets would be hundreds of megabytes in memory."""
    body = b"[" + b"[]," * MOST_ANSWER_VALUES + b"1]"
    head = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    with serving(b"", head=head, pause=PAUSE_SECONDS) as http, pytest.raises(Unreachable) as error:
        http.call("GET", http.home)
    assert error.value.reason.code == "wrong_answer"


def test_a_compressed_answer_is_not_unpacked():
    """1 GB of zeros fits into 1 MB; nobody asked for compression."""
    body = gzip.compress(bytes(50 << 20))
    head = HEAD + f"Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with serving(b"", head=head, pause=PAUSE_SECONDS) as http, pytest.raises(Unreachable) as error:
        http.call("GET", http.home)
    assert "compressed" in error.value.reason.facts["problem"]


def test_a_stop_ends_calls_under_way_and_begins_none():
    """A daemon that waits for a dripping reply stops all the same."""
    begun = time.monotonic()
    with serving(b" ", pause=PAUSE_SECONDS, head=DRIPS["body"]) as http:
        threading.Timer(0.1, http.stop_within, [0.2]).start()
        for _ in range(2):
            with pytest.raises(Stopped):
                http.call("GET", http.home)
    assert time.monotonic() - begun < 10


@contextmanager
def hanging_resolver(monkeypatch):
    """A resolver of names that never answers; addresses need none."""
    gone, usual = threading.Event(), socket.getaddrinfo

    def look_up(host, *how):
        if host == "never.example":
            gone.wait(60)
        return usual(host, *how)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    try:
        yield
    finally:
        gone.set()


def calling(home):
    return closing(Http(home, lambda: "0" * 64))


def test_a_name_that_never_resolves_costs_one_try(monkeypatch):
    """The system's resolver can't be stopped, but nobody waits for it."""
    monkeypatch.setattr(http_module, "CONNECT_SECONDS", SOON_SECONDS)
    begun = time.monotonic()
    with hanging_resolver(monkeypatch), calling("https://never.example/api/v1/") as http:
        with pytest.raises(Unreachable) as error:
            http.call("POST", http.home)
        with pytest.raises(Unreachable):
            http.call("GET", http.home)
        waiting = [each for each in threading.enumerate() if each.name == "lookup"]
    assert not error.value.doubt  # nothing was sent
    assert time.monotonic() - begun < 10
    assert len(waiting) == 1


def test_a_stop_does_not_wait_for_a_name_or_a_connection(monkeypatch):
    """Neither does a daemon that stops."""
    monkeypatch.setattr(http_module, "CONNECT_SECONDS", 60.0)
    with full_server() as home, hanging_resolver(monkeypatch):
        for address in (home, "https://never.example/api/v1/"):
            begun = time.monotonic()
            with calling(address) as http:
                threading.Timer(0.1, http.stop_within, [0.2]).start()
                with pytest.raises(Stopped):
                    http.call("GET", http.home)
            assert time.monotonic() - begun < 10


@contextmanager
def full_server():
    """A server whose queue is full: the system does not answer who connects."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as stack:
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}/api/v1/"


def test_a_connection_that_hangs_costs_one_try(monkeypatch):
    """It is known that nothing was sent."""
    monkeypatch.setattr(http_module, "CONNECT_SECONDS", SOON_SECONDS)
    begun = time.monotonic()
    with full_server() as home, calling(home) as http, pytest.raises(Unreachable) as error:
        http.call("POST", http.home)
    assert (error.value.doubt, error.value.reason.facts["error"]) == (False, "ConnectTimeout")
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("url", "home", "is_safe"),
    [
        ("https://storage.example/x?y=z", "https://platform.example/api/v1/", True),
        ("http://storage.example/x", "https://platform.example/api/v1/", False),
        ("https://127.0.0.1/x", "https://platform.example/api/v1/", False),
        ("https://localhost/x", "https://platform.example/api/v1/", False),
        *(
            (f"https://{alias}/x", "https://platform.example/api/v1/", False)
            for alias in ("127.1", "0x7f.1", "2130706433", "0", "[::]", "[::ffff:127.0.0.1]")
        ),
        *(
            (f"https://{alias}/x", "https://platform.example/api/v1/", False)
            for alias in ("localhost.", "LOCALHOST", "x.localhost", "127.0.0.1.", "[::1%25lo]")
        ),
        ("http://[::1]/x", "https://platform.example/api/v1/", False),
        ("http://127.0.0.1:8/x", "http://127.0.0.1:9/api/v1/", True),
        ("http://storage.example/x", "http://127.0.0.1:9/api/v1/", False),
        ("http://127.0.0.1:8@storage.example/x", "http://127.0.0.1:9/api/v1/", False),
        ("file:///etc/passwd", "http://127.0.0.1:9/api/v1/", False),
        ("ftp://127.0.0.1/x", "http://127.0.0.1:9/api/v1/", False),
        ("https://[::1/x", "http://127.0.0.1:9/api/v1/", False),
        ("https://host:99999999/x", "https://platform.example/api/v1/", False),
        ("//storage.example/x", "https://platform.example/api/v1/", False),
        ("", "https://platform.example/api/v1/", False),
    ],
)
def test_only_safe_addresses_are_followed(url, home, is_safe):
    """By https to anywhere; to this machine only if the platform is on it."""
    if is_safe:
        require_https(url, home)
        return
    with pytest.raises(TryAgain) as error:
        require_https(url, home)
    assert error.value.reason.code == "insecure"


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:9\\@storage.example/x",
        "http://storage.example/x",
        "http://storage.example\t/x",
        "http:\\\\storage.example/x",
        "https://[::1/x",
        "file:///etc/passwd",
        "http://%31%32%37.0.0.1@storage.example/",
    ],
)
def test_a_redirect_is_judged_by_the_address_that_is_connected_to(target):
    """Two readers of one URL can see two hosts in it; the last one decides."""
    head = f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
    with serving(b"", head=head, pause=PAUSE_SECONDS) as http:
        outcome = outcome_of(http)
    # Or the second request came to this server again.
    assert outcome in {"insecure", "MissingSchema", "InvalidURL", "302"}
