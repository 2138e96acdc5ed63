"""Why a case waits, a sentence for each state; and `status --follow` beside a real daemon."""

import os
import pty
import re
import shutil
import subprocess
import sys
import termios
import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import replace

import pytest
from support.builders import Site, mha, series, until
from support.case_path import IMAGE, PATH, TARGET
from support.mirrored import Mirrored

from gcwatch.commands.status import StatusFollower
from gcwatch.config import Cron, Route, Settings
from gcwatch.core import events, folding, text, timing
from gcwatch.core.case import Snapshot
from gcwatch.core.reasons import CATALOGUE, Reason, explain
from gcwatch.core.timing import Every, Pace
from gcwatch.journal.hosts.presence import running_daemon
from gcwatch.journal.hosts.progress import (
    FILE,
    FRESH_SECONDS,
    CurrentWork,
    DaemonProgress,
    ProgressFile,
    read_progress,
)
from gcwatch.views.status_table import status_tables
from gcwatch.wording import case_view, why_waiting
from gcwatch.wording.why_waiting import DaemonSnapshot

PROGRAM = [sys.executable, "-m", "gcwatch"]
PACE = Pace(settle=30, poll=Every(60), backoff=90, slowest=900)
SEEN = Snapshot("a", 212, 1_200_000_000, 1, latest=5)
CHANGED = replace(SEEN, digest="b", changing=1)
KEY = "lobes-k"


def case_after(*events):
    """A case to which these happened, one a second from second 0."""
    return folding.fold_events(KEY, enumerate(events))


def path_to(stage):
    """The events that bring a case to a stage."""
    names = [name for name, _, _ in PATH]
    return [event for _, _, event in PATH[: names.index(stage) + 1]]


def said(case, now, around=None):
    return why_waiting.why_waiting(case, PACE, now, around or DaemonSnapshot())


def busy(*keys, transfers=None, **around):
    """A daemon that works on so many cases."""
    at = DaemonProgress(working=frozenset(keys), transfers=transfers or {})
    return DaemonSnapshot(progress=at, at_once=4, **around)


# --- a sentence for each state -------------------------------------------------------------------

FOUND = events.FolderFound("lobes", "p1")
TO_UPLOAD = (FOUND, events.FolderChanged(SEEN), events.FolderSettled())
PLANNED = (*TO_UPLOAD, events.Planned((IMAGE,), TARGET))
TO_RUN = path_to("running")
STUDY = replace(TARGET, kind="reader_study")


def on_the_platform(status, target=TARGET):
    """A case that was submitted at second 8 and asked after at second 9."""
    history = [replace(e, target=target) if isinstance(e, events.Planned) else e for e in TO_RUN]
    return case_after(*history, events.StillRunning(status))


@pytest.mark.parametrize(
    ("case", "now", "around", "sentence"),
    [
        (case_after(FOUND), 0, None, "Waiting to be checked."),
        (
            case_after(FOUND, events.FolderChanged(SEEN)),
            6,
            None,
            "Complete when nothing has changed for 30 s: 25 s to go (212 files, 1.2 GB).",
        ),
        (
            case_after(FOUND, events.FolderChanged(SEEN), events.FolderChanged(CHANGED)),
            12,
            None,
            ("Files still changing: 1 of 212, 10 s ago. Complete when nothing has changed "
            "for 30 s: 20 s to go."),
        ),
        (
            case_after(FOUND, events.FolderChanged(SEEN)),
            31,
            busy(KEY),
            "Complete when nothing has changed for 30 s: last check now (212 files, 1.2 GB).",
        ),
        (case_after(*TO_UPLOAD), 3, None, ("Matching its files to the inputs that the platform "
         "asks for.")),
        (case_after(*PLANNED), 4, busy(KEY),
         "Preparing: reading, checking and packing 212 files."),
        (case_after(*PLANNED), 4, None, "Sending: 0 of 1 upload complete."),
        (
            case_after(*PLANNED),
            9,
            busy(KEY, transfers={KEY: (300_000_000, 1_200_000_000)}),
            "Sending: 300.0 MB of 1.2 GB (25 %).",
        ),
        (
            case_after(*path_to("submitting")),
            6,
            None,
            "Everything is sent; gcwatch asks the platform to use it.",
        ),
        (
            on_the_platform("Queued"),
            8 + 180,
            None,
            "The job has been queued on the platform for 3 min. Next check in 10 min.",
        ),
        (
            on_the_platform("Executing Algorithm"),
            8 + 720,
            None,
            ("The job has been running on the platform for 12 min (Executing Algorithm); the "
            "average is 17 min. Next check in 30 s."),
        ),
        (
            on_the_platform("Executing Algorithm"),
            8 + 720,
            DaemonSnapshot(is_running=False),
            ("The job has been running on the platform for 12 min (Executing Algorithm); the "
            "average is 17 min. Next check once gcwatch runs."),
        ),
        (
            on_the_platform("importing", replace(STUDY, expected=None)),
            8 + 240,
            busy(KEY),
            "Waiting for the platform's import: 4 min so far. Next check now.",
        ),
        (
            on_the_platform("Validating inputs"),
            8 + 240,
            busy(KEY),
            "Waiting for the platform's import: 4 min so far. Next check in 8 min.",
        ),
        (
            case_after(
                *path_to("submitting"),
                events.SubmissionAttempted(),
                events.Postponed(Reason("importing", {"status": "Started"}), 30),
            ),
            6 + 60,
            None,
            ("Waiting for the platform's import: 60 s so far. "
            "Next try as soon as a worker is free."),
        ),
        (
            case_after(*path_to("fetching")),
            11,
            None,
            "Fetching the results: 0 of 1 output complete.",
        ),
        (
            case_after(*path_to("fetching")),
            11,
            busy(KEY, transfers={KEY: (5_000_000, 0)}),
            "Fetching the results: 5.0 MB so far; 0 of 1 output complete.",
        ),
        (
            case_after(*path_to("delivering")),
            12,
            None,
            "Putting the results into the outbox.",
        ),
        (
            case_after(FOUND, events.Rejected(Reason("job_failed"))),
            2,
            None,
            ("It failed; gcwatch writes the failure note: "
            "The analysis did not work for this patient."),
        ),
        (
            case_after(FOUND, events.Rejected(Reason("job_failed")), events.FailureReported()),
            2,
            None,
            "The analysis did not work for this patient.",
        ),
        (case_after(*path_to("delivered")), 20, None, "The results are in the outbox as p1."),
        (
            case_after(FOUND, events.FolderVanished()),
            20,
            None,
            "The folder was removed before everything was sent.",
        ),
        (
            case_after(FOUND, events.Withdrawn()),
            20,
            None,
            "It was withdrawn; gcwatch does nothing more with it.",
        ),
    ],
)  # fmt: skip
def test_every_state_has_a_sentence_with_its_numbers(case, now, around, sentence):
    """What a case is at, in words that answer why it does not move."""
    assert said(case, now, around) == sentence


@pytest.mark.parametrize(
    ("event", "now", "sentence"),
    [
        (
            events.Postponed(Reason("too_many_jobs", {"limit": 16}), 30),
            11,
            "Waiting: the platform allows 16 jobs at a time. Next try in 20 s.",
        ),
        (
            events.Postponed(Reason("in_doubt", {"seconds": 180}), 180),
            61,
            "gcwatch makes sure that nothing is sent twice. Next try in 2 min.",
        ),
        (
            events.Postponed(Reason("waiting_for_marker", {"marker": "READY.txt"}), 60),
            1,
            "The folder is not marked as complete yet. Next try in 60 s.",
        ),
        (
            events.Postponed(Reason("inbox_away", {"error": "x"}), 30),
            1,
            "The inbox can't be reached at the moment; the folder waits. Next try in 30 s.",
        ),
        (
            events.AttemptFailed(Reason("server_error", {"call": "GET", "status": 502})),
            1,
            (
                "Checking the folder failed (attempt 1): "
                "The platform has a problem at the moment. Next try in 2 min."
            ),
        ),
    ],
)
def test_what_hinders_is_told_with_the_next_try(event, now, sentence):
    """The reason in words, how often it was tried, and when it is looked at again."""
    assert said(case_after(FOUND, event), now) == sentence


def test_tries_are_counted_as_people_count():
    """The attempt that failed is named, whatever its number."""
    broken = events.AttemptFailed(Reason("unreachable", {"call": "GET", "error": "x"}))
    told = [said(case_after(FOUND, *[broken] * tries), 0) for tries in (1, 2, 3, 10, 20, 21)]
    found = [re.search(r"\(attempt (\w+)\)", each)[1] for each in told]
    assert found == ["1", "2", "3", "10", "20", "21"]


def test_a_try_under_way_says_so():
    """What is being tried again is not said to wait."""
    case = case_after(FOUND, events.AttemptFailed(Reason("unreachable", {"call": "", "error": ""})))
    for told in (
        said(case, 200, busy(KEY)),
        said(case, 200),
        said(case, 200, DaemonSnapshot(is_running=False)),
    ):
        assert told.startswith("Checking the folder failed (attempt 1): ")
    assert said(case, 200, busy(KEY)).endswith(" Next try now.")
    assert said(case, 200).endswith(" Next try as soon as a worker is free.")
    assert said(case, 200, DaemonSnapshot(is_running=False)).endswith(
        " Next try once gcwatch runs."
    )


def test_a_refused_token_is_why_everything_waits():
    """One cause for all cases, wherever they are."""
    around = DaemonSnapshot(pause=Reason("token_refused"))
    for history in (TO_UPLOAD, TO_RUN):
        assert said(case_after(*history), 3, around).startswith("All work is paused: the platform")


def test_a_case_of_a_route_that_is_gone_says_so():
    """Nobody would ever work on it."""
    around = DaemonSnapshot(routes=frozenset({"other"}))
    assert "not in the config any more" in said(case_after(*TO_UPLOAD), 3, around)


@pytest.mark.parametrize("stage", dict.fromkeys(name for name, _, event in PATH if name))
def test_without_a_daemon_no_case_pretends_to_move(stage):
    """Each open case says what comes next, once gcwatch runs."""
    case = case_after(*path_to(stage))
    if case.is_open:
        now = (timing.due_time(case, PACE) or 0) + 1
        assert said(case, now, DaemonSnapshot(is_running=False)).endswith("once gcwatch runs.")


def settings(tmp_path, at_once):
    route = Route(name="lobes", inbox=tmp_path / "in", outbox=tmp_path / "out", algorithm="a")
    made = Settings(file=tmp_path / "f", state=tmp_path / "state", routes=(route,))
    return replace(made, limits=made.limits.model_copy(update={"cases": at_once}))


def test_a_case_without_a_worker_knows_how_many_go_first(tmp_path):
    """The longest due goes first; who gets a worker at once does not wait."""
    queue = [replace(case_after(*TO_UPLOAD), key=f"lobes-{n}", touched=float(n)) for n in range(3)]
    at_work = DaemonSnapshot(progress=DaemonProgress(working=frozenset({"lobes-x", "lobes-y"})))

    two = at_work.among(settings(tmp_path, 2), queue, lambda _: PACE, now=100)
    assert [why_waiting.why_waiting(case, PACE, 100, two) for case in queue] == [
        "Waiting for its turn: 2 cases in work, it is next.",
        "Waiting for its turn: 2 cases in work, 1 more case before it.",
        "Waiting for its turn: 2 cases in work, 2 more cases before it.",
    ]
    three = at_work.among(settings(tmp_path, 3), queue, lambda _: PACE, now=100)
    assert "turn" not in why_waiting.why_waiting(queue[0], PACE, 100, three)
    assert "it is next" not in why_waiting.why_waiting(queue[1], PACE, 100, three)


def test_a_cron_expression_is_told_as_it_stands():
    """Who wrote it knows when that is."""
    pace = replace(PACE, poll=Cron("0 7 * * mon-fri"))
    told = why_waiting.why_waiting(on_the_platform("Queued"), pace, 100, DaemonSnapshot())
    assert told.endswith("Next check by the schedule 0 7 * * mon-fri.")


@pytest.mark.parametrize("code", CATALOGUE)
def test_whatever_hinders_a_case_makes_one_line(code):
    """No sentence is empty, breaks the line or names a fact that is not there but by its name."""
    for event in (events.Postponed(Reason(code), 60), events.AttemptFailed(Reason(code))):
        told = said(case_after(FOUND, event), 1)
        assert told.endswith(".")
        assert "\n" not in told


@pytest.mark.parametrize("code", CATALOGUE)
def test_no_sentence_advises_to_switch_a_protection_off(code):
    """Whether a route sends without a check is decided with the docs at hand, not after a hint."""
    words = explain(Reason(code))
    told = f"{words.plain} {words.detail} {words.advice} {words.hint}"
    assert not re.search("integrity|deidentify|leftovers =", told)


@pytest.mark.parametrize("code", CATALOGUE)
def test_what_whoever_dropped_the_folder_reads_has_no_command(code):
    """Plain words and advice name no command, no key of the config and no API."""
    words = explain(Reason(code))
    jargon = "gcwatch (check|plan|retry|show|withdraw)|socket|slug|glob|route|API|="
    assert not re.search(jargon, words.advice)


@pytest.mark.parametrize(
    ("count", "detail"),
    [(1, "1 of 24 slices is missing, at"), (2, "2 of 24 slices are missing, at")],
)
def test_words_agree_with_numbers(count, detail):
    """One slice is missing, two are."""
    reason = Reason("slices_missing", {"count": count, "expected": 24, "where": "x"})
    assert explain(reason).detail.startswith(detail)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (0.25, "0.2 s"), (89.4, "89 s"), (90, "2 min"), (5340, "89 min"),
     (5400, "1 h 30 min"), (7200, "2 h"), (172_800, "2 days")],
)  # fmt: skip
def test_spans_are_told_as_people_say_them(seconds, words):
    """Rounded: nobody waits for 43.7 minutes."""
    assert text.time_span(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(1, "1 byte"), (999, "999 bytes"), (1000, "1.0 kB"), (999_949, "999.9 kB"),
     (999_950, "1.0 MB"), (1_300_000_000, "1.3 GB"), (5 * 10**15, "5.0 PB")],
)  # fmt: skip
def test_sizes_are_told_as_people_say_them(count, words):
    """In thousands, as disks are sold."""
    assert text.data_size(count) == words


def test_a_view_carries_the_bytes_under_way():
    """Programs need not read them out of the sentence."""
    case = case_after(*PLANNED)
    view = case_view.case_view(case, PACE, 9, busy(KEY, transfers={KEY: (3, 12)}))
    assert (view.moved, view.total, view.stage) == (3, 12, "uploading")


# --- how many files still change -----------------------------------------------------------------


@pytest.fixture
def site(tmp_path, sandbox):
    return Site(tmp_path, sandbox)


def test_files_that_still_change_are_counted(site):
    """Only those that are not as they were when the folder was looked at before."""
    site.configure(settle="1h")
    folder = site.drop("p1", series())
    files = sorted(folder.iterdir())
    now = [time.time()]
    with site.running(clock=lambda: now[0]) as watch:
        key = until(lambda: next((case.key for case in watch.cases() if case.seen), None))
        assert watch.journal.case(key).seen.changing == 0
    files[0].write_bytes(b"more")  # while nobody looks: both changes are seen at once
    (folder / "new").write_bytes(b"x")
    now[0] += 3600
    with site.running(clock=lambda: now[0]) as watch:
        until(lambda: watch.journal.case(key).seen.files == len(files) + 1)
        view = case_view.case_view(watch.journal.case(key), watch.pace("lobes"), now[0])
    assert view.why.startswith(f"Files still changing: 2 of {len(files) + 1}, 0 s ago.")


# --- what a daemon is at, beside it --------------------------------------------------------------


def test_progress_is_told_while_something_moves_and_forgotten_at_the_end(tmp_path):
    """Another process reads what the board knows, until the daemon ends."""
    work = CurrentWork(cases=frozenset({"a-1"}), mirrors=frozenset({"m"}), away=frozenset({"r"}))
    with ProgressFile(tmp_path, 7, lambda: work) as board:
        board.mirrored("m", 1, 2, 99)
        board.moved("a-1", 3, 12)
        told = until(lambda: (now := read_progress(tmp_path, 7, time.time())).transfers and now)
        assert (told.transfers, told.mirrors) == ({"a-1": (3, 12)}, {"m": (1, 2, 99)})
        assert (told.working, told.away) == ({"a-1"}, {"r"})
        board.moved("a-1", 0, 0)
        assert board.progress().transfers == {}
    assert not (tmp_path / FILE).exists()


def test_progress_is_believed_only_of_the_daemon_that_is_there_and_while_it_is_fresh(tmp_path):
    """What a killed daemon left behind, or a hanging one, is no news; an inbox stays away."""
    told = DaemonProgress(daemon=7, at=1000, transfers={"a-1": (3, 12)}, away=frozenset({"r"}))
    (tmp_path / FILE).write_text(told.model_dump_json())
    assert read_progress(tmp_path, 7, 1001) == told
    assert read_progress(tmp_path, 8, 1001) == DaemonProgress()
    assert read_progress(tmp_path, None, 1001) == DaemonProgress()
    late = read_progress(tmp_path, 7, 1000 + FRESH_SECONDS + 1)
    assert (late.transfers, late.away) == ({}, {"r"})
    (tmp_path / FILE).write_bytes(b"{")
    assert read_progress(tmp_path, 7, 1001) == DaemonProgress()


def test_a_full_disk_costs_only_the_bars(tmp_path):
    """Where the file can't be written, the daemon works on."""
    with ProgressFile(tmp_path / "missing", 7, lambda: CurrentWork(away=frozenset({"r"}))) as board:
        assert board.progress().away == {"r"}
        board._write(board.progress())
    assert not (tmp_path / "missing").exists()


def _environment():
    """That of a person, not of a test runner, which says how wide the terminal is."""
    kept = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "LINES"}}
    return {**kept, "TERM": "xterm"}


class Terminal:
    """A command on a terminal of its own; `text` is all that it has drawn, without colours."""

    def __init__(self, *command, size=(40, 200)):
        screen, terminal = pty.openpty()
        termios.tcsetwinsize(terminal, size)
        self.process = subprocess.Popen(
            [*PROGRAM, *map(str, command)],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=_environment(),
        )
        os.close(terminal)
        self._drawn = b""
        self._reader = threading.Thread(target=self._read, args=[screen])
        self._reader.start()

    def _read(self, screen):
        with suppress(OSError):  # the other side is closed
            while chunk := os.read(screen, 65536):
                self._drawn += chunk
        os.close(screen)

    @property
    def text(self):
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self._drawn.decode(errors="replace"))

    def shows(self, pattern, after=0):
        """Wait until it has drawn this after so many letters; return how many it has drawn."""
        try:
            until(lambda: re.search(pattern, self.text[after:]))
        except AssertionError:
            pytest.fail(f"{pattern} is not in {self.text[after:][-3000:]}")
        return len(self.text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self._reader.join()


@contextmanager
def daemon(site):
    """The daemon as a process of its own, killed in the end."""
    command = [*PROGRAM, "run", "--config", str(site.file)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: running_daemon(site.state) == process.pid)
            yield process
        finally:
            process.kill()


def stuck_upload(site):
    """From now on the storage keeps whoever sends it something waiting."""
    site.sandbox.fault("delay", host="storage", method="PUT", seconds=140, times=None)


def test_follow_is_a_live_table_that_outlives_the_daemon(site):
    """Bars while a case is sent; it says when the daemon is killed, and goes on with the next."""
    site.run_once()
    stuck_upload(site)
    with Terminal("status", "--follow", "--config", site.file) as terminal:
        terminal.shows("No gcwatch is running here")
        with daemon(site) as first:
            site.drop("p1")
            terminal.shows(rf"gcwatch is running \(process {first.pid}\)")
            drawn = terminal.shows(r"━+ +Sending: \d+ bytes of \d+ bytes")
        drawn = terminal.shows("No gcwatch is running here", drawn)
        terminal.shows(r"It is sent once gcwatch runs|Sending: 0 of 1", drawn)
        with daemon(site) as second:
            terminal.shows(rf"gcwatch is running \(process {second.pid}\)", drawn)
        terminal.process.terminate()
        assert terminal.process.wait(60) == 0


def test_follow_follows_the_config(site):
    """A route that comes or goes, and a mistake in the file, do not end it."""
    site.configure(ready="READY.txt")
    site.drop("p1")
    site.run_once()
    good = site.file.read_text()
    with Terminal("status", "--follow", "--config", site.file) as terminal:
        drawn = terminal.shows("not marked as complete")
        site.file.write_text(good + "nonsense = 1\n")
        drawn = terminal.shows("The config file can't be used now", drawn)
        site.file.write_text(good.replace('name = "lobes"', 'name = "other"'))
        terminal.shows("Its route is not in the config any more", drawn)


def test_follow_draws_no_more_than_fits(site):
    """Of many cases those on the move come first; the others are counted."""
    site.configure(ready="READY.txt")
    with site.watch() as watch:
        for number in range(30):
            watch.journal.open_case("lobes", f"doe{number:02}")
    with Terminal("status", "--follow", "--config", site.file, size=(20, 160)) as terminal:
        terminal.shows(r"and \d\d more cases")
        assert "doe29" not in terminal.text


def test_follow_on_a_pipe_is_a_line_for_each_change(site):
    """No frames and no colours: what is going on, then what became of it."""
    site.configure(ready="READY.txt")
    site.drop("p1")
    site.run_once()
    command = [*PROGRAM, "status", "--follow", "--config", str(site.file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        first = [process.stdout.readline() for _ in range(3)]
        (site.inbox / "p1" / "READY.txt").touch()
        site.run_once()
        line = next(line for line in process.stdout if "delivered  " in line)
        process.terminate()
        assert process.wait(60) == 0
    assert "No gcwatch is running here" in first[0]
    assert re.match(r"\d{4}-\d\d-\d\d [\d:]{8} UTC  lobes-\w{8}  p1  settling  ", first[2])
    assert "The results are in the outbox as p1." in line
    assert "\x1b" not in "".join([*first, line])


def test_follow_as_json_is_a_line_for_each_change_not_for_each_second(site):
    """What changes by the mere passing of time is no change."""
    site.configure(ready="READY.txt")
    site.drop("p1")
    site.run_once()
    with site.running(), closing(StatusFollower(site.file)) as follower:
        first = until(lambda: (now := follower.read()).daemon and now)
        until(lambda: follower.read().views[0].why != first.views[0].why)
        assert follower.read().without_times() == first.without_times()
        site.drop("p2")
        until(lambda: follower.read().without_times() != first.without_times())


def test_a_mirror_under_way_has_a_bar(tmp_path, sandbox):
    """How many of its items are here, while the daemon runs it."""
    made = Mirrored(tmp_path / "site", sandbox)
    for number in range(3):
        made.add(f"p{number}", generic_medical_image=mha(number))
    sandbox.fault("delay", host="storage", seconds=140, nth=2, times=None)
    with daemon(made), Terminal("status", "--follow", "--config", made.file) as terminal:
        terminal.shows(r"cts .*━+ +\d of 3 items")
        with closing(StatusFollower(made.file)) as follower:
            [mirror] = follower.read().record()["mirrors"]
        assert mirror["run"]["items"] == 3


def test_an_inbox_that_is_away_is_told_though_no_case_waits(site):
    """Nothing new is seen: whoever looks has to know."""
    shutil.rmtree(site.inbox)
    with site.running(), closing(StatusFollower(site.file)) as follower:
        until(lambda: follower.read().away == ("lobes",))
        assert follower.read().record()["away"] == ["lobes"]


def test_what_is_not_taken_is_in_status(site):
    """A folder of any name that is empty is told, in words and as JSON."""
    (site.inbox / os.fsdecode(b"p\xe9")).mkdir()
    with site.running(), closing(StatusFollower(site.file)) as follower:
        told = until(lambda: follower.read().record()["not_sent"])
        assert told == [
            {"route": "lobes", "reason": "empty_folders", "count": 1, "entries": "p\\xe9"}
        ]
        page = "".join(str(each) for each in status_tables(follower.read()).renderables)
        assert "1 empty folder: p\\xe9. Put the files" in page


def test_to_look_reads_no_case_that_is_done(site):
    """With ten thousand delivered cases, status and its repetition stay cheap."""
    site.drop("p1")
    site.run_once()
    site.drop("p2", {})
    with site.watch() as watch:
        assert [case.folder for case in watch.attention()] == []
        assert watch.counts() == {"delivered": 1}
