"""Uploads that share a limit: on a clock that moves only when somebody waits."""

import hashlib
import socketserver
import threading
from contextlib import closing

import pytest
from support.builders import Site, until

from gcwatch import config
from gcwatch.core.errors import Unreachable
from gcwatch.platform import deadlines
from gcwatch.platform import http as http_module
from gcwatch.platform.http import Http
from gcwatch.platform.throttle import Throttle

KIB = 1024


class Waited:
    """A clock, and the sleep that moves it."""

    def __init__(self):
        self.now = 1000.0

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def waited():
    return Waited()


def throttle(waited, rate):
    return Throttle(lambda: rate, clock=waited.clock, sleep=waited.sleep)


def send(limit, content, told=None):
    waits = [] if told is None else told
    return b"".join(bytes(each) for each in limit.slices(content, on_wait=waits.append))


def test_without_a_limit_a_chunk_stays_whole(waited):
    pieces = [*throttle(waited, None).slices(b"x" * KIB, on_wait=lambda _: None)]
    assert (len(pieces), waited.now) == (1, 1000.0)


def test_the_limit_holds_and_the_bytes_are_the_same(waited):
    """Less than a slice is sent at once at the begin; each wait is told, to the second."""
    content, waits = bytes(range(256)) * 400, []
    limit = throttle(waited, 10 * KIB)
    assert send(limit, content, waits) == content
    assert waited.now - 1000 == pytest.approx(len(content) / (10 * KIB), abs=0.6)
    assert sum(waits) == pytest.approx(waited.now - 1000)


def test_all_uploads_share_the_limit_and_take_turns(waited):
    """Nobody waits longer than a slice of each of the others."""
    limit = throttle(waited, 10 * KIB)
    bodies = [limit.slices(b"x" * 20 * KIB, on_wait=lambda _: None) for _ in range(8)]
    begin, sent, last = waited.now, 0, {}
    for _ in range(8):
        for number, body in enumerate(bodies):
            sent += len(next(body))
            assert waited.now - last.get(number, begin) < 8 * 0.26
            last[number] = waited.now
    assert sent / (waited.now - begin) == pytest.approx(10 * KIB, rel=0.05)


def test_what_was_not_used_is_not_made_up_for(waited):
    """After an hour without uploads the limit is as before."""
    limit = throttle(waited, 10 * KIB)
    send(limit, b"x" * KIB)
    waited.now += 3600
    begin = waited.now
    send(limit, b"x" * 100 * KIB)
    assert waited.now - begin == pytest.approx(10, abs=0.6)


def test_another_limit_holds_from_the_next_slice_on(waited):
    """A time of the day begins, or a reload comes, in the middle of an upload."""
    rates = [10 * KIB]
    limit = Throttle(lambda: rates[0], clock=waited.clock, sleep=waited.sleep)
    body = limit.slices(b"x" * 100 * KIB, on_wait=lambda _: None)
    assert len(next(body)) == 2.5 * KIB
    rates[0] = 100 * KIB
    assert len(next(body)) == 25 * KIB
    rates[0] = None
    assert len(next(body)) == 72.5 * KIB


def test_a_wait_ends_when_the_call_is_over(waited):
    limit = throttle(waited, KIB)
    send(limit, b"x" * KIB)
    begin = waited.now
    [*limit.slices(b"x" * 100 * KIB, on_wait=lambda _: None, is_over=lambda: True)]
    assert waited.now == begin


# --- over a connection ---------------------------------------------------------------------------


class Body:
    """A body that comes in chunks, as a part of a file does."""

    def __init__(self, content):
        self.content = content

    def __len__(self):
        return len(self.content)

    def __iter__(self):
        for at in range(0, len(self.content), 16 * KIB):
            yield memoryview(self.content)[at : at + 16 * KIB]


class _Store(socketserver.StreamRequestHandler):
    def handle(self):
        length = 0
        while (line := self.rfile.readline()) not in {b"\r\n", b""}:
            if line.lower().startswith(b"content-length:"):
                length = int(line.split()[1])
        self.server.got.append(hashlib.md5(self.rfile.read(length)).hexdigest())
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.fixture
def store():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Store) as server:
        server.got = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Seen(Throttle):
    """A limit that remembers the call under way, and the waits that it told it."""

    def __init__(self, waited, rate):
        super().__init__(lambda: rate, clock=waited.clock, sleep=waited.sleep)
        self.call, self.first_deadline, self.waits = None, 0.0, []

    def slices(self, chunk, *, on_wait, is_over):
        def wait(seconds):
            self.waits.append(seconds)
            on_wait(seconds)

        if self.call is None:
            self.call = on_wait.__self__
            self.first_deadline = self.call.deadline
        return super().slices(chunk, on_wait=wait, is_over=is_over)


def put(store, body, limit):
    home = f"http://127.0.0.1:{store.server_address[1]}/api/v1/"
    with closing(Http(home, lambda: "0" * 64, throttle=limit)) as http:
        return http.put(f"{home}part", body).status_code


def test_a_limited_upload_is_not_taken_for_a_server_that_does_not_answer(store, waited):
    """It takes longer than a call may: the deadline moves by each wait, and by the bytes."""
    content, limit = bytes(range(256)) * 1024, Seen(waited, 1.0 * KIB)
    assert put(store, Body(content), limit) == 200
    assert store.got == [hashlib.md5(content).hexdigest()]
    assert sum(limit.waits) > http_module.CALL_SECONDS
    for_bytes = len(content) / deadlines.SLOWEST_BYTES_A_SECOND
    moved = limit.call.deadline - limit.first_deadline
    assert moved == pytest.approx(sum(limit.waits) + for_bytes)


def test_an_upload_that_is_slow_by_itself_is_still_ended(store, waited, monkeypatch):
    """The limit is no excuse for a server, or a disk, that is slower than that."""
    monkeypatch.setattr(http_module, "CALL_SECONDS", 0.2)
    monkeypatch.setattr(deadlines, "SLOWEST_BYTES_A_SECOND", 1e12)
    limit = Seen(waited, 1e6)

    class Slow(Body):
        def __iter__(self):
            yield b"x" * KIB
            until(lambda: limit.call.is_over)
            yield b"x" * (len(self) - KIB)

    with pytest.raises(Unreachable):
        put(store, Slow(b"x" * 64 * KIB), limit)


def test_a_reload_changes_the_limit_of_the_uploads_under_way(tmp_path, sandbox):
    """They keep their connections, and all connections share one limit."""
    site = Site(tmp_path / "site", sandbox)
    site.configure(limits={"upload": '"256 kbit/s"'})
    with site.watch() as watch:
        limit = watch.platform.http._throttle
        assert len(next(limit.slices(b"x" * 64 * KIB, on_wait=lambda _: None))) == 8000
        site.configure(limits={"connections": 2})
        watch.follow(config.load(site.file))
        assert watch.platform.http._throttle is limit
        assert len(next(limit.slices(b"x" * 64 * KIB, on_wait=lambda _: None))) == 64 * KIB
