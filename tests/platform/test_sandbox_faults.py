"""Faults of the sandbox: what goes wrong is what was asked for, and nothing else."""

import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import pytest
import requests
from support.builders import until
from support.sandbox_user import SandboxUser, mha

from gcwatch.sandbox import Sandbox


@pytest.fixture
def sandbox(tmp_path):
    with Sandbox(tmp_path / "sandbox") as running:
        yield running


@pytest.fixture
def alice(sandbox):
    with SandboxUser(sandbox) as user:
        yield user


@pytest.fixture
def child():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def control(sandbox, name, **arguments):
    return requests.post(sandbox.control + name, json=arguments, timeout=60)


def test_status_fault_answers_instead(sandbox, alice):
    """The nth matching call gets the status, and nothing is applied."""
    sandbox.fault("status", method="POST", path="uploads/$", nth=2, status=502)
    statuses = [alice.call("POST", "uploads/", {"filename": "x"}).status_code for _ in range(3)]
    assert statuses == [201, 502, 201]
    assert sandbox.state()["counts"]["uploads"] == 2


def test_status_fault_has_body_and_headers(sandbox, alice):
    """A throttle can be played with its Retry-After."""
    sandbox.fault(
        "status", status=429, body='{"detail": "slow"}', headers={"Retry-After": "7"}, times=None
    )
    for _ in range(2):
        reply = alice.call("GET", "algorithms/")
        assert (reply.status_code, reply.json()) == (429, {"detail": "slow"})
        assert reply.headers["Retry-After"] == "7"
    sandbox.clear_faults()
    assert alice.call("GET", "algorithms/").status_code == 200


def test_cut_before_applies_nothing(sandbox, alice):
    """The connection breaks and the call never happened."""
    sandbox.fault("cut_before", method="POST")
    with pytest.raises(requests.ConnectionError):
        alice.call("POST", "uploads/", {"filename": "x"})
    assert sandbox.state()["counts"]["uploads"] == 0
    assert [(call["status"], call["applied"]) for call in sandbox.calls()] == [(0, False)]


def test_cut_after_loses_only_the_reply(sandbox, alice):
    """The connection breaks and the call did happen."""
    sandbox.fault("cut_after", method="POST")
    with pytest.raises(requests.ConnectionError):
        alice.call("POST", "uploads/", {"filename": "x"})
    assert sandbox.state()["counts"]["uploads"] == 1
    assert [(call["status"], call["applied"]) for call in sandbox.calls()] == [(0, True)]


def test_cut_of_a_part_keeps_or_loses_it(sandbox, alice):
    """Storage is cut like the API."""
    upload = alice.begin()
    sandbox.fault("cut_before", host="storage")
    sandbox.fault("cut_after", host="storage", nth=2)
    for kept in (0, 1):
        with pytest.raises(requests.ConnectionError):
            alice.put(alice.url_of(upload), data=b"x" * 5_000_000, timeout=60)
        assert len(alice.tell(f"{upload['actions']}/list-parts/")["parts"]) == kept


def test_truncated_download_promises_more(sandbox, alice):
    """A body ends before its Content-Length."""
    _, job = alice.copy(mha(*range(50)))
    image = alice.tell(next(each["image"] for each in job["outputs"] if each["image"]))
    media = image["files"][0]["file"]
    sandbox.fault("truncate", host="storage", method="GET", keep=10)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        alice.download(media)
    assert len(alice.download(media).content) > 10


def test_each_reply_is_lost_once(sandbox, alice):
    """Every sort of call loses its first reply, after it was applied."""
    sandbox.lose_each_once()
    for path in ("uploads/", "algorithms/"):
        with pytest.raises(requests.ConnectionError):
            alice.call("GET", path)
        assert alice.call("GET", path).status_code == 200
    with pytest.raises(requests.ConnectionError):
        alice.call("POST", "uploads/", {"filename": "a"})
    upload = alice.begin("b")
    assert alice.tell("uploads/")["count"] == 2
    with pytest.raises(requests.ConnectionError):
        alice.call("GET", upload["api_url"])
    (other,) = {row["api_url"] for row in alice.tell("uploads/")["results"]} - {upload["api_url"]}
    assert alice.call("GET", other).status_code == 200


def test_kill_after_a_write(sandbox, alice, child):
    """The process dies with the second write, which is applied and not answered."""
    sandbox.kill(child.pid, after_write=2)
    upload = alice.begin()
    url = alice.url_of(upload)
    assert child.poll() is None
    with pytest.raises(requests.ConnectionError):
        alice.put(url, data=b"x", timeout=60)
    assert child.wait(60) == -signal.SIGKILL
    assert len(alice.tell(f"{upload['actions']}/list-parts/")["parts"]) == 1


def test_kill_after_a_call(sandbox, alice, child):
    """Every call counts, reads too."""
    sandbox.kill(child.pid, after_call=2)
    alice.call("GET", "gcapi/")
    with pytest.raises(requests.ConnectionError):
        alice.call("GET", "gcapi/")
    assert child.wait(60) == -signal.SIGKILL


def test_delay_holds_a_reply_back(sandbox, alice):
    """A client that is less patient than the delay times out; the call is applied."""
    sandbox.fault("delay", method="POST", seconds=30)
    with pytest.raises(requests.ReadTimeout):
        alice.post(f"{alice.root}uploads/", json={"filename": "x"}, timeout=0.2)


def test_what_a_fault_holds_back_comes_once_it_is_forgotten(sandbox, alice):
    """The rest of a file that comes slowly, at once."""
    _, job = alice.copy(mha(*range(50)))
    image = alice.tell(next(each["image"] for each in job["outputs"] if each["image"]))
    sandbox.fault("trickle", host="storage", method="GET", keep=10, seconds=10_000)
    with alice.download(image["files"][0]["file"], stream=True) as reply:
        begun = reply.raw.read(10)
        sandbox.clear_faults()
        assert len(begun + reply.raw.read()) == int(reply.headers["Content-Length"])


def test_calls_are_recorded_until_forgotten(sandbox, alice):
    """Each call is on record with its host and whether it changed anything."""
    upload = alice.begin()
    alice.put(alice.url_of(upload), data=b"x", timeout=60)
    seen = [(call["method"], call["host"], call["applied"]) for call in sandbox.calls()]
    assert seen == [("POST", "api", True), ("PATCH", "api", False), ("PUT", "storage", True)]
    sandbox.forget_calls()
    assert sandbox.calls() == []


def test_controls_work_from_outside(sandbox, alice):
    """What a test can do, a shell can do: POST JSON to the control endpoint."""
    upload = alice.begin()
    assert control(sandbox, "advance", seconds=86_401).status_code == 200
    assert alice.call("GET", upload["api_url"]).status_code == 404
    assert control(sandbox, "fault", action="status", status=500).json() is None
    assert alice.call("GET", "gcapi/").status_code == 500
    assert control(sandbox, "configure", latest_version="9").status_code == 200
    assert alice.tell("gcapi/")["latest_version"] == "9"
    assert control(sandbox, "state").json()["counts"]["uploads"] == 0
    assert [call["path"] for call in control(sandbox, "calls").json()][-1].endswith("gcapi/")


@pytest.mark.parametrize(
    ("name", "arguments", "status"),
    [
        ("nope", {}, 404),
        ("configure", {"patience": 1}, 400),
        ("fault", {"action": "x", "y": 1}, 400),
    ],
)
def test_wrong_controls_are_refused(sandbox, name, arguments, status):
    """A control that does not exist, or with wrong arguments, says so."""
    reply = control(sandbox, name, **arguments)
    assert (reply.status_code, set(reply.json())) == (status, {"error"})


def test_state_tells_results_by_their_hash(sandbox, alice):
    """State names jobs by algorithm and outputs by SHA-256."""
    upload = alice.upload(b"{}", "i.json")
    alice.start("file-only", clinical_info={"user_upload": upload})
    (job,) = sandbox.state()["jobs"]
    assert (job["algorithm"], job["status"], job["creator"]) == ("file-only", "Succeeded", "alice")
    hashes = [each["sha256"] for each in job["inputs"] + job["outputs"]]
    assert hashes[0] == hashes[1] != None  # noqa: E711 - a chain of comparisons


def test_wait_for_wakes_on_a_call(sandbox, alice):
    """A waiter sees what a call has done, and gives up in time."""
    alice.begin()
    sandbox.wait_for(lambda seen: seen.state()["counts"]["uploads"] == 1)
    with pytest.raises(TimeoutError):
        sandbox.wait_for(lambda seen: seen.state()["counts"]["uploads"] == 2, timeout=0.01)


def test_who_waits_holds_nobody_up_who_adds(sandbox):
    """A waiter that looks while a case is added neither stops the adding nor is stopped by it."""
    with ThreadPoolExecutor(1) as pool:
        adding = []

        def is_added(seen):
            adding[:] = adding or [pool.submit(seen.add_item, "ct-archive", "p1")]
            until(lambda: seen.platform_state.items)
            return seen.state()["counts"]["items"]

        sandbox.wait_for(is_added)
        (item,) = sandbox.state()["items"]
        assert item["pk"] == adding[0].result(60)


@pytest.mark.parametrize("tls", [False, True])
def test_a_sandbox_that_ends_breaks_every_connection(tmp_path, tls):
    """Whoever is connected, and has asked for something or not, is told by the end of it."""
    with ExitStack() as stack:
        with Sandbox(tmp_path, tls=tls) as sandbox:
            address = sandbox._site.server_address
            clients = [
                stack.enter_context(socket.create_connection(address, 60)) for _ in range(30)
            ]
        assert not any(thread.is_alive() for thread in sandbox._site._threads_running)
        for client in clients:
            with suppress(ConnectionError):
                assert client.recv(1) == b""


@pytest.mark.parametrize("tls", [False, True])
def test_sandbox_is_a_command(tmp_path, tls):
    """`python -m gcwatch.sandbox` prints one JSON line, serves, and ends on SIGTERM."""
    command = [sys.executable, "-m", "gcwatch.sandbox", "--dir", str(tmp_path), *["--tls"] * tls]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        facts = json.loads(process.stdout.readline())
        with requests.Session() as client:
            client.trust_env = False
            reply = client.get(f"{facts['url']}gcapi/", verify=facts.get("ca", True), timeout=60)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
    assert reply.status_code == 200
    assert ("ca" in facts, "copy-image" in facts["algorithms"]) == (tls, True)
    assert facts["url"].startswith("https" if tls else "http")


def test_early_end_of_a_body_stores_nothing(sandbox, alice):
    """A part whose sender dies half-way leaves no part and no file."""
    upload = alice.begin()
    url, parts = urlsplit(alice.url_of(upload)), sandbox.platform_state.folder / "parts"
    head = (
        f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: 9999\r\n\r\n"
    )
    with socket.create_connection((url.hostname, url.port), 60) as sender:
        sender.sendall(head.encode() + b"x" * 1000)
        until(lambda: any(parts.iterdir()))
    until(lambda: not any(parts.iterdir()))
    assert alice.tell(f"{upload['actions']}/list-parts/")["parts"] == []
