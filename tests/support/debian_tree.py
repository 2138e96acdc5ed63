"""A clean Debian to install into, and to boot: this machine's release, from this machine's sources.

    if reason := why_not():           # not root, no debootstrap …
        pytest.skip(reason)
    with debian() as machine:         # a throw-away copy of a tree that is made once, and cached
        machine.put("x.deb", "/root/")                              # a file or folder into it
        machine.run("apt-get", "install", "-y", "/root/x.deb")      # without a running systemd
        with machine.booted():        # systemd as PID 1; one at a time on a machine
            machine.run("systemctl", "start", "x")                  # the same, in what runs there
        machine.root / "etc"          # its files, seen from here; but for /run and /tmp once booted

`run` returns what subprocess.run does, as text, and raises `Failed` with the command's output where
it fails (`check=False` to look at it instead). It has this machine's network, name servers, apt
sources and pip configuration, read when they are needed. `NotHere` means that this machine
can't, for a reason that no look beforehand could find (no network, no right to mount, …).

The trees are kept in $XDG_CACHE_HOME/gcwatch-debian, else /var/tmp/gcwatch-debian.
"""

import ast
import fcntl
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

INCLUDED = (
    "ca-certificates",
    "dbus",
    "procps",
    "python3",
    "python3-venv",
    "systemd",
    "systemd-sysv",
)
PROGRAMS = ("debootstrap", "systemd-nspawn", "nsenter", "unshare")
APT = Path("/etc/apt")
BUNDLE = "/etc/ssl/gcwatch-tests.pem"
"""Where the copy finds the certificates that this machine's pip trusts."""

PLAIN = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
NSPAWN = (
    *("systemd-nspawn", "--quiet", "--boot", "--console=pipe"),
    *("--register=no", "--keep-unit", "--link-journal=no"),  # this machine may have no systemd
    *("--resolv-conf=copy-host", "--timezone=off"),  # the network is this machine's
)
BOOT_SECONDS = 60.0


class NotHere(Exception):
    """This machine can't make or boot a Debian; the message says why."""


class Failed(Exception):
    """A command in a Debian failed; the message holds what it wrote."""


# --- can it be done here -------------------------------------------------------------------------


def why_not():
    """Return why no tree can be made or booted here, in a few words; None if it can be tried."""
    if platform.system() != "Linux" or _release().get("ID") != "debian":
        return "this machine is not a Debian"
    if os.geteuid() != 0:
        return "only root may make and boot a Debian"
    if missing := [name for name in PROGRAMS if not shutil.which(name)]:
        return f"not installed: {', '.join(missing)} (Debian's debootstrap and systemd-container)"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        return "no right to mount (unshare --mount)"
    return None if _main_source() else f"no source of {_codename()} below {APT}"


def _release():
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _codename():
    return _release().get("VERSION_CODENAME", "")


# --- this machine's configuration ----------------------------------------------------------------


def _sources():
    """The files of apt's sources that are of this release; others need keys of their own."""
    files = [APT / "sources.list", *sorted((APT / "sources.list.d").glob("*.list"))]
    files += sorted((APT / "sources.list.d").glob("*.sources"))
    return [file for file in files if file.exists() and _places(file.read_text())]


def _places(text):
    """The addresses and suites of this release that a file of sources names."""
    lines = re.findall(r"^deb\s+(?:\[.*?\]\s+)?(\S+)\s+(\S+)", text, re.MULTILINE)
    for part in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^(URIs|Suites):\s*(.*)$", part, re.MULTILINE))
        addresses, suites = (fields.get(each, "").split() for each in ("URIs", "Suites"))
        lines += [(address, suite) for address in addresses for suite in suites]
    return [(address, suite) for address, suite in lines if _is_ours(suite)]


def _is_ours(suite):
    return re.fullmatch(rf"{_codename()}(-\w+)?", suite) is not None


def _main_source():
    """The address of the release itself, or None."""
    places = [each for file in _sources() for each in _places(file.read_text())]
    return next((address for address, suite in places if suite == _codename()), None)


def pip_environment():
    """This machine's configuration of pip, as variables for another root: no path of this one."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(r"^(?:global|install|:env:)\.([\w-]+)=(.*)$", listed, re.MULTILINE)
    values = {name: ast.literal_eval(value) for name, value in found}
    kept = {name: _without_paths(value) for name, value in values.items() if name != "cert"}
    kept |= {"cert": BUNDLE} if _pip_bundle() else {}
    return {f"PIP_{name.upper().replace('-', '_')}": value for name, value in kept.items() if value}


def _without_paths(value):
    return " ".join(each for each in value.split() if not each.startswith(("/", "file:")))


def _pip_bundle():
    """This machine's certificates, where its pip is told to use others than its own."""
    got = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.cert"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return Path(os.environ.get("PIP_CERT") or got) if os.environ.get("PIP_CERT") or got else None


# --- the tree ------------------------------------------------------------------------------------


def _cache():
    base = Path(os.environ.get("XDG_CACHE_HOME") or "/var/tmp") / "gcwatch-debian"
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    return base


@contextmanager
def _only_one(name):
    """Wait for others on this machine that do the same."""
    with (_cache() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def tree(included=INCLUDED):
    """Return the cached tree with these packages, made if need be (minutes). Never write to it."""
    wanted = "\n".join([_codename(), *included, *(file.read_text() for file in _sources())])
    made = _cache() / f"{_codename()}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    with _only_one("tree"):
        if not made.exists():
            with tempfile.TemporaryDirectory(dir=_cache(), prefix="making-") as folder:
                fresh = Path(folder) / "tree"
                _bootstrap(fresh, included)
                fresh.rename(made)
    return made


def _bootstrap(folder, included):
    packages = f"--include={','.join(included)}"
    command = ["debootstrap", "--variant=minbase", packages, _codename(), folder, _main_source()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotHere(f"debootstrap failed: {(done.stdout + done.stderr)[-1000:]}")
    (folder / "etc/apt/sources.list").unlink(missing_ok=True)
    for file in _sources():
        shutil.copy(file, folder / file.relative_to("/"))
    for file in (APT / "apt.conf.d").glob("*prox*"):  # what reaches the sources
        shutil.copy(file, folder / file.relative_to("/"))
    # What runs in it should not be told by this machine's name.
    (folder / "etc/hostname").write_text("debian\n")


# --- a copy --------------------------------------------------------------------------------------


@contextmanager
def debian(included=INCLUDED):
    """A copy of the tree, to be thrown away: a `Debian`."""
    source = tree(included)
    with tempfile.TemporaryDirectory(dir=_cache(), prefix="copy-") as folder:
        root = Path(folder) / "root"
        command = ["cp", "--archive", "--reflink=auto", source, root]
        subprocess.run(command, check=True, capture_output=True)
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        if bundle := _pip_bundle():
            shutil.copy(bundle, root / BUNDLE.lstrip("/"))
        yield Debian(root)


class Debian:
    """A Debian below `root`; commands run in it, with systemd while it is booted, else without."""

    def __init__(self, root):
        self.root = root
        self._nspawn = self._leader = None
        self._environment = {**PLAIN, **pip_environment()}

    def put(self, source, place):
        """Copy a file or folder of this machine into it; *place* is as seen inside."""
        command = ["cp", "--archive", source, self.root / place.lstrip("/")]
        subprocess.run(command, check=True, capture_output=True)

    def run(self, *command, check=True, text="", seconds=600.0, **environment):
        """Run a command to its end, with *text* as its input; return what subprocess.run does."""
        done = subprocess.run(
            [*self._inside(), *map(str, command)],
            input=text,
            text=True,
            capture_output=True,
            check=False,
            timeout=seconds,
            env={**self._environment, **environment},
        )
        if check and done.returncode:
            told = (done.stdout + done.stderr)[-4000:]
            raise Failed(f"{' '.join(map(str, command))}: status {done.returncode}\n{told}")
        return done

    def _inside(self):
        if self._leader is None:
            return ["unshare", "--mount", "--pid", "--fork", "--mount-proc", f"--root={self.root}"]
        return ["nsenter", f"--target={self._leader}", "--all", "--wd"]

    @contextmanager
    def booted(self):
        """Its systemd runs until the block ends; started units are up. Raises `NotHere`."""
        with _only_one("boot"):
            try:
                self._start()
                yield self
            finally:
                self._stop()

    def reboot(self):
        """Shut the booted Debian down as a machine that is switched off, and boot it again."""
        self._stop()
        self._start()

    def _start(self):
        with tempfile.TemporaryFile("w+") as console:
            self._nspawn = subprocess.Popen(
                [*NSPAWN, f"--directory={self.root}"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
            self._leader = self._up(self._nspawn, console)

    def _stop(self):
        self._leader = None
        _end(self._nspawn)

    def _up(self, nspawn, console):
        """Wait until systemd has started what it starts; return its process."""
        end = time.monotonic() + BOOT_SECONDS
        while nspawn.poll() is None and time.monotonic() < end:
            if (leader := _child(nspawn.pid)) and _is_up(leader):
                return leader
            time.sleep(0.1)
        console.seek(0)
        raise NotHere(f"systemd-nspawn does not boot here: {console.read()[-1000:]}")


def _child(pid):
    with suppress(OSError):
        return next(iter(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()), None)


def _is_up(leader):
    """Whether systemd there has started everything, even if some of it failed."""
    inside = ["nsenter", f"--target={leader}", "--all", "--wd"]
    asked = subprocess.run(
        [*inside, "systemctl", "is-system-running"],
        capture_output=True,
        text=True,
        check=False,
        env=PLAIN,
    )
    return asked.stdout.strip() in {"running", "degraded"}


def _end(nspawn):
    """Ask systemd to power off; end it by force if it does not."""
    nspawn.send_signal(signal.SIGTERM)
    try:
        nspawn.wait(60)
    except subprocess.TimeoutExpired:
        nspawn.kill()
        nspawn.wait()
