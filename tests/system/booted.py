"""The service under a real systemd: in a clean Debian, installed as install.md and service.md say.

`make test-systemd` runs it. The platform is a sandbox in this process: the Debian shares the
machine's network. One Debian is booted for all tests, and each finds the service at work.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.builders import mha, until
from support.checkout import ROOT
from support.debian_tree import NotHere, debian, why_not

from gcwatch.cli.errors import Exit
from gcwatch.sandbox import Sandbox

PAGE = ROOT / "docs" / "service.md"
LOBES = "/srv/gcwatch/lobes"
CONFIG = """
[platform]
url = "{url}"
{token}
[[route]]
name = "lobes"
inbox = "{inbox}"
outbox = "{outbox}"
algorithm = "copy-image"
settle = "0s"
poll = "100ms"
"""
OTHER = """
[[route]]
name = "other"
inbox = "/srv/gcwatch/other/in"
outbox = "/srv/gcwatch/other/out"
algorithm = "copy-image"
settle = "0s"
poll = "100ms"
"""
RESTART_SOON = "[Service]\nRestartSec=100ms\n[Unit]\nStartLimitIntervalSec=0\n"

pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
    pytest.mark.timeout(1200),  # the first of them makes the Debian, and installs
]


def commands(page, heading):
    """The lines that a section of a page tells root to type, in order."""
    section = re.split(rf"^## {heading}$", page.read_text(), flags=re.MULTILINE)[1]
    section = re.split(r"^## ", section, flags=re.MULTILINE)[0]
    return re.findall(r"^# (.*)$", section, re.MULTILINE)


class Ward:
    """A booted Debian with gcwatch in it, and the platform."""

    def __init__(self, machine, sandbox):
        self.machine = machine
        self.sandbox = sandbox
        self.dropped = 0

    def path(self, place):
        """A file of the Debian, as seen from here."""
        return self.machine.root / place.lstrip("/")

    # --- installing ------------------------------------------------------------------------------

    def install(self):
        """Do what install.md says, with a config for the sandbox."""
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, check=True)
        for name in listed.stdout.decode().splitlines():
            place = self.path("/opt/gcwatch") / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place)
        for line in commands(ROOT / "docs" / "install.md", "From source, as a service"):
            self.type(line)

    def type(self, line):
        """Do as a person who types this line; return what it wrote."""
        if line.startswith("editor "):
            name = Path(line.split()[1]).stem
            folder = LOBES if name == "gcwatch" else f"/data/{name}"
            return self.configure(name, f"{folder}/in", f"{folder}/out")
        text = self.sandbox.token if "/dev/stdin" in line else ""
        return self.machine.run("sh", "-ec", line, text=text).stdout

    def configure(
        self, name="gcwatch", inbox=f"{LOBES}/in", outbox=f"{LOBES}/out", token="", more=""
    ):
        """Write the config of the service, or of one of its instances."""
        text = CONFIG.format(url=self.sandbox.url, inbox=inbox, outbox=outbox, token=token) + more
        self.path(f"/etc/gcwatch/{name}.toml").write_text(text)

    def open_folders(self):
        """Do what the page says for a config with other folders."""
        for line in commands(PAGE, "Folders"):
            self.type(line)

    def amend(self, text, unit="gcwatch"):
        """Change the unit until the test ends."""
        place = self.path(f"/etc/systemd/system/{unit}.service.d/test.conf")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        self.ctl("daemon-reload")

    # --- using -----------------------------------------------------------------------------------

    def ctl(self, *arguments, check=True):
        """What systemctl says."""
        return self.machine.run("systemctl", *arguments, check=check).stdout

    def show(self, name, unit="gcwatch"):
        return self.ctl("show", "--value", f"--property={name}", unit).strip()

    def entries(self, *matches, unit="gcwatch"):
        """The journal's entries."""
        command = ["journalctl", "--output=json", "--quiet", "-u", unit, *matches]
        return [json.loads(line) for line in self.machine.run(*command).stdout.splitlines()]

    def events(self, *matches, unit="gcwatch"):
        found = self.entries(*matches, unit=unit)
        return [each["GCWATCH_EVENT"] for each in found if "GCWATCH_EVENT" in each]

    def make_folders(self, *places):
        """Make folders for the service, as install.md does."""
        self.machine.run("install", "-d", "-o", "gcwatch", "-g", "gcwatch", "-m", "2770", *places)

    def drop(self, folder=LOBES):
        """Put a patient into an inbox by one rename, as a person who is there; return its name."""
        self.dropped += 1
        name = f"doe-{self.dropped}"
        self.path("/var/patient.mha").write_bytes(mha(self.dropped))
        made = f"{folder}/in/.arriving"
        done = (
            f"mkdir {made} && cp /var/patient.mha {made}/image.mha && mv {made} {folder}/in/{name}"
        )
        self.machine.run("sh", "-ec", done)
        return name

    def receipt(self, name, folder=LOBES):
        """What came back for a patient, once it is there."""
        reading = ("cat", f"{folder}/out/{name}/gcwatch.json")
        return json.loads(until(lambda: self.machine.run(*reading, check=False).stdout, 60))

    def host_pid(self):
        """The daemon's process, by the number that it has out here."""
        inside = self.show("MainPID")
        leaf = f"\t{inside}\n"
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                numbers = re.search(r"^NSpid:(.*\n)", status.read_text(), re.MULTILINE)[1]
            except OSError:
                continue
            if numbers.count("\t") > 1 and numbers.endswith(leaf):
                return int(status.parent.name)
        raise AssertionError(f"no process {inside}")

    def jobs(self):
        return self.sandbox.state()["jobs"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A ward, installed once."""
    try:
        with (
            Sandbox(tmp_path_factory.mktemp("platform")) as sandbox,
            debian() as machine,
            machine.booted(),
        ):
            ward = Ward(machine, sandbox)
            ward.install()
            yield ward
    except NotHere as reason:
        pytest.skip(str(reason))


@pytest.fixture
def ward(installed):
    """The service at work, as it was installed; what a test changes is put back."""
    installed.ctl("reset-failed")
    installed.ctl("start", "gcwatch")
    yield installed
    print(installed.machine.run("journalctl", "--no-pager", "--lines=40").stdout)  # if it failed
    installed.sandbox.clear_faults()
    installed.sandbox.configure(latency=0.0, job_seconds=0.0, token_valid=True)
    amended = [*installed.path("/etc/systemd/system").glob("gcwatch*.d")]
    for each in amended:
        shutil.rmtree(each)
    installed.configure()
    if amended:
        installed.ctl("daemon-reload")
        installed.ctl("stop", "gcwatch")


# --- installed, and at work ----------------------------------------------------------------------


def test_a_patient_goes_through_the_service_as_it_is_installed(ward):
    """install.md's commands, a folder dropped, the result in the outbox: one job."""
    before = len(ward.jobs())
    receipt = ward.receipt(ward.drop())
    assert len(ward.jobs()) == before + 1
    assert receipt["target"]["job"] == ward.jobs()[-1]["pk"]
    assert ward.show("NRestarts") == "0"


def test_the_journal_tells_a_case_by_its_key(ward):
    """`journalctl GCWATCH_CASE=…` has its whole way, in sentences with fields, and no name."""
    name = ward.drop()
    key = ward.receipt(name)["key"]
    told = until(lambda: _whole(ward.entries(f"GCWATCH_CASE={key}")))
    assert told[0]["GCWATCH_EVENT"] == "case.found"
    for each in told:
        assert re.fullmatch("[0-9a-f]{32}", each["MESSAGE_ID"])
        assert (each["PRIORITY"], each["GCWATCH_ROUTE"]) == ("6", "lobes")
        assert not each["MESSAGE"].startswith("{")
    assert name not in json.dumps(ward.entries())


def _whole(entries):
    return entries if "case.delivered" in [each["GCWATCH_EVENT"] for each in entries] else None


def test_systemctl_status_says_what_is_going_on(ward):
    """Counts of routes and cases, from STATUS."""
    ward.sandbox.configure(job_seconds=600.0, average_duration=0.0)
    ward.drop()
    until(lambda: "1 running" in ward.show("StatusText"), 60)
    assert re.search(r"Status: \"1 routes, 0 mirrors; 1 running\"", ward.ctl("status", "gcwatch"))
    ward.sandbox.advance(600.0)
    until(lambda: "no open case" in ward.show("StatusText"), 60)


def test_the_check_that_the_page_shows_finds_nothing_wrong(ward):
    """With the token that only root can read, as the user of the service."""
    [line] = re.findall(r"^# (systemd-run .*)$", PAGE.read_text(), re.MULTILINE)
    assert "✗" not in ward.type(line)


# --- ended, and started again --------------------------------------------------------------------


@pytest.mark.parametrize("writes", [1, 2, 3, 4])
def test_a_case_survives_that_the_daemon_is_killed(ward, writes):
    """SIGKILL right after a write to the platform: started again, one job, one result."""
    ward.amend(RESTART_SOON)
    restarts, jobs = int(ward.show("NRestarts")), len(ward.jobs())
    ward.sandbox.kill(ward.host_pid(), after_write=writes)
    ward.receipt(ward.drop())
    until(lambda: int(ward.show("NRestarts")) == restarts + 1)
    assert len(ward.jobs()) == jobs + 1


def test_the_watchdog_ends_what_hangs_and_says_where(ward):
    """A daemon that is frozen is ended, its stacks are in the journal, and the next one works."""
    ward.amend(RESTART_SOON + "[Service]\nWatchdogSec=2\n")
    ward.ctl("restart", "gcwatch")
    ward.ctl("kill", "--signal=STOP", "--kill-who=main", "gcwatch")
    until(lambda: ward.show("NRestarts") == "1", 60)
    told = "\n".join(str(each["MESSAGE"]) for each in ward.entries())
    assert "Watchdog timeout" in told
    assert "Fatal Python error: Aborted" in told
    ward.receipt(ward.drop())


def test_a_busy_daemon_is_left_alone_by_the_watchdog(ward):
    """A job and slow answers that take longer than the watchdog waits."""
    ward.amend("[Service]\nWatchdogSec=2\n")
    ward.ctl("restart", "gcwatch")
    ward.sandbox.configure(latency=0.7)
    ward.receipt(ward.drop())
    assert ward.show("NRestarts") == "0"


def test_a_stop_lets_work_out_and_the_next_start_goes_on(ward):
    """In the middle of an upload: a clean end, and one job in all."""
    jobs = len(ward.jobs())
    begun = ward.events().count("upload.begun")
    ward.sandbox.configure(latency=0.5)
    name = ward.drop()
    until(lambda: ward.events().count("upload.begun") > begun, 60)
    ward.ctl("stop", "gcwatch")
    assert (ward.show("Result"), ward.show("ExecMainStatus")) == ("success", "0")
    assert ward.events()[-1] == "daemon.stopped"
    ward.ctl("start", "gcwatch")
    ward.receipt(name)
    assert len(ward.jobs()) == jobs + 1


# --- what a person has to mend -------------------------------------------------------------------


def failed_with(ward, status):
    """Start it; it fails with this status, and is not tried again."""
    ward.amend(RESTART_SOON)
    ward.ctl("restart", "gcwatch", check=False)
    until(lambda: ward.show("ActiveState") == "failed", 60)
    assert int(ward.show("ExecMainStatus")) == status
    assert ward.show("NRestarts") == "0"


def test_a_config_with_a_mistake_is_not_tried_again(ward):
    """Status 78, and the mistake is in the journal."""
    with ward.path("/etc/gcwatch/gcwatch.toml").open("a") as file:
        file.write("algoritm = 1\n")
    failed_with(ward, Exit.CONFIG)
    assert "algoritm" in str(ward.entries()[-20:])


def test_a_token_file_that_is_not_there_is_not_tried_again(ward):
    """Status 243 is systemd's own."""
    file = ward.path("/etc/gcwatch/token")
    aside = file.rename(file.with_name("aside"))
    try:
        failed_with(ward, 243)
    finally:
        aside.rename(file)


def test_a_refused_token_pauses_the_service(ward):
    """No restart: systemctl says why nothing moves."""
    ward.sandbox.configure(token_valid=False)
    ward.drop()
    until(lambda: "the token is refused" in ward.show("StatusText"), 60)
    assert (ward.show("ActiveState"), ward.show("NRestarts")) == ("active", "0")


# --- what it may do ------------------------------------------------------------------------------


def test_the_running_service_is_as_closed_as_its_file_says(ward):
    """The loaded unit, by the measure of systemd-analyze: 1.1 or less."""
    ward.machine.run("systemd-analyze", "security", "--threshold=11", "gcwatch.service")


def test_it_writes_where_it_may_and_nowhere_else(ward):
    """As the daemon sees the files, even root can't write to other places, or see homes."""
    ward.path("/home/ops").mkdir(exist_ok=True)
    inside = ("nsenter", f"--target={ward.show('MainPID')}", "--mount")

    def may_write(place):
        return not ward.machine.run(*inside, "touch", f"{place}/x", check=False).returncode

    assert all(map(may_write, ("/srv/gcwatch", "/var/lib/gcwatch", "/run/gcwatch", "/tmp")))
    assert not any(map(may_write, ("/etc/gcwatch", "/opt/gcwatch", "/var", "/srv", "/usr", "/")))
    assert ward.machine.run(*inside, "ls", "/home").stdout == ""
    assert not ward.path("/tmp/x").exists()


def test_the_token_is_nowhere_to_be_read(ward):
    """Not in the unit's properties, the journal, the arguments, the environment or the status."""
    ward.sandbox.configure(token_valid=False)
    ward.drop()
    until(lambda: "the token is refused" in ward.show("StatusText"), 60)
    pid = ward.show("MainPID")
    told = ward.ctl("show", "gcwatch") + json.dumps(ward.entries()) + ward.ctl("status", "gcwatch")
    told += ward.machine.run("cat", f"/proc/{pid}/cmdline", f"/proc/{pid}/environ").stdout
    assert "CREDENTIALS_DIRECTORY" in told
    assert ward.sandbox.token not in told


# --- other folders, other configs ----------------------------------------------------------------


def test_an_instance_works_with_folders_of_its_own(ward):
    """What the page says for several configs: a drop-in opens folders, and each has a state."""
    ward.make_folders("/data/ward/in", "/data/ward/out")
    for line in commands(PAGE, "Several configs"):
        ward.type(line)
    ward.receipt(ward.drop("/data/ward"), "/data/ward")
    assert ward.path("/var/lib/gcwatch/ward/journal.sqlite").exists()
    assert ward.show("ActiveState") == "active"
    ward.ctl("disable", "--now", "gcwatch@ward")


def test_folders_below_home_are_opened_by_the_drop_in(ward):
    """Homes are hidden; what the config names is bound."""
    ward.path("/home/ops").mkdir(exist_ok=True)
    ward.make_folders("/home/ops/in", "/home/ops/out")
    ward.configure(inbox="/home/ops/in", outbox="/home/ops/out")
    ward.open_folders()
    ward.receipt(ward.drop("/home/ops"), "/home/ops")


def test_a_token_file_needs_no_credential(ward):
    """The drop-in takes it away; the file is the service's own."""
    place = "/var/lib/gcwatch/own-token"
    ward.machine.run("install", "-o", "gcwatch", "-m", "600", "/etc/gcwatch/token", place)
    aside = ward.path("/etc/gcwatch/token").rename(ward.path("/etc/gcwatch/aside"))
    try:
        ward.configure(token=f'token_file = "{place}"')
        ward.open_folders()
        ward.receipt(ward.drop())
    finally:
        aside.rename(ward.path("/etc/gcwatch/token"))


def test_a_folder_that_is_not_there_is_not_tried_again(ward):
    """The drop-in names it, in its first lines; status 226."""
    ward.path("/data").mkdir(exist_ok=True)
    ward.configure(outbox="/data/missing")
    ward.type(commands(PAGE, "Folders")[0])
    ward.type(commands(PAGE, "Folders")[1])
    drop = ward.path("/etc/systemd/system/gcwatch.service.d/paths.conf").read_text()
    assert "# This must be there before the service starts: /data/missing" in drop
    failed_with(ward, 226)


def test_results_wait_for_their_share(ward):
    """The mount that an outbox is on comes first, without being asked for otherwise."""
    unit = "[Mount]\nWhat=none\nWhere=/mnt\nType=tmpfs\nOptions=mode=0777\n"
    ward.path("/etc/systemd/system/mnt.mount").write_text(unit)
    ward.configure(outbox="/mnt")
    ward.open_folders()
    name = ward.drop()
    until(lambda: not ward.machine.run("test", "-e", f"/mnt/{name}", check=False).returncode, 60)
    assert ward.show("ActiveState", "mnt.mount") == "active"
    assert not ward.path(f"/mnt/{name}").exists()  # on the share, not below it
    ward.ctl("stop", "mnt.mount")
    assert ward.show("ActiveState") == "inactive"


def test_a_share_with_an_inbox_may_come_late_and_go(ward):
    """Another route goes on without it; the service works with it once it is there."""
    ward.path("/media/scanner").mkdir()
    ward.configure(inbox="/media/scanner/in", more=OTHER)
    ward.make_folders("/srv/gcwatch/other/in", "/srv/gcwatch/other/out")
    ward.open_folders()
    until(lambda: "inbox.away" in ward.events(), 60)
    ward.receipt(ward.drop("/srv/gcwatch/other"), "/srv/gcwatch/other")
    ward.machine.run("mount", "-t", "tmpfs", "none", "/media/scanner")
    ward.machine.run("mkdir", "/media/scanner/in")
    name = ward.drop("/media/scanner")
    ward.drop("/srv/gcwatch/other")  # all inboxes are looked at when one has news
    ward.receipt(name)
    ward.machine.run("umount", "--lazy", "/media/scanner")
    assert ward.show("ActiveState") == "active"


# --- a config that changes -----------------------------------------------------------------------


def test_a_reload_adds_a_route_and_ends_nothing(ward):
    """`systemctl reload`: the same process, one route more."""
    pid = ward.show("MainPID")
    ward.make_folders("/srv/gcwatch/other/in", "/srv/gcwatch/other/out")
    ward.configure(more=OTHER)
    for line in commands(PAGE, "Changing the config"):
        ward.type(line)
    ward.receipt(ward.drop("/srv/gcwatch/other"), "/srv/gcwatch/other")
    assert ward.show("MainPID") == pid


def test_a_reload_with_a_mistake_goes_on_as_before(ward):
    """The unit stays active; systemctl and the journal tell of the mistake."""
    pid = ward.show("MainPID")
    ward.configure(more="algoritm = 1")
    ward.ctl("reload", "gcwatch")
    until(lambda: "config.refused" in ward.events(), 60)
    until(lambda: ward.show("ActiveState") == "active", 60)
    ward.receipt(ward.drop())
    assert ward.show("MainPID") == pid


# --- the end -------------------------------------------------------------------------------------


def test_it_comes_back_after_a_reboot(ward):
    """In the middle of a job: it was enabled, and goes on."""
    jobs = len(ward.jobs())
    ward.sandbox.configure(job_seconds=600.0, average_duration=0.0)
    name = ward.drop()
    until(lambda: len(ward.jobs()) == jobs + 1, 60)
    ward.machine.reboot()
    ward.sandbox.advance(600.0)
    ward.receipt(name)
    assert len(ward.jobs()) == jobs + 1


# --- the page on the share ------------------------------------------------------------------------


def test_the_service_draws_the_pictures_of_its_page(ward):
    """Under the limits of the unit, another process may be started, and the page be replaced."""
    page = f"{LOBES}/status.html"
    ward.configure(more=f'report = "{page}"\n')
    ward.ctl("reload", "gcwatch")
    ward.receipt(ward.drop())
    seen = until(lambda: 'alt="Result, ' in ward.machine.run("cat", page, check=False).stdout, 150)
    assert seen
