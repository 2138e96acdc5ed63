"""Daemons that die where a test wants it, as tests see them; `victim` is their process."""

import json
import re
import signal
import subprocess
import sys
from functools import partial
from urllib.parse import urlsplit

from support.builders import until
from support.checkout import TESTS

SIGKILLED, SIGSTOPPED = -signal.SIGKILL, -signal.SIGSTOP
MOST_LIVES = 500
_ID = re.compile(r"[0-9a-f-]{12,}|(?<=order-)\w{8}|\d+")


class Victims:
    """The server of victims.

    Attributes:
        dead: How many have died: so many crash points were visited.
    """

    def __init__(self):
        self.dead = self._stopped = 0
        self._server = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "support.victim"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=TESTS,
        )

    def live(self, site, *, variant="", **death):
        """Let a daemon work on a site until it is idle, or dies; return its exit status."""
        order = {"file": str(site.file), "variant": variant}
        return self._order(order, death, site.sandbox)

    def send(self, sandbox, order, **death):
        """Let a one-off be sent until it is done, or its process dies; return its exit status."""
        return self._order({"send": order}, death, sandbox)

    def go_on(self, sandbox):
        """Let the daemon that stopped itself last go on; return its exit status."""
        return self._order({"go_on": True}, {}, sandbox)

    def _order(self, order, death, sandbox):
        order |= {"death": death, "control": sandbox.control}
        self._server.stdin.write(json.dumps(order, default=str) + "\n")
        self._server.stdin.flush()
        status = int(self._server.stdout.readline())
        self.dead += status == SIGKILLED
        self._stopped += (status == SIGSTOPPED) - ("go_on" in order)
        if not self._stopped:  # a stopped process keeps its connections
            until(partial(_is_at_rest, sandbox))
        return status

    def close(self):
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait()


def _is_at_rest(sandbox):
    """Whether nobody calls: what a dead process asked for last may come true a little later."""
    return not (sandbox._site._connections or sandbox._storage._connections)


def kind_of_point(*words):
    """What a point is called: the same for all ids and numbers."""
    return _ID.sub("*", " ".join(words))


def die_at_every_kind(live, points, check=lambda: None):
    """Let one site die at the first point of each kind, one life after the other.

    Each life goes on where the one before it died, and dies at the first point of a kind at which
    none has died yet, until one meets no new kind and ends by itself.

    Args:
        live: Lets a victim live: `Victims.live` or `Victims.send` with what it works on.
        points: The file by which the lives remember where they died.
        check: What must hold after each death.

    Returns:
        The kinds of points, in the order of the deaths.
    """
    for _ in range(MOST_LIVES):
        status = live(chain=points)
        check()
        if status != SIGKILLED:
            assert status == 0
            return points.read_text().splitlines()
    raise AssertionError("there is no end of new points")


def sorts_of_calls(sandbox):
    """The sorts of calls so far: each method, and a regular expression of the paths."""
    paths = {(call["method"], urlsplit(call["path"]).path) for call in sandbox.calls()}
    return {(method, f"^{_ID.sub('[^/]+', re.escape(path))}([?]|$)") for method, path in paths}
