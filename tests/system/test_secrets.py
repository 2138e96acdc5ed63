"""A whole run with trouble of every kind, and then a search for what must never be written."""

import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import pydicom
import pytest
from support.builders import FAST, SERIES, Site, mha, until

import gcwatch
from gcwatch import config, log
from gcwatch.cli.app import COMMANDS, load_command, options_of

PATIENT, ODD, BROKEN = "Zebrowski", "Quixley", "Thorncastle"
NAMES = (PATIENT, ODD, BROKEN)
BIRTHDAY = "19310417"
PR_GET_DUMPABLE = 3


def series():
    """A real series whose headers, file names and folder name one patient."""
    files = {}
    for number, path in enumerate(sorted(SERIES.iterdir())):
        dataset = pydicom.dcmread(path)
        dataset.PatientName, dataset.PatientBirthDate = f"{PATIENT}^Wanda", BIRTHDAY
        out = io.BytesIO()
        dataset.save_as(out)
        files[f"scan/{PATIENT}-{number}.dcm"] = out.getvalue()
    return files


class Stumble:
    """A progress display that breaks once, with a name in its message and in its locals."""

    def __init__(self):
        self.stumbled = False

    def __call__(self, key, moved, total):
        if moved and not self.stumbled:
            self.stumbled = True
            file = f"/inbox/{PATIENT}-Wanda/{PATIENT}-1.dcm"
            raise RuntimeError(f"{file}: {moved} of {total} of {key}")


def watch_signatures(sandbox, monkeypatch):
    """The signatures that the sandbox gives out from now on."""
    signer, given = sandbox._storage_handler.signer, set()
    sign = signer._compute_signature

    def signature(*arguments):
        made = sign(*arguments)
        given.add(made)
        return made

    monkeypatch.setattr(signer, "_compute_signature", signature)
    return given


def cause_trouble(sandbox):
    """Cuts, error pages, a throttle and a refused address, one of each; one body that echoes."""
    echo = {"detail": f"Bearer {sandbox.token} {sandbox.token} for https://s3/x?X-Amz-Signature=5e"}
    sandbox.fault("status", method="PATCH", path="presigned", status=400, body=json.dumps(echo))
    sandbox.fault("cut_after", method="POST", path="uploads/$")
    sandbox.fault("status", method="PATCH", path="complete-", status=500)
    sandbox.fault("cut_before", method="PUT", times=5)
    sandbox.fault("status", method="PUT", nth=6, status=403)
    sandbox.fault("status", method="GET", path="algorithms/jobs/", status=502)
    sandbox.fault("truncate", host="storage", method="GET", keep=20)
    slow = '{"detail": "slow"}'
    sandbox.fault(
        "status", method="GET", path="media", status=429, body=slow, headers={"Retry-After": "1"}
    )


def received(sandbox):
    """All bytes that arrived for uploads: as they came, and what is in them if they are zips."""
    with sandbox.platform_state.lock:
        for upload in sandbox.platform_state.uploads.values():
            yield upload.filename.encode()
            content = b"".join(
                upload.parts[number].path.read_bytes() for number in sorted(upload.parts)
            )
            yield content
            if zipfile.is_zipfile(io.BytesIO(content)):
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    for name in archive.namelist():
                        yield name.encode()
                        yield archive.read(name)


@pytest.fixture
def run(sandbox, tmp_path, monkeypatch, capfd):
    """A whole run: two folders delivered, one failed, and everything that was written."""
    signatures = watch_signatures(sandbox, monkeypatch)
    site = Site(tmp_path / "site", sandbox)
    text = site.file.read_text()
    site.file.write_text(text.replace("[log]\n", '[log]\nlevel = "debug"\n'))
    odd = os.fsdecode(ODD.encode() + b"-\xff\xe9")
    site.drop(f"{PATIENT}-Wanda", series())
    site.drop(odd, {f"{ODD}.mha": mha(5, 6, 7)})
    site.drop(BROKEN, {f"{BROKEN}.txt": b"no image"})
    cause_trouble(sandbox)
    sandbox.configure(import_seconds=1e9)  # what was received stays to be looked at
    log.configure(config.load(site.file).log)
    stumble = Stumble()
    with (
        gcwatch.open(site.file, pace=FAST, progress=stumble) as watch,
        ThreadPoolExecutor(1) as pool,
    ):
        working = pool.submit(watch.run_once)
        sandbox.wait_for(lambda each: len(each.state()["jobs"]) == 2)
        sent = list(received(sandbox))
        sandbox.configure(import_seconds=0)
        outcome = working.result()
    log.reset_logging()
    assert (outcome.delivered, outcome.failed, outcome.waiting) == (2, 1, 0)
    assert stumble.stumbled
    shown = capfd.readouterr()
    return SimpleNamespace(
        site=site,
        sent=sent,
        signatures=signatures,
        log=(site.folder / "log.jsonl").read_bytes(),
        shown=(shown.out + shown.err).encode(),
        said={line["event"] for line in site.said()},
    )


def files_below(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_nothing_of_a_run_gives_a_secret_away(run):
    """Logs name no patient, the platform hears of none, and nothing on disk opens a door."""
    check_logs(run)
    check_what_was_sent(run)
    check_disk(run)
    check_modes(run)


def check_logs(run):
    """The run met its trouble and told it, in the log file and on standard error, without names."""
    assert {"step.crashed", "case.faltered", "case.delivered", "case.failed"} <= run.said
    for written in (run.log, run.shown):
        assert b"case.delivered" in written
        for name in (*NAMES, BIRTHDAY):
            assert name.lower().encode() not in written.lower()
        assert run.site.sandbox.token.encode() not in written
        assert not [each for each in run.signatures if each.encode() in written]
        assert not re.search(rb"X-Amz-[A-Za-z]+=(?!\[hidden\])", written)


def check_what_was_sent(run):
    """Neither names of files nor bytes that reached the platform say who it is."""
    assert any(zipfile.is_zipfile(io.BytesIO(content)) for content in run.sent)
    for content in run.sent:
        for name in (PATIENT, ODD, BIRTHDAY):
            assert name.lower().encode() not in content.lower()


def check_disk(run):
    """Journal, spool, receipts and notes may name a folder; token and signatures stand nowhere."""
    written = [path for path in files_below(run.site.folder) if path != run.site.token]
    assert any(path.is_relative_to(run.site.state) for path in written)
    assert run.signatures
    for path in written:
        content = path.read_bytes()
        assert run.site.sandbox.token.encode() not in content, path.name
        assert not [each for each in run.signatures if each.encode() in content], path.name
        assert b"X-Amz-Signature" not in content, path.name


def check_modes(run):
    """What may name a patient is for its owner alone: the state folder is closed, its files too."""
    site = run.site
    files = [path for path in site.state.rglob("*") if path.is_file()]
    assert files
    for path in (site.state, *files, site.token, site.folder / "log.jsonl"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path.name


@pytest.mark.parametrize("names", ["opaque", "keep"])
def test_names_go_out_only_if_the_config_says_so(sandbox, tmp_path, names):
    """The search above can find something: with `names = "keep"` a file's name does go out."""
    sandbox.configure(import_seconds=1e9)
    site = Site(tmp_path / "site", sandbox, names=names, deidentify=False)
    site.drop(f"{PATIENT}-Wanda", series())
    with site.running():
        sandbox.wait_for(lambda each: each.state()["jobs"])
    inside = [content for content in received(sandbox) if len(content) < 200]
    assert any(PATIENT.encode() in content for content in inside) == (names == "keep")


def test_without_deidentification_the_name_would_go_out(sandbox, tmp_path):
    """The search above looks into what was sent: with `deidentify = false` it finds the name."""
    sandbox.configure(import_seconds=1e9)
    site = Site(tmp_path / "site", sandbox, deidentify=False)
    site.drop(f"{PATIENT}-Wanda", series())
    with site.running():
        sandbox.wait_for(lambda each: each.state()["jobs"])
    assert any(PATIENT.encode() in content for content in received(sandbox))


def spool_modes(sandbox, folder):
    """The modes of the spool and of what is in it, under a umask that grants everything."""
    sandbox.fault("delay", method="PUT", seconds=100)
    site = Site(folder, sandbox, deidentify=False)
    site.drop(f"{PATIENT}-Wanda", series())
    before = os.umask(0)
    try:
        with site.running():
            until(lambda: any(call["method"] == "PUT" for call in sandbox.calls()))
            spool = site.state / "spool"
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in spool.rglob("*")}
            sandbox.clear_faults()
            return site.state.stat().st_mode, spool.stat().st_mode, modes
    finally:
        os.umask(before)


def test_what_is_spooled_is_private(sandbox, tmp_path):
    """A patient's zip is for its owner alone, and so is each folder around it but one."""
    state, _, modes = spool_modes(sandbox, tmp_path / "site")
    assert stat.S_IMODE(state) == 0o700
    assert any(path.suffix == ".zip" for path in modes)
    assert set(modes.values()) == {0o600, 0o700}


def test_spool_folder_is_private_by_itself(sandbox, tmp_path):
    """Even if somebody opens the state folder, the spool stays closed."""
    _, spool, _ = spool_modes(sandbox, tmp_path / "site")
    assert stat.S_IMODE(spool) == 0o700


# --- the token -----------------------------------------------------------------------------------

FRESH = "f" * 64

# A fault that nobody foresaw, in a command, while the token is a local variable.
CRASHING = """
from gcwatch.platform import http
from gcwatch.cli import main
def broken(bearer, request):
    token = bearer._token()
    raise RuntimeError(f"unforeseen, {len(token)}")
http._Bearer.__call__ = broken
main()
"""


def crashing(site, *arguments):
    program = site.folder.parent / "crashing.py"  # of a file a traceback may show more
    program.write_text(CRASHING)
    command = [sys.executable, program, *arguments, "--config", site.file]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def renew(sandbox, token=FRESH):
    """From now on the platform knows another token, and not the old one."""
    with sandbox.platform_state.lock:
        sandbox.platform_state.users[0].token = token


@contextmanager
def during(site, *happens):
    """Deliver one patient while something happens in the middle of the upload."""
    left = [*happens]

    def progress(_key, moved, _total):
        if moved and left:
            left.pop()()

    site.drop("p1")
    site.listen()
    with gcwatch.open(site.file, pace=FAST, progress=progress) as watch:
        stop = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(watch.run, stop)
            try:
                yield
                until(lambda: site.delivered() or working.done(), 60)
            finally:
                stop.set()
            working.result()
    calls = site.sandbox.calls()
    assert sum(call["method"] == "PUT" and call["applied"] for call in calls) == 1
    assert len(site.jobs()) == 1
    log.reset_logging()
    written = (site.folder / "log.jsonl").read_text()
    assert FRESH not in written
    assert site.sandbox.token not in written


def test_a_token_that_is_rotated_during_an_upload_is_not_even_noticed(sandbox, tmp_path):
    """The platform's token and the file change between two calls of one case."""
    site = Site(tmp_path / "site", sandbox)
    with during(site, lambda: (renew(sandbox), site.use_token(FRESH))):
        pass
    assert not site.said("platform.token_refused")
    assert site.delivered() == ["p1"]


def test_a_token_that_is_rotated_too_late_costs_a_pause(sandbox, tmp_path):
    """Refused in the middle of an upload; the file is written: no restart, no byte sent again."""
    site = Site(tmp_path / "site", sandbox)
    with during(site, lambda: renew(sandbox)):
        until(lambda: site.said("platform.token_refused"))
        site.use_token("")  # a writer that empties the file first
        site.use_token(FRESH)
    assert site.said("platform.token_accepted")
    assert site.delivered() == ["p1"]


@pytest.mark.parametrize("command", ["check", "audit"])
def test_a_fault_tells_where_it_was_and_no_value(sandbox, tmp_path, command):
    """A traceback holds no local variables, the token among them."""
    site = Site(tmp_path / "site", sandbox, deidentify=False)
    site.drop()
    done = crashing(site, command)
    assert done.returncode
    said = done.stdout + done.stderr
    assert "RuntimeError" in said
    assert "broken" in said
    assert sandbox.token[:16] not in said  # who shows values may cut them


def below(site):
    return [path for path in files_below(site.folder) if path != site.token]


def test_no_option_takes_a_token():
    """What stands in arguments, every user of the machine can read."""
    options = {option for name in COMMANDS for option in options_of(load_command(name))}
    assert {each for each in options if "token" in each or "pass" in each} == {"--token-file"}


def test_what_a_killed_daemon_leaves_holds_no_token(sandbox, tmp_path):
    """Stacks without values on standard error, and no core, though the shell would allow one."""
    site = Site(tmp_path / "site", sandbox)
    program = f"{sys.executable} -m gcwatch run --config {site.file}"
    with subprocess.Popen(
        ["bash", "-c", f"ulimit -c unlimited || true; exec {program}"],
        cwd=site.folder,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        site.drop()
        until(site.delivered)
        os.kill(process.pid, signal.SIGABRT)
        said = process.stderr.read()
        process.returncode = 0  # reaped here, as Popen does not tell of cores
        assert not os.WCOREDUMP(os.waitpid(process.pid, 0)[1])
    assert "most recent call first" in said
    assert sandbox.token not in said
    for path in below(site):
        assert sandbox.token.encode() not in path.read_bytes()


def test_a_command_can_leave_no_core():
    """Not even to a program that the kernel pipes dumps to, which the limit would not bind."""
    script = (
        "import ctypes, resource\n"
        "from gcwatch.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        f"print(ctypes.CDLL(None).prctl({PR_GET_DUMPABLE}), "
        "resource.getrlimit(resource.RLIMIT_CORE))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines()[1:] == ["0 (0, 0)"]
