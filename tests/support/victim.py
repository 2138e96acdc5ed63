"""A real daemon that dies where it is told to: a server that forks one process for each life.

It imports everything once. For each line of JSON on standard input (`Victims.live` writes them) it
forks a process that does what `gcwatch once` does, in which the k-th commit, the k-th change of a
file, or the first point of a kind, is death by SIGKILL; then it answers how that process ended.
Nothing in gcwatch/ knows.
"""

import json
import os
import pkgutil
import signal
import sys
import threading
import traceback
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

import pydicom.dataset
import requests
from apscheduler.triggers import date, interval
from grand_challenge_dicom_de_identifier import deidentifier
from requests.adapters import HTTPAdapter

import gcwatch
from gcwatch import config, log
from gcwatch.core import events
from gcwatch.journal.journal import Journal
from support import broken_variants
from support.builders import FAST
from support.victims import kind_of_point

# Imported before the fork: else each child process would import them again.
IMPORTED_LATE_OTHERWISE = (pydicom.dataset, deidentifier, date, interval)
UNUSED_ROOMS = ("cli", "demo", "sandbox", "views", "__main__")
_WRITES = os.O_WRONLY | os.O_RDWR
_PATHS = {
    "open": [(0, None)],
    "os.rename": [(0, 2), (1, 3)],
    "os.link": [(0, 2), (1, 3)],
    "os.remove": [(0, 1)],
    "os.rmdir": [(0, 1)],
    "os.mkdir": [(0, 2)],
}
"""Which of an audit event's arguments are paths, and the folders that these begin at."""


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
    for name in ("record", "record_unless_changed", "open_case", "open_next_case"):
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


def changed_paths(event, args):
    """The paths of an audit event that makes, opens for writing, renames or removes something."""
    if event == "open" and not (isinstance(args[2], int) and args[2] & _WRITES):
        return []
    return [_whole_path(args, *at) for at in _PATHS.get(event, ())]


def _whole_path(args, path, folder):
    if isinstance(args[path], int):
        return ""
    name = os.fsdecode(args[path])
    begins = -1 if folder is None else args[folder]
    if name.startswith("/") or begins < 0:
        return name
    return f"{os.readlink(f'/proc/self/fd/{begins}')}/{name}"  # noqa: PTH115 - as in gcwatch


def die_before_file_change(number):
    """Die before the k-th file or folder is made, opened for writing, renamed or removed."""
    count = Countdown(number)

    def hook(event, args):
        if changed_paths(event, args):
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


class Chain:
    """Death at the first point at which no life of the chain has died yet.

    A point is a commit (before and after it), a reply of the platform (before it is read) or a
    change of a file below the folder of *points*, the file by which the lives remember. Ids are
    left out: to do the same with another part or image is the same point.
    """

    def __init__(self, points, number=signal.SIGKILL):
        self._signal = number
        self._home = f"{points.parent}/"
        self._seen = set(points.read_text().splitlines()) if points.exists() else set()
        self._points = os.open(points, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._lock = threading.Lock()

    def pass_point(self, *words):
        """Die here, unless a life has died here before."""
        point = kind_of_point(*(word.removeprefix(self._home) for word in words))
        with self._lock:
            if point not in self._seen:
                os.write(self._points, f"{point}\n".encode())
                # To this thread: another one could take it a little later.
                signal.pthread_kill(threading.get_ident(), self._signal)
                self._seen.add(point)  # who was only stopped goes on

    def arm(self):
        """Let commits, replies and changes of files pass their points."""
        self.arm_commits()
        HTTPAdapter.send = self._after_reply(HTTPAdapter.send)
        sys.addaudithook(self._hear)

    def arm_commits(self):
        """Let commits pass their points."""
        for name in ("record", "record_unless_changed"):
            recording = self._around(getattr(Journal, name), lambda _, __, event, *___: event)
            setattr(Journal, name, recording)
        for name in ("open_case", "open_next_case"):
            opening = self._around(getattr(Journal, name), lambda *_: events.FolderFound)
            setattr(Journal, name, opening)

    def _around(self, method, event_of):
        def passing(*args, **kwargs):
            event = event_of(*args)
            name = event.kind
            self.pass_point("before", name)
            result = method(*args, **kwargs)
            self.pass_point("after", name)
            return result

        return passing

    def _after_reply(self, send):
        def passing(adapter, request, *args, **kwargs):
            response = send(adapter, request, *args, **kwargs)
            self.pass_point(request.method, urlsplit(request.url).path)
            return response

        return passing

    def _hear(self, event, args):
        paths = changed_paths(event, args)
        if paths and not any(self._is_elsewhere(path) for path in paths):
            self.pass_point(event, *paths)

    def _is_elsewhere(self, path):
        return path.startswith("/") and not path.startswith(self._home)


class EndAt(Chain):
    """Death, or a stop until somebody lets the process go on, at the first point of one kind."""

    def __init__(self, points, point, number):
        super().__init__(points, number)
        self._point = point

    def pass_point(self, *words):
        """End here, if this is the point."""
        if kind_of_point(*(word.removeprefix(self._home) for word in words)) == self._point:
            super().pass_point(*words)


def arm(death, control):
    match death:
        case {"chain": points}:
            Chain(Path(points)).arm()
        case {"chain_of_commits": points}:
            Chain(Path(points)).arm_commits()
        case {"chain_of_stops": points}:
            Chain(Path(points), signal.SIGSTOP).arm()
        case {"end_at": point, "points": points, "signal": number}:
            EndAt(Path(points), point, number).arm()
        case {"before_commit": number} | {"after_commit": number}:
            die_at_commit(number, after="after_commit" in death)
        case {"file_change": number}:
            die_before_file_change(number)
        case {"platform_write": number}:
            die_after_write(number, control)
        case {"platform_call": number}:
            die_after_call(number, control)


# --- the server ----------------------------------------------------------------------------------


def live(order):
    """One life."""
    if "send" in order:
        arm(order["death"], order["control"])
        gcwatch.send(pace=FAST, **order["send"])
        return
    settings = config.load(Path(order["file"]))
    log.configure(settings.log, stream=open(os.devnull, "w"))  # noqa: SIM115, PTH123 - open until the end
    if order["variant"]:
        broken_variants.VARIANTS[order["variant"]]()
    arm(order["death"], order["control"])
    with gcwatch.open(order["file"], pace=FAST) as watch:
        watch.run_once()


def fork(order, stopped):
    """Let one process live, or one that is stopped go on; return how it ended.

    A process that stopped itself is put into *stopped*; its status is the negative signal.
    """
    if "go_on" in order:
        pid = stopped.pop()
        os.kill(pid, signal.SIGCONT)
    else:
        pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            stopped.append(pid)
            return -os.WSTOPSIG(status)
        return os.waitstatus_to_exitcode(status)
    try:
        live(order)
    except BaseException:  # noqa: BLE001 - a fork must not come back
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def import_rooms():
    """Import each module that a daemon may use; most are imported late by themselves."""
    for room in pkgutil.iter_modules(gcwatch.__path__):
        if room.name not in UNUSED_ROOMS:
            name = f"gcwatch.{room.name}"
            path = getattr(import_module(name), "__path__", [])
            for module in pkgutil.walk_packages(path, f"{name}."):
                if not module.name.endswith(".__main__"):  # a program, which would begin to work
                    import_module(module.name)


def main():
    import_rooms()
    stopped = []
    for line in sys.stdin:
        sys.stdout.write(f"{fork(json.loads(line), stopped)}\n")
        sys.stdout.flush()
    for pid in stopped:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
