"""A real daemon that dies where it is told to: a server that forks one process for each life.

It imports everything once. For each line of JSON on standard input (`Victims.live` writes them) it
forks a process that does what `gcwatch once` does, in which the k-th commit, or the k-th change of
a file, is death by SIGKILL; then it answers how that process ended. Nothing in gcwatch/ knows.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from dataclasses import replace
from pathlib import Path

import pydicom.dataset
import requests
from grand_challenge_dicom_de_identifier import deidentifier

import gcwatch
from gcwatch import config, log
from gcwatch.core import events
from gcwatch.core.errors import UploadsGone
from gcwatch.core.receipt import RECEIPT_NAME
from gcwatch.journal.journal import Journal
from gcwatch.mirror import folders
from gcwatch.mirror.flat import FlatLayout
from gcwatch.mirror.storage import HiddenFolder
from gcwatch.outbox import publish
from gcwatch.targets import algorithm
from support import broken_items
from support.builders import FAST, until
from support.checkout import TESTS

IMPORTED_LATE_OTHERWISE = (pydicom.dataset, deidentifier)
SIGKILLED = -signal.SIGKILL
_WRITES = os.O_WRONLY | os.O_RDWR


class Victims:
    """The server of victims, as tests see it."""

    def __init__(self):
        self._server = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "support.victim"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=TESTS,
        )

    def live(self, site, *, variant="", **death):
        """Let a daemon work on a site until it is idle, or dies; return its exit status."""
        control = site.sandbox.control
        order = {"file": str(site.file), "control": control, "variant": variant, "death": death}
        return self._order(order, site.sandbox)

    def _order(self, order, sandbox):
        self._server.stdin.write(json.dumps(order, default=str) + "\n")
        self._server.stdin.flush()
        status = int(self._server.stdout.readline())
        until(lambda: is_at_rest(sandbox))
        return status

    def send(self, sandbox, order, **death):
        """Let a one-off be sent until it is done, or its process dies; return its exit status."""
        return self._order({"send": order, "control": sandbox.control, "death": death}, sandbox)

    def close(self):
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait()


def is_at_rest(sandbox):
    """Whether nobody calls: what a dead process asked for last may come true a little later."""
    return not (sandbox._site._open or sandbox._storage._open)


# --- how it dies ---------------------------------------------------------------------------------


class Countdown:
    """Death at the k-th call."""

    def __init__(self, calls):
        self._left = calls
        self._lock = threading.Lock()

    def __call__(self):
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def die_at_commit(number, *, after):
    """Die before or after the k-th write to the journal."""
    count = Countdown(number)
    for name in ("record", "open_case"):
        setattr(Journal, name, _counted(getattr(Journal, name), count, after=after))


def _counted(method, count, *, after):
    def counted(self, *args, **kwargs):
        if not after:
            count()
        result = method(self, *args, **kwargs)
        if after:
            count()
        return result

    return counted


def die_before_file_change(number):
    """Die before the k-th file or folder is made, opened for writing, renamed or removed."""
    count = Countdown(number)

    def hook(event, args):
        opened = event == "open" and isinstance(args[2], int) and args[2] & _WRITES
        if opened or event in {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link"}:
            count()

    sys.addaudithook(hook)


def die_after_write(number, control):
    """Die once the platform has applied the k-th write, before its reply is sent."""
    order = {"pid": os.getpid(), "after_write": number}
    requests.post(f"{control}kill", json=order, timeout=60).raise_for_status()


def die_after_call(number, control):
    """Die once the platform has handled the k-th call, before its reply is sent."""
    order = {"pid": os.getpid(), "after_call": number}
    requests.post(f"{control}kill", json=order, timeout=60).raise_for_status()


def arm(death, control):
    match death:
        case {"before_commit": number}:
            die_at_commit(number, after=False)
        case {"after_commit": number}:
            die_at_commit(number, after=True)
        case {"file_change": number}:
            die_before_file_change(number)
        case {"platform_write": number}:
            die_after_write(number, control)
        case {"platform_call": number}:
            die_after_call(number, control)


# --- deliberately broken variants: the enumeration has to catch them ------------------------------


def post_without_look():
    """In doubt, everything is prepared anew and posted again, without a look at the platform."""
    submit = algorithm._submit

    def careless(case, context):
        if case.attempt is not None:
            raise UploadsGone
        yield from submit(case, context)

    algorithm._submit = careless


def commit_before_effect():
    """The job is on record before it is asked for."""
    post = algorithm._post

    def hasty(case, context):
        promised = "00000000-0000-0000-0000-000000000000"
        case = yield events.Submitted(promised, "")
        yield from post(replace(case, submission=None), context)

    algorithm._post = hasty


def receipt_after_rename():
    """A mirror's item is seen before its receipt is in it."""
    receipts, take = {}, folders.take_free_name

    def take_and_write(source, parent, folder):
        name = take(source, parent, folder)
        publish.write_receipt(parent / name / RECEIPT_NAME, receipts[source])
        return name

    publish.seal_folder = receipts.__setitem__
    folders.take_free_name = take_and_write


def leave_old_aside():
    """What a mirror set aside for an exchange is never looked at again."""
    HiddenFolder.tidy = lambda _self: None


def names_after_images():
    """A flat mirror writes down an image's name only once the image has it."""

    def publish_late(self, receipt, arrivals, _held):
        for arrival in arrivals:
            self._places.exchange(arrival.staged, arrival.name)
        publish.write_receipt(self._paper(receipt.target.item), receipt.text())

    FlatLayout._publish = publish_late


VARIANTS = broken_items.VARIANTS | {
    each.__name__: each
    for each in (
        *(post_without_look, commit_before_effect),
        *(receipt_after_rename, leave_old_aside, names_after_images),
    )
}


# --- the server ----------------------------------------------------------------------------------


def live(order):
    """One life."""
    if "send" in order:
        arm(order["death"], order["control"])
        gcwatch.send(pace=FAST, **order["send"])
        return
    settings = config.load(Path(order["file"]))
    log.configure(settings.log, stream=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    if order["variant"]:
        VARIANTS[order["variant"]]()
    arm(order["death"], order["control"])
    with gcwatch.open(order["file"], pace=FAST) as watch:
        watch.run_once()


def fork(order):
    """Let one process live; return how it ended."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        live(order)
    except BaseException:  # noqa: BLE001 - a fork must not come back
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main():
    for line in sys.stdin:
        sys.stdout.write(f"{fork(json.loads(line))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
