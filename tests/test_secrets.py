"""A whole run with trouble of every kind, and then a search for what must never be written."""

import io
import json
import os
import re
import stat
import zipfile
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pydicom
import pytest
from builders import FAST, SERIES, Site, mha

import gcwatch
from gcwatch import config, log

PATIENT, ODD, BROKEN = "Zebrowski", "Quixley", "Thorncastle"
NAMES = (PATIENT, ODD, BROKEN)
BIRTHDAY = "19310417"


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
    sign = signer._signature

    def signature(*arguments):
        made = sign(*arguments)
        given.add(made)
        return made

    monkeypatch.setattr(signer, "_signature", signature)
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
    with sandbox.world.lock:
        for upload in sandbox.world.uploads.values():
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
    log.reset()
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
    sandbox.fault("status", method="PUT", status=400, times=None)
    site = Site(folder, sandbox, deidentify=False)
    site.drop(f"{PATIENT}-Wanda", series())
    before = os.umask(0)
    try:
        with site.running():
            sandbox.wait_for(lambda each: any(c["method"] == "PUT" for c in each.calls()))
            spool = site.state / "spool"
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in spool.rglob("*")}
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
