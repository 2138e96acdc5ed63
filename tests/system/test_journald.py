"""The journal's protocol, parsed as journald does, and read back by the real journalctl."""

import array
import fcntl
import io
import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.checkout import ROOT
from support.logging_setup import Wanted
from support.open_files import open_files

from gcwatch import log
from gcwatch.log import journald

PAGE = ROOT / "docs" / "logs.md"


# --- a socket that stands for journald ------------------------------------------------------------


class Listener:
    """What journald does with a datagram, by the letter of the protocol."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(10)

    def data(self):
        """The bytes of the next entry, and whether they came in a file."""
        space = socket.CMSG_SPACE(array.array("i").itemsize)
        data, rights, _, _ = self.socket.recvmsg(1 << 20, space)
        if data:
            return data, False
        [descriptor] = array.array("i", rights[0][2])
        with os.fdopen(descriptor, "rb") as file:
            assert fcntl.fcntl(file, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
            file.seek(0)
            return file.read(), True

    def entry(self):
        return parsed(self.data()[0])


def parsed(data):
    """Fields of an entry: `NAME=value`, or the value's length as 64 bits before it."""
    fields, rest = {}, data
    while rest:
        name, _, after = rest.partition(b"\n")
        if b"=" in name:
            name, _, value = name.partition(b"=")
        else:
            size = int.from_bytes(after[:8], "little")
            value, after = after[8 : 8 + size], after[8 + size :]
            assert after[:1] == b"\n"
            after = after[1:]
        fields[name.decode()] = value.decode()
        rest = after
    return fields


@pytest.fixture
def place():
    """A short path: a socket's may have 107 bytes."""
    with TemporaryDirectory() as folder:
        yield Path(folder) / "socket"


@pytest.fixture
def listener(place):
    listener = Listener(place)
    with listener.socket:
        yield listener


class Output(NamedTuple):
    written: TextIO
    read: TextIO


@pytest.fixture
def output(monkeypatch):
    """A stream that systemd has connected to the journal, as far as it can be seen."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as written, os.fdopen(reader) as read:
        connected(monkeypatch, written)
        yield Output(written, read)


def connected(monkeypatch, stream, off=0):
    status = os.fstat(stream.fileno())
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino + off}")


@pytest.fixture
def entries(listener, output):
    log.configure(Wanted(level="debug"), stream=output.written, journald_socket=listener.path)
    return listener


def failed():
    try:
        Path("/nonexistent/Jansen^Jan").stat()
    except OSError as error:
        return error


def test_event_is_an_entry_with_fields(entries):
    """Event, route, case and facts are fields; MESSAGE is a sentence, PRIORITY the level."""
    facts = {"files": 1, "bytes": 10, "seconds": 30.5, "unchanged_seconds": 30.1}
    log.emit("case.settled", route="lobes", case="lobes-1", **facts)
    assert entries.entry() == {
        "MESSAGE": "lobes-1: Folder complete: unchanged for 30 s (1 file, 10 bytes).",
        "PRIORITY": "6",
        "MESSAGE_ID": journald.message_id("case.settled"),
        "SYSLOG_IDENTIFIER": "gcwatch",
        "GCWATCH_EVENT": "case.settled",
        "GCWATCH_ROUTE": "lobes",
        "GCWATCH_CASE": "lobes-1",
        "GCWATCH_FILES": "1",
        "GCWATCH_BYTES": "10",
        "GCWATCH_SECONDS": "30.5",
        "GCWATCH_UNCHANGED_SECONDS": "30.1",
    }


def test_reason_is_said_in_plain_words(entries):
    """The sentence ends with the reason for a nurse; code and detail are fields."""
    words = {"reason": "no_files", "plain": "No file fits.", "detail": "ct-image: *.mha"}
    log.emit("case.failed", case="a-1", **words)
    entry = entries.entry()
    assert entry["MESSAGE"] == "a-1: The case failed: No file fits."
    assert (entry["GCWATCH_REASON"], entry["PRIORITY"]) == ("no_files", "3")
    assert entry["GCWATCH_DETAIL"] == "ct-image: *.mha"


@pytest.mark.parametrize(
    ("event", "priority"),
    [("case.left", "7"), ("case.found", "6"), ("inbox.away", "4"), ("journal.full", "3")],
)
def test_level_is_the_priority(entries, event, priority):
    """`journalctl -p warning` finds what is a warning or worse."""
    log.emit(event)
    assert entries.entry()["PRIORITY"] == priority


@pytest.mark.parametrize("event", log.CATALOGUE)
def test_every_event_can_be_an_entry(entries, event):
    """Each event arrives with all of its fields, under names that the journal accepts."""
    facts = dict.fromkeys((*log.CATALOGUE[event].fields, "route", "case"), "x")
    log.emit(event, **facts)
    entry = entries.entry()
    assert {f"GCWATCH_{key.upper()}" for key in facts} <= set(entry)
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", name) for name in entry)


def test_list_is_a_field_of_lines(entries):
    """Frames and inputs keep their order, a line each; newlines do not end the field."""
    log.emit("case.planned", case="a-1", inputs=["ct", "mask"], why=None)
    entry = entries.entry()
    assert entry["GCWATCH_INPUTS"] == "ct\nmask"
    assert "(inputs ct, mask)" in entry["MESSAGE"]
    assert "GCWATCH_WHY" not in entry


names = st.from_regex(r"[A-Z][A-Z0-9_]{0,20}", fullmatch=True)


@given(st.dictionaries(names, st.text()))
def test_any_value_survives_the_protocol(fields):
    """Newlines, equals signs and NULs in a value can't make fields of their own."""
    assert parsed(journald.encode_fields(fields)) == fields


def test_large_entry_comes_in_a_sealed_file(entries):
    """What no datagram can hold arrives whole, and leaves no descriptor open here."""
    log.emit("case.planned", case="a-1", inputs=["x" * 999] * 2000)
    data, in_file = entries.data()
    assert in_file
    assert len(parsed(data)["GCWATCH_INPUTS"]) == 2000 * 1000 - 1
    assert not [name for name in open_files() if name.startswith("/memfd:")]


def test_without_a_journal_lines_are_json(place, output):
    """A socket that is away costs no event: standard error gets the line."""
    log.configure(Wanted(level="debug"), stream=output.written, journald_socket=place)
    log.emit("case.found", case="a-1")
    assert json.loads(output.read.readline())["case"] == "a-1"


def test_dead_journal_gives_lines(place, output):
    """A socket that nobody listens to is as good as none."""
    Listener(place).socket.close()
    log.configure(Wanted(level="debug"), stream=output.written, journald_socket=place)
    log.emit("case.found", case="a-1")
    assert json.loads(output.read.readline())["event"] == "case.found"


def test_full_journal_loses_entries_not_work(entries, output, monkeypatch):
    """A journal that reads nothing holds nothing up for long, and nothing is raised or printed."""
    monkeypatch.setattr(journald, "PATIENCE_SECONDS", 0.001)
    for _ in range(1000):
        log.emit("case.found", case="a-1")
    assert entries.entry()["GCWATCH_CASE"] == "a-1"
    output.written.close()
    assert output.read.read() == ""


def test_file_gets_json_beside_the_journal(listener, output, tmp_path):
    """`[log] file` is written as on a terminal."""
    file = tmp_path / "log.jsonl"
    log.configure(
        Wanted(level="debug", file=file), stream=output.written, journald_socket=listener.path
    )
    log.emit("daemon.stopped")
    assert listener.entry()["GCWATCH_EVENT"] == json.loads(file.read_text())["event"]


def test_library_message_is_an_entry(entries):
    """What a library finds worth a warning has the fields of `library.message`."""
    logging.getLogger("urllib3.connectionpool").warning("Retrying %r", "Jansen")
    entry = entries.entry()
    assert entry["GCWATCH_LOGGER"] == "urllib3.connectionpool"
    assert "Jansen" not in "".join(entry.values())


# --- what never leaves ----------------------------------------------------------------------------


def test_entry_holds_no_name_and_no_secret(entries):
    """Folder, error messages and secrets stay out of every field, the sentence among them."""
    log.hide_secret("s3cr3t")
    log.emit("case.found", case="a-1", folder="Jansen^Jan")
    log.emit("step.crashed", case="a-1", step="Poll", error=failed())
    log.emit("case.planned", case="a-1", why="s3cr3t", inputs=["s3cr3t"])
    for data in (entries.data()[0] for _ in range(3)):
        assert b"Jansen" not in data
        assert b"s3cr3t" not in data


def test_folder_is_a_field_when_wanted(listener, output):
    """`folder_names = true` holds for the journal, too."""
    log.configure(
        Wanted(level="debug", folder_names=True),
        stream=output.written,
        journald_socket=listener.path,
    )
    log.emit("case.found", case="a-1", folder="Jansen^Jan")
    assert listener.entry()["GCWATCH_FOLDER"] == "Jansen^Jan"


# --- is it the journal ----------------------------------------------------------------------------


def test_stream_of_the_journal_is_known_by_its_inode(output, monkeypatch):
    """$JOURNAL_STREAM has to name the stream's own device and inode."""
    assert journald.is_journald_stream(output.written)
    connected(monkeypatch, output.written, off=1)
    assert not journald.is_journald_stream(output.written)
    monkeypatch.delenv("JOURNAL_STREAM")
    assert not journald.is_journald_stream(output.written)


def test_stream_without_a_file_is_not_the_journal(output):
    """A stream in memory, a closed one and one with other manners lead nowhere."""
    assert not journald.is_journald_stream(io.StringIO())
    assert not journald.is_journald_stream(object())
    output.written.close()
    assert not journald.is_journald_stream(output.written)


def test_pipe_that_inherits_the_variable_gets_json(listener, monkeypatch, tmp_path):
    """`gcwatch once 2> log.jsonl` within a service writes lines."""
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    file = tmp_path / "log.jsonl"
    with file.open("w") as stream:
        log.configure(Wanted(level="debug"), stream=stream, journald_socket=listener.path)
        log.emit("daemon.stopped")
    assert json.loads(file.read_text())["event"] == "daemon.stopped"


# --- message ids ----------------------------------------------------------------------------------


def test_message_id_is_for_ever():
    """People keep catalogues and alarms by it: another namespace would break them."""
    assert journald.message_id("case.failed") == "fbfdfe4a5d3e5b6fa0258b1888c51b15"
    assert len({journald.message_id(event) for event in log.CATALOGUE}) == len(log.CATALOGUE)


def test_message_ids_are_in_the_docs():
    """docs/events.md tells each event's id."""
    page = (ROOT / "docs" / "events.md").read_text()
    for event in log.CATALOGUE:
        assert f"| `{event}` " in page
        assert f"`{journald.message_id(event)}`" in page


# --- the real thing -------------------------------------------------------------------------------

JOURNALD = next(
    (
        path
        for lib in ("/usr/lib", "/lib")
        if (path := Path(lib, "systemd/systemd-journald")).exists()
    ),
    None,
)
UNSHARED = ["unshare", "--map-root-user", "--mount"]

# A journald of our own, in a mount namespace where /run and /var/log are ours. `-u gcwatch` asks
# for what systemd knows of a unit's processes, and there is no systemd here: it is left out.
STARTED = """
mount --bind run /run
mount --bind log /var/log
SYSTEMD_LOG_TARGET=null {journald} &
trap "kill $!; wait $!" EXIT
for _ in $(seq 2400); do
    if test -S /run/systemd/journal/io.systemd.journal; then break; fi
    kill -0 $!
    sleep 0.05
done
journalctl() {{
    if [ "$1 ${{2-}}" = "-u gcwatch" ]; then shift 2; fi
    command journalctl --no-pager --quiet "$@"
}}
"""

# What systemd does for a service: standard error leads into the journal, the variable says so.
SERVED = """
systemd-cat -t gcwatch bash -c '
    JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$0" scene.py log.jsonl
' "{python}"
journalctl --sync
"""

SCENE = """
import sys
from pathlib import Path
from types import SimpleNamespace as Settings
from gcwatch import log
from gcwatch.log import journald

journald.PATIENCE_SECONDS = 60.0  # a journald that gets no processor has not begun to lose entries
log.configure(Settings(folder_names=False, level="info", file=Path(sys.argv[1])))
x = {"route": "lobes", "case": "lobes-7f3k2q9d"}
y = {"route": "study", "case": "study-2xaqm4hc"}
words = {"reason": "no_files", "detail": "ct-image: *.mha"}
log.emit("case.found", **x, folder="Jansen^Jan")
log.emit("upload.begun", **x, socket="ct-image", upload="u-1", bytes=700, files=1)
log.emit("upload.resumed", **x, upload="u-1")
log.emit("upload.completed", **x, socket="ct-image", upload="u-1", bytes=700, seconds=1.5)
log.emit("upload.files_completed", **y, socket="ct-set", files=2, bytes=3000000000)
log.emit("case.submitted", **x, job="j-1", url="https://gc.example/algorithms/lobes/jobs/j-1/")
log.emit("case.submitted", **y, display_set="d-1",
         url="https://gc.example/reader-studies/lungs/display-sets/d-1/")
log.emit("job.succeeded", **x, job="j-1", outputs=1, seconds=90.5)
log.emit("job.succeeded", route="lobes", case="lobes-aaaaaaaa", job="j-2", outputs=1, seconds=7.5)
log.emit("case.failed", **y, **words, plain="No file fits.")
log.emit("platform.token_refused", seconds=60)
log.emit("platform.token_accepted")
log.emit("inbox.away", route="study", error="FileNotFoundError")
log.emit("inbox.returned", route="study")
log.emit("mirror.finished", mirror="lung-ct", items=4, fetched=1, changed=0, unchanged=3, gone=0)
log.emit("mirror.finished", mirror="other", items=1)
log.emit("case.postponed", **x, **words, step="Poll", plain="The platform is busy.", seconds=30)
log.emit("step.crashed", **x, step="Poll", error=ValueError("Jansen^Jan"), frames=["a:b", "c:d"])
log.emit("case.postponed", **x, **words, step="Poll", plain="The platform is closed.", seconds=30)
"""

# By question: what both answers say, and what neither does.
ANSWERS = {
    "Why does this case not move?": (["is closed."], ["is busy.", "No file fits"]),
    "What failed today?": (["study-2xaqm4hc", "No file fits."], ["lobes", "yesterday"]),
    "What was sent to which reader study?": (
        ["study-2xaqm4hc", "https://gc.example/reader-studies/lungs/display-sets/d-1/"],
        ["j-1", "lobes"],
    ),
    "How long do jobs take?": (["7.5\n90.5\n"], ["1.5"]),
    "Which uploads were resumed?": (["lobes-7f3k2q9d", "u-1"], ["study", "700"]),
    "Does the platform accept the token?": (["accept"], ["refused"]),
    "Was an inbox away?": (["study"], ["lobes"]),
    "What did the mirror do?": (["lung-ct"], ["other", "lobes"]),
    "How many bytes were sent today?": (["3000000700\n"], []),
    "What happened on one route?": (["lobes-7f3k2q9d", "lobes-aaaaaaaa"], ["study", "lung-ct"]),
}


def questions():
    """Each question of the page with its two lines."""
    pattern = r"^### (.+)$\n(?:(?!^#)[^`]*\n)?^```sh question\n(.+)\n(.+)\n```$"
    found = re.findall(pattern, PAGE.read_text(), re.MULTILINE)
    return {question: lines for question, *lines in found}


def in_bash(folder, script, *before):
    command = [*before, "bash", "-euo", "pipefail", "-c", script]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TZ": "UTC"}
    environment.pop("JOURNAL_STREAM", None)
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def can_unshare():
    if not shutil.which("unshare"):
        return False
    probe = [*UNSHARED, "mount", "--bind", "/tmp", "/run"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def why_no_journald():
    if not JOURNALD or not shutil.which("journalctl") or not shutil.which("systemd-cat"):
        return "no journald here"
    if not Path("/etc/machine-id").exists():
        return "journald wants a machine id"
    return "" if can_unshare() else "a journald of our own needs a mount namespace"


NO_JOURNALD = why_no_journald()
needs_journald = pytest.mark.skipif(bool(NO_JOURNALD), reason=NO_JOURNALD or "it is here")
needs_jq = pytest.mark.skipif(not shutil.which("jq"), reason="no jq here (package jq)")


def served(folder, *lines):
    """What each line prints after a service has told the scene to a journald of our own."""
    for name in ("run", "log"):
        (folder / name).mkdir()
    (folder / "scene.py").write_text(SCENE)
    start = STARTED.format(journald=JOURNALD) + SERVED.format(python=sys.executable)
    asked = "".join(f"{line} > answer.{number}\n" for number, line in enumerate(lines))
    in_bash(folder, start + asked, *UNSHARED)
    return [(folder / f"answer.{number}").read_text() for number in range(len(lines))]


def told(folder):
    """The scene's log file, and one failure of another day in it."""
    log.configure(Wanted(level="debug", file=folder / "log.jsonl"), stream=io.StringIO())
    old = {"time": "2020-01-01T00:00:00.000Z", "event": "case.failed", "case": "yesterday-1"}
    spent = {**old, "event": "upload.completed", "bytes": 5}
    (folder / "scene.py").write_text(SCENE)
    in_bash(folder, f"{sys.executable} scene.py log.jsonl 2> lines")
    lines = (folder / "log.jsonl").read_text()
    assert lines == (folder / "lines").read_text()
    (folder / "log.jsonl").write_text(f"{json.dumps(old)}\n{json.dumps(spent)}\n{lines}")


def check(question, answer):
    says, omits = ANSWERS[question]
    assert [each for each in says if each not in answer] == [], f"{question}\n{answer}"
    assert [each for each in omits if each in answer] == [], f"{question}\n{answer}"


def test_there_are_ten_questions():
    """Each has one line for the journal and one for the file, and an answer that is checked."""
    assert set(questions()) == set(ANSWERS)
    assert len(ANSWERS) == 10
    for journal, file in questions().values():
        assert journal.startswith("journalctl -u gcwatch ")
        assert file.startswith("jq ")
        assert file.partition(" log.jsonl")[1]


def test_every_field_of_a_question_exists():
    """No question asks for a field or an event that is never written."""
    fields = {field for spec in log.CATALOGUE.values() for field in spec.fields}
    for journal, _ in questions().values():
        asked = re.findall(r"GCWATCH_([A-Z_]+)(?:=([\w.-]+))?", journal)
        for field, value in asked:
            assert field.lower() in fields | {"event", "route", "case"}
            assert field != "EVENT" or value in log.CATALOGUE


@needs_jq
def test_jq_answers_the_questions(tmp_path):
    """The page's lines for jq, run on a log file, say what happened and no more."""
    told(tmp_path)
    for question, (_, line) in questions().items():
        check(question, in_bash(tmp_path, line))


@needs_journald
def test_journalctl_answers_the_questions(tmp_path):
    """The page's lines for journalctl, run on what a real journald keeps, do the same."""
    asked = questions()
    answers = served(tmp_path, *(journal for journal, _ in asked.values()))
    for question, answer in zip(asked, answers, strict=True):
        check(question, answer)


@needs_journald
def test_real_journald_keeps_fields_lines_and_ids(tmp_path):
    """Every field is accepted, one of several lines among them; names are in none."""
    crash = journald.message_id("step.crashed")
    [crashed, all_of_it, urgent] = served(
        tmp_path,
        f"journalctl MESSAGE_ID={crash} -o json",
        "journalctl --identifier=gcwatch -o json",
        "journalctl --identifier=gcwatch -p err -o cat",
    )
    entry = json.loads(crashed)
    assert entry["GCWATCH_FRAMES"] == "a:b\nc:d"
    assert (entry["PRIORITY"], entry["_TRANSPORT"]) == ("3", "journal")
    assert len(all_of_it.splitlines()) == SCENE.count("log.emit(")
    assert "Jansen" not in all_of_it
    assert len(urgent.splitlines()) == 3
