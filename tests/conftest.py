"""What every test starts with: no logging configured, no address but loopback."""

import ctypes
import socket

import hypothesis
import pytest

from gcwatch import log
from gcwatch.sandbox import Sandbox

# Machines are noisy: no test is timed. A run draws what the one before it drew, so that the change
# is judged and not the draw; `make test ARGS=--hypothesis-profile=search` looks further.
UNTIMED = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("alike", derandomize=True, **UNTIMED)
hypothesis.settings.register_profile("search", derandomize=False, max_examples=2000, **UNTIMED)
hypothesis.settings.load_profile("alike")

PR_SET_DUMPABLE = 4

_connect = socket.socket.connect


def _connect_to_loopback(self, address):
    if self.family in {socket.AF_INET, socket.AF_INET6} and address[0] not in {
        "127.0.0.1",
        "::1",
        "localhost",
    }:
        pytest.fail(f"a test spoke to {address}")
    return _connect(self, address)


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    """No test speaks to the outside, and none inherits another's log."""
    monkeypatch.setattr(socket.socket, "connect", _connect_to_loopback)
    yield
    log.reset_logging()
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1)  # a command closes /proc/self to who is not root


@pytest.fixture
def sandbox(tmp_path):
    """A platform of its own for one test."""
    with Sandbox(tmp_path / "sandbox") as running:
        yield running
