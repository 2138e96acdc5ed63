"""Lines are an interface: complete, in one format, and without anything that should stay inside."""

import contextlib
import io
import json
import logging
import os
import shutil
import stat
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.checkout import ROOT
from support.logging_setup import Wanted
from support.open_files import open_files

from gcwatch import log
from gcwatch.core.errors import ConfigError
from gcwatch.log.sentences import event_sentence

URL = "https://bucket.s3.example/key/1?X-Amz-Signature=5ec2e7&X-Amz-Credential=AK1A"


def configured(**wanted):
    """A stream that receives JSON lines from now on."""
    stream = io.StringIO()
    log.configure(Wanted(**wanted), stream=stream)
    return stream


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def failed():
    """An error whose message names a patient."""
    try:
        Path("/nonexistent/Jansen^Jan").stat()
    except OSError as error:
        return error


# --- the catalogue --------------------------------------------------------------------------------


def test_docs_are_generated():
    """docs/events.md is what the catalogue says."""
    assert (ROOT / "docs/events.md").read_text() == log.reference()


@pytest.mark.parametrize("event", log.CATALOGUE)
def test_every_event_is_named_and_levelled(event):
    """Events are dotted names with a usable level, one sentence, and no field that is reserved."""
    spec = log.CATALOGUE[event]
    assert event.count(".") == 1
    assert event == event.lower()
    assert spec.level in {"debug", "info", "warning", "error"}
    assert spec.meaning.endswith(".")
    assert not {"time", "level", "event", "route", "case", "folder"} & set(spec.fields)


@pytest.mark.parametrize("event", log.CATALOGUE)
def test_every_event_writes_every_field(event):
    """Each event can be written with all of its fields, as one line that holds them."""
    stream = configured(level="debug")
    facts = dict.fromkeys((*log.CATALOGUE[event].fields, "route", "case"), "x")
    log.emit(event, **facts)
    [line] = lines(stream)
    assert {key: line.pop(key) for key in ("event", "level")} == {
        "event": event,
        "level": log.CATALOGUE[event].level,
    }
    assert line.pop("time")
    assert line == facts


def test_unknown_event_raises():
    """An event that the catalogue does not hold is a programming error."""
    with pytest.raises(KeyError, match=r"case\.teleported"):
        log.emit("case.teleported")


@pytest.mark.parametrize("field", ["patient", "event", "time", "level", "files"])
def test_unknown_field_raises(field):
    """A field that the event does not have is a programming error, even if another has it."""
    with pytest.raises(TypeError, match=field):
        log.emit("case.found", **{field: 1})


def test_folder_belongs_to_cases():
    """Only events of a case may be told the folder."""
    with pytest.raises(TypeError, match="folder"):
        log.emit("upload.begun", folder="Jansen")


# --- lines ----------------------------------------------------------------------------------------


def test_line_is_json_in_reading_order():
    """A line begins with time, level, event, route and case, whatever order they were given in."""
    stream = configured()
    log.emit("case.changed", bytes=3, files=1, case="a-1", route="a")
    [line] = lines(stream)
    assert list(line) == ["time", "level", "event", "route", "case", "bytes", "files"]


def test_time_is_utc_in_milliseconds():
    """The time is ISO 8601 in UTC with three decimals."""
    stream = configured()
    log.emit("daemon.stopped")
    assert len(lines(stream)[0]["time"]) == len("2026-07-01T12:00:00.000Z")
    assert lines(stream)[0]["time"].endswith("Z")


@pytest.mark.parametrize(("level", "count"), [("debug", 3), ("info", 2), ("warning", 1)])
def test_level_is_kept(level, count):
    """Nothing below the configured level is written."""
    stream = configured(level=level)
    for event in ("case.left", "daemon.stopped", "uploads.expired"):
        log.emit(event)
    assert len(lines(stream)) == count


def test_people_get_coloured_lines(monkeypatch):
    """On a terminal a line is coloured and holds every fact."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = io.StringIO()
    log.configure(Wanted(), stream=stream, tty=True)
    log.emit("case.failed", case="a-1", reason="no_files")
    assert "\x1b[" in stream.getvalue()
    assert "no_files" in stream.getvalue()


def test_no_color_is_obeyed(monkeypatch):
    """$NO_COLOR turns colours off."""
    monkeypatch.setenv("NO_COLOR", "1")
    stream = io.StringIO()
    log.configure(Wanted(), stream=stream, tty=True)
    log.emit("case.found", case="a-1", route="a")
    assert "\x1b[" not in stream.getvalue()
    assert "case.found" in stream.getvalue()
    assert "route=a case=a-1" in stream.getvalue()


def test_configure_twice_writes_once():
    """A second configuration replaces the first."""
    first, second = configured(), configured()
    log.emit("daemon.stopped")
    assert (len(lines(first)), len(lines(second))) == (0, 1)


def test_nothing_is_written_unconfigured(capfd):
    """A program that only imports gcwatch hears nothing of it."""
    log.emit("journal.full", error="OSError")
    assert capfd.readouterr() == ("", "")


# --- the file -------------------------------------------------------------------------------------


def test_file_gets_json_beside_the_terminal(tmp_path):
    """The file holds JSON lines also while the stream is a terminal."""
    file = tmp_path / "log.jsonl"
    log.configure(Wanted(file=file), stream=io.StringIO(), tty=True)
    log.emit("daemon.stopped")
    assert json.loads(file.read_text())["event"] == "daemon.stopped"


def test_file_is_the_owners_alone_and_appended_to(tmp_path):
    """The file is made with mode 0600, and an older one is continued."""
    file = tmp_path / "log.jsonl"
    for _ in range(2):
        configured(file=file)
        log.emit("daemon.stopped")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text().splitlines()) == 2


def test_rotated_file_is_opened_anew(tmp_path):
    """After logrotate moved the file away, lines go to a new one."""
    file = tmp_path / "log.jsonl"
    configured(file=file)
    log.emit("case.left")
    file.rename(tmp_path / "log.jsonl.1")
    log.emit("daemon.stopped")
    assert json.loads(file.read_text())["event"] == "daemon.stopped"


def test_unusable_file_is_a_config_error(tmp_path):
    """A log file that can't be opened is a problem of the config, with its path."""
    with pytest.raises(ConfigError) as caught:
        configured(file=tmp_path / "absent" / "log.jsonl")
    assert caught.value.problems[0].path == "log.file"
    assert "absent" in caught.value.file


def test_full_disk_loses_lines_not_work(capfd):
    """A stream that can't be written to raises nothing and prints no traceback."""
    with contextlib.suppress(OSError), Path("/dev/full").open("w") as full:
        log.configure(Wanted(), stream=full)
        log.emit("case.found", case="a-1")
        log.reset_logging()
    assert capfd.readouterr().err == ""


def test_a_log_file_that_cannot_be_written_is_told_once_and_tried_again(tmp_path):
    """Its folder is gone: lines go to the other log, work goes on, and later lines are written."""
    file = tmp_path / "logs" / "log.jsonl"
    file.parent.mkdir()
    stream = configured(file=file)
    shutil.rmtree(file.parent)
    log.emit("daemon.started")
    log.emit("daemon.started")
    file.parent.mkdir()
    log.emit("daemon.stopped")
    assert [line["event"] for line in lines(stream)].count("log.failed") == 1
    assert json.loads(file.read_text())["event"] == "daemon.stopped"
    shutil.rmtree(file.parent)
    log.emit("daemon.started")
    assert [line["event"] for line in lines(stream)].count("log.failed") == 2


def test_a_full_log_file_is_closed_without_an_error():
    """At a reload, or at the end: its lines are lost, and nothing else."""
    configured(file=Path("/dev/full"))
    log.emit("daemon.stopped")
    log.reset_logging()


def test_a_pipe_without_a_reader_is_no_log_file(tmp_path):
    """It is refused; nothing waits for a reader."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError):
        configured(file=tmp_path / "pipe")


# --- what never leaves ----------------------------------------------------------------------------


def test_folder_is_dropped_by_default():
    """A folder's name is accepted and not written."""
    stream = configured()
    log.emit("case.found", case="a-1", folder="Jansen^Jan")
    assert "Jansen" not in stream.getvalue()
    assert "folder" not in lines(stream)[0]


def test_folder_is_written_when_wanted():
    """`folder_names = true` writes it."""
    stream = configured(folder_names=True)
    log.emit("case.found", case="a-1", folder="Jansen^Jan")
    assert lines(stream)[0]["folder"] == "Jansen^Jan"


def test_hidden_secret_is_never_written():
    """A registered secret is replaced wherever it turns up, however deep."""
    stream = configured()
    log.hide_secret("s3cr3t")
    log.emit("case.planned", case="s3cr3t", inputs={"s3cr3t": ["a s3cr3t b"], "n": 1})
    [line] = lines(stream)
    assert "s3cr3t" not in stream.getvalue()
    assert line["inputs"] == {"[hidden]": ["a [hidden] b"], "n": 1}


def test_hiding_nothing_hides_nothing():
    """An empty secret does not blank the log."""
    stream = configured()
    log.hide_secret("")
    log.emit("daemon.stopping", signal="SIGTERM")
    assert lines(stream)[0]["signal"] == "SIGTERM"


@pytest.mark.parametrize(
    ("said", "secret"),
    [
        (f"GET {URL} failed", "5ec2e7"),
        (f"GET {URL} failed", "AK1A"),
        ("/bucket/key?uploadId=5ec2e7 refused", "5ec2e7"),
        ("{'Authorization': 'BEARER 5ec2e7'}", "5ec2e7"),
        ("authorization: 5ec2e7", "5ec2e7"),
        ("Bearer 5ec2e7", "5ec2e7"),
        ("X-Amz-Security-Token=5ec2e7&a=b", "5ec2e7"),
        ("AWSAccessKeyId=AK1A&Signature=5ec2e7", "5ec2e7"),
        ("http://user:5ec2e7@proxy:3128 is down", "5ec2e7"),
        ("token " + "5ec2e7aa" * 8, "5ec2e7"),
        ("postgresql://me:pa/ss@w:5ec2e7@db/gcwatch", "5ec2e7"),
        ("postgres://me:5ec2e7@a,b/gcwatch?sslmode=require", "5ec2e7"),
        ("postgresql+psycopg://me:5ec2e7@db", "5ec2e7"),
        ("postgresql:///gcwatch?user=me&password=5ec2e7", "5ec2e7"),
        ("connection failed: host=db password=5ec2e7 user=me", "5ec2e7"),
        (r"host=db password='it\'s 5ec2e7' user=me", "5ec2e7"),
        ("{'host': 'db', 'password': 'x 5ec2e7'}", "5ec2e7"),
        ("PGPASSWORD=5ec2e7 psql", "5ec2e7"),
    ],
)
def test_what_looks_secret_is_hidden(said, secret):
    """Tokens, signatures, URL queries and passwords are hidden without being registered."""
    stream = configured()
    log.emit("case.planned", route=said, inputs={"inner": [said]})
    assert secret not in stream.getvalue()
    assert "[hidden]" in stream.getvalue()


@pytest.mark.parametrize(
    "said",
    [
        *("**/IMG?.dcm", "https://grand-challenge.org/api/v1/x/", "Why?"),
        'password authentication failed for user "gcwatch"',
        "postgresql://db.hospital.example/gcwatch is away",
    ],
)
def test_what_is_no_secret_stays(said):
    """Globs, plain URLs and prose are left as they are."""
    stream = configured()
    log.emit("case.faltered", reason=said)
    assert lines(stream)[0]["reason"] == said


def test_error_is_its_type_and_its_frames():
    """An exception becomes a type and the places that it came by; messages and values stay out."""
    stream = configured()
    log.emit("step.crashed", case="a-1", step="Poll", error=failed())
    [line] = lines(stream)
    assert line["error"] == "FileNotFoundError"
    assert any(frame.split(":")[1] == "failed" for frame in line["frames"])
    assert "Jansen" not in stream.getvalue()


def test_error_without_frames_field_is_its_type():
    """An event without `frames` gets the type alone."""
    stream = configured()
    log.emit("journal.full", error=failed())
    assert lines(stream)[0]["error"] == "FileNotFoundError"
    assert "frames" not in lines(stream)[0]


def test_frames_hold_no_values():
    """`frames` names module, function and line."""
    module, function, line = log.error_frames(failed())[0].split(":")
    assert (module.endswith("test_log"), function) == (True, "failed")
    assert line.isdigit()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Path("/srv/a"), "/srv/a"),
        (b"\xff".decode("utf-8", "surrogateescape"), "\\udcff"),
        ("a\x1b[2Jb\nc", "a\\x1b[2Jb\\nc"),
        (("a", Path("b")), ["a", "b"]),
        ({1: None}, {"1": None}),
        (0.5, 0.5),
        (b"bytes", "bytes"),
        (object(), "object"),
    ],
)
def test_any_value_becomes_plain_json(value, written):
    """Paths, undecodable names, control characters and odd objects never break a line."""
    stream = configured()
    log.emit("case.planned", inputs=value)
    assert lines(stream)[0]["inputs"] == written


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_any_text_is_one_line(text):
    """Whatever text a fact holds, exactly one readable line comes of it."""
    stream = configured(folder_names=True)
    log.emit("case.found", folder=text)
    assert len(lines(stream)) == 1
    log.reset_logging()


# --- libraries ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["urllib3.connectionpool", "watchdog.inotify", "apscheduler.x"])
def test_library_says_its_template_only(name):
    """A library's warning comes as an event without its arguments."""
    stream = configured()
    logging.getLogger(name).warning("Retrying %r after %s", "Jansen", URL)
    [line] = lines(stream)
    assert (line["event"], line["level"]) == ("library.message", "warning")
    assert (line["logger"], line["message"]) == (name, "Retrying … after …")
    assert "Jansen" not in stream.getvalue()


def test_library_that_interpolates_says_its_place_only():
    """Of libraries that may build messages out of data, only the place is told."""
    stream = configured()
    logging.getLogger("some_library").error("Invalid PatientName Jansen^Jan")
    assert lines(stream)[0]["message"].startswith("test_log:")
    assert "Jansen" not in stream.getvalue()


def test_library_error_has_frames():
    """A library's logged exception comes as type and frames."""
    stream = configured()
    try:
        raise failed()
    except OSError:
        logging.getLogger("apscheduler.executors.default").exception('Job "%s" raised', "Jansen")
    [line] = lines(stream)
    assert (line["error"], line["level"]) == ("FileNotFoundError", "error")
    assert line["frames"]
    assert "Jansen" not in stream.getvalue()


def test_library_chatter_is_left_out():
    """Below a warning, libraries are silent, whatever level they were set to."""
    stream = configured(level="debug")
    chatty = logging.getLogger("urllib3.connectionpool")
    chatty.setLevel(logging.DEBUG)
    chatty.debug("%s", URL)
    chatty.setLevel(logging.NOTSET)
    assert stream.getvalue() == ""


def test_python_warning_says_kind_and_place():
    """A Python warning is an event without its text, which may quote what was read."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        stream = configured()
        warnings.warn("Invalid value 'Jansen^Jan'", UserWarning, stacklevel=1)
        log.reset_logging()
    [line] = lines(stream)
    assert (line["event"], line["logger"]) == ("library.message", "py.warnings")
    assert line["message"].startswith("UserWarning at test_log.py:")
    assert "Jansen" not in stream.getvalue()


def test_reset_undoes_everything(tmp_path):
    """After `reset` no handler, no open file, no hook and no secret is left."""
    shown, handlers = warnings.showwarning, list(logging.getLogger().handlers)
    configured(file=tmp_path / "log.jsonl", folder_names=True)
    assert str(tmp_path / "log.jsonl") in open_files()
    log.hide_secret("s3cr3t")
    log.reset_logging()
    assert (warnings.showwarning, logging.getLogger().handlers) == (shown, handlers)
    assert str(tmp_path / "log.jsonl") not in open_files()
    stream = configured()
    log.emit("daemon.stopping", signal="s3cr3t")
    assert lines(stream)[0]["signal"] == "s3cr3t"


def test_a_failed_try_says_when_the_next_one_is():
    """Only the history of a case, which is read later, leaves that out."""
    facts = {"step": "deliver", "attempt": 4}
    assert event_sentence("case.faltered", {**facts, "seconds": 20}) == (
        "Delivering failed (attempt 4); next try in 20 s:"
    )
    assert event_sentence("case.faltered", facts) == "Delivering failed (attempt 4):"
