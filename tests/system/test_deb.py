"""The Debian package, in a clean Debian: `make test-deb` builds it and tells where it is.

Tests that only look share one; those that change something have their own. The package is installed
by dpkg alone, without network.
"""

import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.builders import mha, until
from support.debian_tree import NotHere, debian, why_not

import gcwatch

PACKAGE = os.environ.get("GCWATCH_DEB")
REASON = why_not() if PACKAGE else "no package: make test-deb builds one"
pytestmark = [
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
    pytest.mark.timeout(900),  # the first one makes the tree
]

CONFIG = """# what somebody wrote by hand
[platform]
url = "http://127.0.0.1:8765/api/v1/"

[[route]]
name = "lobes"
inbox = "/srv/gcwatch/lobes/in"
outbox = "/srv/gcwatch/lobes/out"
algorithm = "copy-image"
settle = "1s"
poll = "1s"
"""

NOTES = ("/var/lib/dpkg/", "/var/lib/systemd/", "/var/log/", "/var/cache/", "/run/", "/tmp/")
"""Where Debian itself writes down what happened."""
KEPT = ("/var/lib/gcwatch", "/srv/gcwatch")
PASSWORDS = {"/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-"}


@contextmanager
def clean():
    """A clean Debian with the package in /root."""
    try:
        with debian() as made:
            made.put(PACKAGE, "/root/gcwatch.deb")
            yield made
    except NotHere as why:
        pytest.skip(str(why))


@pytest.fixture(scope="module")
def machine():
    """A Debian with the package as dpkg installed it; nothing is changed in it."""
    with clean() as made:
        install(made)
        yield made


def install(machine, package="/root/gcwatch.deb"):
    return machine.run("dpkg", "--install", package).stdout


def files(machine):
    """Every file and folder, but for where Debian writes down what happened."""
    found = machine.run("find", "/", "-xdev", "-path", "/proc", "-prune", "-o", "-print").stdout
    return {each for each in found.splitlines() if not each.startswith(NOTES)}


# --- installed -----------------------------------------------------------------------------------


def test_a_clean_debian_gets_a_program_that_works(machine):
    """It is the package's own, with all that it needs: the whole story ends well."""
    install(machine)
    assert machine.run("gcwatch", "--version").stdout == f"gcwatch {gcwatch.VERSION}\n"
    machine.run("gcwatch", "demo")
    python, asked = "/usr/lib/gcwatch/bin/python3", "import gcwatch; print(gcwatch.__file__)"
    assert machine.run(python, "-c", asked).stdout.startswith("/usr/lib/gcwatch/lib/")
    assert machine.run("dpkg", "--verify", "gcwatch").stdout == ""


def test_nothing_in_it_tells_where_it_was_built(machine):
    """No path of the machine that built it, and none of a checkout in /opt."""
    install(machine)
    listed = machine.run("dpkg", "--listfiles", "gcwatch").stdout.splitlines()
    built = os.fsencode(Path(PACKAGE).resolve().parent.parent)
    for path in (machine.root / each.lstrip("/") for each in listed):
        if path.is_file() and not path.is_symlink():
            assert built not in path.read_bytes(), path
    for unit in (machine.root / "lib/systemd/system").glob("gcwatch*"):
        assert "/opt/" not in unit.read_text()


@pytest.mark.skipif(shutil.which("lintian") is None, reason="not installed: lintian")
def test_debians_checker_finds_nothing_that_is_not_explained():
    """debian/gcwatch.lintian-overrides says of each finding why it is none."""
    command = ["lintian", "--allow-root", "--tag-display-limit", "0", PACKAGE]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == ""


def test_systemd_knows_the_units_their_user_and_their_folders(machine):
    """They are valid where they lie now, and as closed as in the checkout."""
    install(machine)
    units = ["/lib/systemd/system/gcwatch.service", "/lib/systemd/system/gcwatch@.service"]
    verified = machine.run("systemd-analyze", "verify", *units)
    assert "gcwatch" not in verified.stdout + verified.stderr
    machine.run("systemd-analyze", "security", "--offline=true", "--threshold=11", units[0])
    assert machine.run("stat", "-c", "%U %a", "/var/lib/gcwatch").stdout == "gcwatch 700\n"
    assert machine.run("stat", "-c", "%U %a", "/etc/gcwatch").stdout == "root 755\n"


def test_who_installs_it_is_not_surprised_by_a_service():
    """It is neither enabled nor started, and the installer is told where to read on."""
    with clean() as machine, machine.booted():
        assert "README.Debian" in install(machine)
        enabled = machine.run("systemctl", "is-enabled", "gcwatch", check=False).stdout
        assert enabled == "disabled\n"
        assert state(machine) == ("inactive", "0")


# --- in service ----------------------------------------------------------------------------------


def serve(machine):
    """Install, configure and start it as README.Debian says, beside a platform."""
    install(machine)
    sandbox = ["gcwatch", "sandbox", "--dir", "/run/platform", "--port", "8765"]
    machine.run("systemd-run", "--unit=sandbox", *sandbox)
    until(lambda: '"url"' in machine.run("journalctl", "--unit=sandbox").stdout)
    configure(machine, CONFIG, "gcwatch.toml", "token")
    machine.run("systemctl", "enable", "--now", "gcwatch")


def configure(machine, text, file, token):
    """Give the service, or an instance of it, what it needs below /etc/gcwatch and /srv."""
    [folder] = re.findall('inbox = "(.*)/in"', text)
    folders = [f"{folder}/in", f"{folder}/out"]
    machine.run("install", "-d", "-o", "gcwatch", "-g", "gcwatch", "-m", "2770", *folders)
    (machine.root / "etc/gcwatch" / file).write_text(text)
    machine.run("install", "-m", "600", "/run/platform/token", f"/etc/gcwatch/{token}")


def state(machine, unit="gcwatch"):
    """Whether the service is active, and its process."""
    asked = ["systemctl", "show", "--property=ActiveState,MainPID", unit]
    shown = dict(line.split("=") for line in machine.run(*asked).stdout.split())
    return shown["ActiveState"], shown["MainPID"]


def deliver(machine, name):
    """Drop a complete folder and wait for its result; if none comes, show what the service says."""
    made = machine.root / "srv/gcwatch/lobes/arriving"
    made.mkdir()
    (made / "image.mha").write_bytes(mha())
    made.rename(machine.root / "srv/gcwatch/lobes/in" / name)
    try:
        until((machine.root / "srv/gcwatch/lobes/out" / name).exists, 60)
    except AssertionError:
        print(machine.run("journalctl", "--unit=gcwatch").stdout)
        raise


def submitted(machine):
    """How many jobs the service has ever asked for."""
    machine.run("journalctl", "--sync")
    asked = ["journalctl", "--output=cat", "GCWATCH_EVENT=case.submitted"]
    return len(machine.run(*asked).stdout.splitlines())


def upgrade(machine, folder, version):
    """Install the package again, as a later version."""
    subprocess.run(["dpkg-deb", "--raw-extract", PACKAGE, folder / version], check=True)
    control = folder / version / "DEBIAN/control"
    text = control.read_text()
    control.write_text(re.sub(r"(?m)^Version: .*", f"Version: {version}", text))
    command = ["dpkg-deb", "-Zgzip", "-z1", "--build", folder / version, folder / "newer.deb"]
    subprocess.run(command, check=True, capture_output=True)
    machine.put(folder / "newer.deb", "/root/newer.deb")
    install(machine, "/root/newer.deb")
    asked = ["dpkg-query", "--show", "--showformat=${Version}", "gcwatch"]
    assert machine.run(*asked).stdout == version


def test_an_upgrade_forgets_nothing(tmp_path):
    """What runs is restarted, what does not is not; nothing written is touched or sent again."""
    with clean() as machine, machine.booted():
        serve(machine)
        configure(machine, CONFIG.replace("lobes", "ward"), "ward.toml", "ward.token")
        machine.run("systemctl", "start", "gcwatch@ward")
        deliver(machine, "p1")
        before = {unit: state(machine, unit) for unit in ("gcwatch", "gcwatch@ward")}
        upgrade(machine, tmp_path, "98.0")
        for unit, (_, process) in before.items():
            after = state(machine, unit)
            assert after[0] == "active"
            assert after[1] != process
        deliver(machine, "p2")
        assert submitted(machine) == 2
        assert (machine.root / "etc/gcwatch/gcwatch.toml").read_text() == CONFIG
        machine.run("systemctl", "stop", *before)
        upgrade(machine, tmp_path, "99.0")
        assert all(state(machine, unit) == ("inactive", "0") for unit in before)


def test_what_is_removed_leaves_what_its_page_says():
    """Removed, it knows when it comes back what was sent; purged, its journal is left."""
    with clean() as machine, machine.booted():
        before = files(machine)
        serve(machine)
        deliver(machine, "p1")
        machine.run("dpkg", "--remove", "gcwatch")
        assert state(machine)[0] == "inactive"
        left = files(machine) - before
        assert "/etc/gcwatch/token" in left
        assert not {each for each in left if each.startswith(("/usr", "/lib"))}

        install(machine)
        machine.run("systemctl", "start", "gcwatch")
        deliver(machine, "p2")
        assert submitted(machine) == 2

        told = machine.run("dpkg", "--purge", "gcwatch").stdout
        assert "/var/lib/gcwatch is kept" in told
        after = files(machine)
        assert before <= after
        left = {each for each in after - before if not each.startswith(KEPT)}
        assert left <= PASSWORDS
