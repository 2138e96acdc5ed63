"""The service as systemd sees it: its unit files, its drop-in, and what it tells while it runs."""

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from support.builders import Site, mha, series, until
from support.checkout import ROOT, TESTS
from support.mirrored import Mirrored
from support.notify_socket import Ear

from gcwatch import config
from gcwatch.cli.errors import Exit
from gcwatch.commands import systemd_dropin, systemd_unit
from gcwatch.core.errors import Misused
from gcwatch.daemon.reporting.watchdog import manager
from gcwatch.threads.heartbeats import Heartbeats, heartbeat

UNITS = ROOT / "systemd"
LARGE = mha().replace(b"DimSize = 4 1 1", b"DimSize = 2048 2048 17") + bytes(2 * 2**22 * 17 - 8)
"""Nine parts."""
SERVICES = ["gcwatch.service", "gcwatch@.service"]
PROGRAM = [sys.executable, "-m", "gcwatch"]
IMPATIENT = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])  # in every thread
import ctypes, sys, threading, gcwatch
from dataclasses import replace
from support.builders import FAST
from gcwatch import log
from gcwatch.cli.signals import stoppable

def end():  # asked to, the thread of this kind, where it is; it may survive in a handler
    signal.sigwait([signal.SIGUSR1])
    for thread in threading.enumerate():
        while sys.argv[3] in (type(thread).__name__, thread.name) and thread.is_alive():
            dies = ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(*dies)
            thread.join(0.1)

threading.Thread(target=end, daemon=True).start()
pace = replace(FAST, hung=float(sys.argv[2]))
with gcwatch.open(sys.argv[1], pace=pace) as watch, stoppable() as stop:
    log.configure(watch.settings.log)
    watch.run(stop)
"""
needs_analyze = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="no systemd-analyze here"
)


@pytest.fixture
def site(tmp_path, sandbox):
    return Site(tmp_path, sandbox)


# --- the units -----------------------------------------------------------------------------------


def installed(folder, name, drop=""):
    """A unit whose program is there, with a drop-in; return its file."""
    text = (UNITS / name).read_text().replace("/opt/gcwatch/.venv/bin/gcwatch", sys.executable)
    file = folder / name.replace("@.", "@ward.")
    file.write_text(re.sub("Documentation=.*", "", text))
    if drop:
        (folder / f"{file.name}.d").mkdir()
        (folder / f"{file.name}.d" / "paths.conf").write_text(drop)
    return file


def analyze(*arguments):
    command = ["systemd-analyze", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_analyze
@pytest.mark.parametrize("name", SERVICES)
def test_the_units_are_valid(tmp_path, name):
    """No line of them is unknown or wrong."""
    found = analyze("verify", installed(tmp_path, name))
    # Other units of the machine may be faulty: only ours counts.
    assert "gcwatch" not in found.stdout + found.stderr


@needs_analyze
@pytest.mark.parametrize("name", SERVICES)
def test_the_units_are_closed(tmp_path, name):
    """Their exposure is 1.1 of 10, or less."""
    file = installed(tmp_path, name)
    found = analyze("security", "--offline=true", "--threshold=11", file)
    assert found.returncode == 0, found.stdout


def test_the_instances_are_the_service_but_for_their_names():
    """Whoever changes one unit changes the other."""
    one, many = ((UNITS / name).read_text().splitlines() for name in SERVICES)
    differing = [line for line in many if line not in one and not line.startswith("#")]
    assert all("%i" in line for line in differing)
    assert len(differing) == len([line for line in one if line not in many and line[0] != "#"])


@pytest.mark.parametrize("name", SERVICES)
def test_the_service_does_not_restart_what_a_person_has_to_mend(name):
    """The codes that need a person are those of the program, and systemd's for lost files."""
    [codes] = re.findall(
        r"^RestartPreventExitStatus=(.*)$", (UNITS / name).read_text(), re.MULTILINE
    )
    ours = {Exit.USAGE, Exit.DAMAGED, Exit.TOKEN, Exit.CONFIG}
    assert set(map(int, codes.split())) == ours | {226, 243}


def set_up(root, program, folder, *arguments):
    """Let systemd read our file where a package would have put it, below another root."""
    kind = folder.removesuffix(".d")
    place = root / "usr" / "lib" / folder
    place.mkdir(parents=True)
    shutil.copy(UNITS / f"gcwatch.{kind}", place / "gcwatch.conf")
    command = [program, f"--root={root}", *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.skipif(not shutil.which("systemd-tmpfiles"), reason="no systemd here")
@pytest.mark.skipif(os.geteuid() != 0, reason="folders are given to users")
def test_user_and_folders_are_made_and_the_token_is_closed(tmp_path):
    """A system user, the folders with their modes; a token that lay open is closed."""
    (tmp_path / "etc").mkdir()
    set_up(tmp_path, "systemd-sysusers", "sysusers.d")
    users = (tmp_path / "etc/passwd").read_text()
    assert re.search("^gcwatch:.*:/var/lib/gcwatch:/usr/sbin/nologin$", users, re.MULTILINE)
    token = tmp_path / "etc/gcwatch/token"
    token.parent.mkdir()
    token.write_text("t")
    token.chmod(0o644)
    set_up(tmp_path, "systemd-tmpfiles", "tmpfiles.d", "--create")
    places = ("etc/gcwatch", "etc/gcwatch/token", "srv/gcwatch", "var/lib/gcwatch")
    modes = [oct((tmp_path / place).stat().st_mode & 0o7777) for place in places]
    assert modes == ["0o755", "0o600", "0o755", "0o700"]


# --- the drop-in ---------------------------------------------------------------------------------

WHOLE = """
[platform]
token_file = "/home/ops/token"
[log]
file = "/var/log/gcwatch/log.jsonl"
[[route]]
name = "a"
inbox = "/data/a in"
outbox = "/data/a out 100%"
algorithm = "x"
[[route]]
name = "b"
inbox = "/home/ward/b:in"
outbox = "/data/b/out"
algorithm = "x"
after = "move"
done = "/data/b/done"
[[mirror]]
name = "m"
archive = "x"
outbox = "/data/m"
gone = "move"
gone_to = "/data/gone"
"""


def dropped(folder, text=WHOLE, *options):
    """What `gcwatch systemd` prints of a config."""
    file = folder / "gcwatch.toml"
    file.write_text(text)
    command = [*PROGRAM, "systemd", "--config", str(file), *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def values(text, key):
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


def test_the_drop_in_opens_what_is_written(tmp_path):
    """Outboxes, done folders, mirrors, the log's folder; the state is the service's own."""
    assert values(dropped(tmp_path), "ReadWritePaths") == [
        '"/data/a out 100%%"',
        '"/data/b/done"',
        '"/data/b/out"',
        '"/data/gone"',
        '"/data/m"',
        '"/var/log/gcwatch"',
    ]


def test_the_drop_in_binds_what_services_do_not_see(tmp_path):
    """Below /home: an inbox that folders are moved out of, to be written; a token, to be read."""
    text = dropped(tmp_path)
    assert values(text, "ProtectHome") == ["tmpfs"]
    assert values(text, "BindPaths") == [r'"/home/ward/b\:in"']
    assert '"/home/ops/token"' in values(text, "BindReadOnlyPaths")


def test_the_drop_in_waits_for_mounts(tmp_path):
    """But for an inbox that is only read: it may come later, and others do not wait for it."""
    waited = values(dropped(tmp_path), "RequiresMountsFor")
    assert {'"/data/b/out"', '"/home/ops/token"', r'"/home/ward/b:in"'} <= set(waited)
    assert '"/data/a in"' not in waited


def test_a_token_file_takes_the_credentials_place(tmp_path):
    """With token_file the unit must not wait for /etc/gcwatch/token; without, it is named."""
    assert values(dropped(tmp_path), "LoadCredential") == [""]
    text = dropped(tmp_path, WHOLE.replace("token_file", "# token_file"), "--instance", "ward")
    assert values(text, "LoadCredential") == []
    assert "/etc/gcwatch/ward.token" in text


def test_the_password_of_a_journal_is_a_credential_unless_there_is_another_way(tmp_path):
    """The drop-in names its file, and what else the service needs to log in."""
    journal = 'journal = "postgresql://db/gcwatch{}"\n'
    text = dropped(tmp_path, journal.format("") + WHOLE)
    name = "gcwatch-journal-password:/etc/gcwatch/journal-password"
    assert values(text, "LoadCredential") == ["", name]
    assert "before the service starts: /etc/gcwatch/journal-password" in text
    text = dropped(tmp_path, journal.format("") + WHOLE, "--instance", "ward")
    [told] = values(text, "LoadCredential")[1:]
    assert told == name.replace("/journal", "/ward.journal")
    text = dropped(tmp_path, journal.format("?sslcert=/root/a.crt&sslkey=/root/a.key") + WHOLE)
    assert values(text, "LoadCredential") == [""]
    assert '"/root/a.key"' in values(text, "BindReadOnlyPaths")
    password = 'journal_password_file = "/home/ops/password"\n'
    text = dropped(tmp_path, journal.format("") + password + WHOLE)
    assert values(text, "LoadCredential") == [""]
    assert '"/home/ops/password"' in values(text, "BindReadOnlyPaths")


def test_an_instance_has_a_state_and_a_drop_in_of_its_own(tmp_path):
    """What the service may write to is not all what its instance may."""
    text = dropped(tmp_path, WHOLE, "--instance", "ward")
    assert "/etc/systemd/system/gcwatch@ward.service.d/paths.conf" in text.splitlines()[0]
    assert '"/var/lib/gcwatch' not in str(values(text, "ReadWritePaths"))
    text = dropped(tmp_path, 'state = "/var/lib/gcwatch"\n' + WHOLE, "--instance", "ward")
    assert '"/var/lib/gcwatch"' in values(text, "ReadWritePaths")


@pytest.mark.parametrize("name", ["../x", "a b", "a/b", "-a", "ä", "a\n"])
def test_a_name_that_no_instance_can_have_is_refused(name):
    """It would lead to another folder, or mean something else to systemd."""
    with pytest.raises(Misused, match="can't be the name of an instance"):
        systemd_unit.service_named(name)


def test_a_config_that_the_service_does_not_run_with_is_told(tmp_path):
    """The drop-in of another config would open the wrong folders."""
    assert "# But gcwatch.service runs with /etc/gcwatch/gcwatch.toml" in dropped(tmp_path)


def test_a_state_of_ones_own_is_opened(tmp_path):
    """What lies outside the unit's StateDirectory has to be named."""
    text = dropped(tmp_path, 'state = "/data/state"\n' + WHOLE)
    assert '"/data/state"' in values(text, "ReadWritePaths")


def test_a_folder_inside_another_is_not_named_twice(tmp_path):
    """One mount for both, so that a rename between them stays a rename."""
    text = dropped(tmp_path, WHOLE.replace("/data/b/done", "/data/b/out/done"))
    assert not any("/done" in each for each in values(text, "ReadWritePaths"))


def test_a_path_that_no_unit_file_can_hold_is_refused(tmp_path):
    """A line break would begin a line of its own."""
    file = tmp_path / "gcwatch.toml"
    file.write_text(WHOLE.replace("/data/m", r"/data/m\nExecStart=x"))
    with pytest.raises(Misused, match="ExecStart"):
        systemd_dropin.dropin(config.load(file), systemd_unit.service_named(""))


@needs_analyze
@pytest.mark.parametrize("name", SERVICES)
def test_the_unit_with_its_drop_in_is_valid_and_closed(tmp_path, name):
    """Even with homes: no mistake, and the exposure stays at 1.1."""
    file = installed(tmp_path, name, dropped(tmp_path))
    found = analyze("verify", file)
    assert "gcwatch" not in found.stdout + found.stderr
    exposure = analyze("security", "--offline=true", "--threshold=11", file)
    assert exposure.returncode == 0, exposure.stdout


# --- what it tells -------------------------------------------------------------------------------


@pytest.fixture(params=["a path", "abstract"])
def ear(request, tmp_path):
    name = str(tmp_path / "notify") if request.param == "a path" else f"@gcwatch-{os.getpid()}"
    made = Ear(name)
    yield made
    made.close()


one_address = pytest.mark.parametrize("ear", ["a path"], indirect=True)


@contextmanager
def served(ear, *command, watchdog="1000000"):
    """A command as systemd would start it."""
    environment = {
        **os.environ,
        "NOTIFY_SOCKET": ear.address,
        "WATCHDOG_USEC": watchdog,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)]),
    }
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def impatient(file, *dies, hung=3.0):
    """A daemon in which whoever makes no progress for so long hangs, and a thread may die."""
    return (sys.executable, "-c", IMPATIENT, str(file), str(hung), *dies)


def test_a_running_daemon_says_that_it_is_ready_and_lives_and_stops(site, ear):
    """READY once, then signs of life with counts, STOPPING at the end; no name in any of it."""
    site.drop("doe-jane", series())
    with served(ear, *PROGRAM, "run", "--config", str(site.file)) as process:
        until(lambda: ear.heard("READY"))
        until(lambda: len(ear.heard("WATCHDOG")) > 2)
        until(site.delivered)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert ear.heard("READY") == ["1"]
    assert ear.heard("STOPPING") == ["1"]
    assert any(re.match(r"1 routes, 0 mirrors; ", each) for each in ear.heard("STATUS"))
    assert "doe" not in str(ear.told)


def test_what_is_not_checked_is_not_ready(site, ear):
    """A config with a mistake ends with 78, and nobody is told that it is ready."""
    site.file.write_text(site.file.read_text().replace("algorithm", "algoritm"))
    with served(ear, *PROGRAM, "run", "--config", str(site.file)) as process:
        assert process.wait(60) == Exit.CONFIG
    assert ear.heard("READY") == []


def test_a_hung_worker_stops_the_signs_of_life(site, ear):
    """The platform never answers an upload: the watchdog starves, and the log says who hangs."""
    site.sandbox.configure(latency=60.0)
    with served(ear, *impatient(site.file)):
        until(lambda: ear.heard("READY"))
        until(lambda: ear.heard("WATCHDOG"))
        site.drop("p1")
        until(lambda: [each for each in site.said("watchdog.silent") if "lobes-" in each["who"]])
        until(ear.is_silent)
    assert ear.heard("STOPPING") == []


def test_slow_work_that_makes_progress_keeps_the_signs_of_life(site, ear):
    """A job that takes longer than a worker may hang is waited for, and the daemon lives."""
    site.sandbox.configure(job_seconds=5.0)
    site.drop("p1")
    with served(ear, *impatient(site.file)):
        until(lambda: ear.heard("READY"))
        until(site.delivered)
        assert ear.hears_life()


@one_address
def test_a_long_upload_keeps_the_signs_of_life(site, ear):
    """Its parts come one after the other, and each is sign enough."""
    site.configure(limits={"connections": 1})
    site.sandbox.fault("delay", host="storage", method="PUT", seconds=1.5, times=None)
    site.drop("p1", {"image.mha": LARGE})
    with served(ear, *impatient(site.file, hung=12.0)):
        until(site.delivered, 200)
        assert ear.hears_life()
    [upload] = site.said("upload.completed")
    assert upload["seconds"] > 12.0
    assert site.said("watchdog.silent") == []


@one_address
def test_a_long_mirror_keeps_the_signs_of_life(tmp_path, sandbox, ear):
    """One image after the other arrives late, but it arrives."""
    mirror = Mirrored(tmp_path, sandbox)
    for number in range(9):
        mirror.add(f"item {number}", generic_medical_image=mha(number))
    sandbox.fault("delay", host="storage", method="GET", seconds=1.5, times=None)
    mirror.configure(sandbox.url, "[limits]\nconnections = 1\n")
    with served(ear, *impatient(mirror.file, hung=12.0)):
        until(lambda: len(mirror.names()) == 9)
        assert ear.hears_life()
    assert mirror.said("watchdog.silent") == []


def wake(site):
    """Let the observer have news: a thread dies when it wakes, which may have been too early."""
    (site.inbox / ".news").write_bytes(b"")


@one_address
def test_a_folder_watcher_that_dies_stops_the_signs_of_life(site, ear):
    """Without early news the daemon is ill: the log says who is missing."""
    with served(ear, *impatient(site.file, "InotifyFD", hung=60.0)) as process:
        until(lambda: ear.heard("READY"))
        process.send_signal(signal.SIGUSR1)
        silent = until(lambda: wake(site) or site.said("watchdog.silent"))
        assert {each["who"] for each in silent} == {"watcher"}
        until(ear.is_silent)
        assert process.poll() is None


def test_a_daemon_that_starts_or_stops_slowly_asks_for_time(site, ear):
    """While work is let out, systemd is asked to wait for it."""
    site.sandbox.fault("delay", host="storage", method="PUT", seconds=100, times=None)
    site.drop("p1")
    with served(ear, *PROGRAM, "run", "--config", str(site.file)) as process:
        until(lambda: "1 uploading" in str(ear.heard("STATUS")))
        until(lambda: any(call["method"] == "PUT" for call in site.sandbox.calls()))
        process.send_signal(signal.SIGTERM)
        until(lambda: ear.heard("STOPPING"))
        start = next(n for n, each in enumerate(ear.told) if "STOPPING" in each)
        until(lambda: ear.heard("EXTEND_TIMEOUT_USEC", start))
        site.sandbox.clear_faults()
        assert process.wait(60) == 0


def test_without_a_manager_nobody_is_told():
    """By hand, in a container without systemd, or with another kind of socket: silence."""
    for environment in ({}, {"NOTIFY_SOCKET": "vsock:2:1"}, {"NOTIFY_SOCKET": ""}):
        assert not manager(environment)
        manager(environment).tell(READY=1)


def test_a_manager_that_is_gone_harms_nobody(tmp_path):
    """The socket's file is not there: nothing is raised."""
    manager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell(READY=1)


@pytest.mark.parametrize(
    ("more", "seconds"),
    [
        ({}, 2.0),
        ({"WATCHDOG_PID": str(os.getpid())}, 2.0),
        ({"WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_asked_for_by_the_environment(more, seconds):
    """Only a number of microseconds, and only if this very process is meant."""
    found = manager({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "2000000", **more})
    assert found.watchdog == seconds


def test_silence_is_noticed_and_a_beat_ends_it():
    """On a clock of its own: who is at work, makes no progress, then some, then is done."""
    now = [0.0]
    heartbeats = Heartbeats(lambda: now[0])
    with heartbeats.of("case"):
        now[0] = 10.0
        assert heartbeats.silent(5.0) == {"case"}
        heartbeat()
        assert not heartbeats.silent(5.0)
        now[0] = 20.0
        heartbeats.tell("case")
        heartbeats.tell("nobody")
        assert not heartbeats.silent(5.0)
        now[0] = 30.0
    assert not heartbeats.silent(5.0)
    heartbeat()
