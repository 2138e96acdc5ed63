"""The command of a route runs once its results are in the outbox, and holds up nothing else."""

import json
import shutil

import pytest
from support.builders import Site, check_history, until

import gcwatch
from gcwatch.commands.health import judge_health
from gcwatch.commands.status import read_overview
from gcwatch.core import events
from gcwatch.core.case import CommandState
from gcwatch.core.checklist import Step, next_step
from gcwatch.core.folding import fold_events
from gcwatch.core.reasons import CATALOGUE, Reason
from gcwatch.core.timing import Pace, due_time
from gcwatch.daemon.idle import BusyWaits, all_left_to_later_run

RECORD = 'test -f "$2/gcwatch.json" && printf "%s\\n" "$2 $3 $4" >> "$1"'


@pytest.fixture
def site(tmp_path, sandbox):
    return Site(tmp_path / "site", sandbox)


def command(site, script=RECORD):
    """A command that writes down what it was given, if the results are there."""
    runs = str(site.folder / "runs")
    return ["/bin/sh", "-c", script, "sh", runs, "{folder}", "{key}", "{route}"]


def runs(site):
    file = site.folder / "runs"
    return file.read_text().splitlines() if file.exists() else []


def run_until_commands_have_run(site):
    """Let the daemon work until no case has a command to run, over the pauses between tries."""
    with site.running() as watch:
        until(lambda: all(case.command is None for case in watch.cases()))


def test_a_command_runs_once_the_results_are_in_the_outbox(site):
    """It gets the folder, the key and the route; the case is done then."""
    site.listen()
    site.configure(on_delivered=command(site))
    site.drop("p 1")

    assert site.run_once().delivered == 1

    case = site.case("p 1")
    assert runs(site) == [f"{site.outbox / 'p 1'} {case.key} lobes"]
    assert case.command is None
    assert len(site.said("command.completed")) == 1
    site.run_once()
    assert len(runs(site)) == 1
    with site.watch() as watch:
        check_history(watch)
        assert not watch.attention()


@pytest.mark.parametrize("after", ["move", pytest.param("keep", marks=pytest.mark.prove)])
def test_a_command_that_fails_is_told_and_tried_again(site, after):
    """Status, log and health say so, until it runs well; the case stays delivered."""
    done = {"done": str(site.folder / "done")} if after == "move" else {}
    site.listen()
    site.configure(
        on_delivered=command(site, "echo no PACS; exit 7"),
        after=after,
        report=str(site.folder / "status.txt"),
        **done,
    )
    site.drop()

    assert site.run_once().delivered == 1

    with site.watch() as watch:
        [view] = read_overview(watch).views
        health = judge_health(read_overview(watch))
    assert view.stage == "delivered"
    assert "exit code 7" in view.warnings[0]
    assert "no PACS" in view.detail
    assert view.attempts >= 4
    assert health.numbers["to_check"] == 1
    failed = site.said("command.failed")
    assert [line["attempt"] for line in failed][:4] == [1, 2, 3, 4]
    assert "no PACS" not in json.dumps(failed)
    assert "exit code 7" in (site.folder / "status.txt").read_text()

    site.configure(on_delivered=command(site), after=after, **done)
    run_until_commands_have_run(site)

    assert len(runs(site)) == 1
    assert len(site.jobs()) == 1
    with site.watch() as watch:
        assert not watch.attention()
        check_history(watch)


def test_a_command_that_hangs_holds_up_no_case(site):
    """With one case at a time, the others are delivered while it runs; a stop ends it."""
    site.configure(on_delivered=command(site, 'echo >> "$1"; sleep 300'), limits={"cases": 1})
    site.drop("p1")
    with site.running() as watch:
        until(lambda: runs(site))
        for name in ("p2", "p3"):
            site.drop(name)
        until(lambda: watch.counts().get("delivered") == 3)
        assert len(runs(site)) == 1  # one at a time for each route

    site.configure(on_delivered=command(site))
    site.run_once()
    assert len(runs(site)) == 1 + 3


@pytest.mark.prove
def test_a_retry_runs_only_the_command_again(site):
    """What was delivered is not sent a second time because its command has failed."""
    site.configure(on_delivered=["false"])
    site.drop()
    site.run_once()
    site.configure(on_delivered=command(site))

    with site.watch() as watch:
        watch.retry(watch.find("lobes/p1"))
        watch.run_once()

    assert (len(runs(site)), len(site.jobs())) == (1, 1)


@pytest.mark.prove
def test_an_operator_file_runs_only_the_command_again(site):
    """`<folder>.retry` does the same as the command."""
    site.configure(on_delivered=["false"])
    site.drop()
    site.run_once()
    site.configure(on_delivered=command(site), operator_files=True)
    (site.outbox / "p1.retry").touch()

    site.run_once()

    assert (len(runs(site)), len(site.jobs())) == (1, 1)
    assert not (site.outbox / "p1.retry").exists()


@pytest.mark.prove
def test_a_command_that_is_gone_from_the_config_is_not_waited_for(site):
    """The case ends without it, and the log says so."""
    site.listen()
    site.configure(on_delivered=["false"])
    site.drop()
    site.run_once()

    site.configure()
    run_until_commands_have_run(site)

    assert len(site.said("command.dropped")) == 1
    assert site.case().command is None


@pytest.mark.prove
def test_results_that_are_gone_are_told(site):
    """The command does not get a folder that is not there."""
    site.configure(on_delivered=["false"])
    site.drop()
    site.run_once()
    shutil.rmtree(site.outbox / "p1")
    site.configure(on_delivered=command(site))
    with site.running() as watch:
        until(lambda: "not in" in watch.find("lobes/p1").command.problem.facts["problem"])

    assert "not in the outbox any more" in site.case().command.problem.facts["problem"]
    assert not runs(site)


@pytest.mark.prove
def test_a_result_that_is_adopted_is_handed_on(site):
    """With a lost journal nobody knows whether the command has run: it runs again."""
    site.configure(on_delivered=command(site))
    site.drop()
    site.run_once()
    shutil.rmtree(site.state)

    site.run_once()

    assert len(runs(site)) == 2
    assert len(site.jobs()) == 1


@pytest.mark.prove
def test_a_changed_folder_is_told_though_the_command_fails(site):
    """The note on the change does not wait for a command that never runs well."""
    site.configure(on_delivered=["false"])
    folder = site.drop()
    site.run_once()
    (folder / "late.txt").write_text("late")

    site.run_once()

    assert (site.outbox / "p1.changed.txt").exists()
    assert site.case().command.attempts >= 4


# --- the facts, as values -------------------------------------------------------------------------

FAILED = events.CommandFailed(Reason("command_failed", {"problem": "ended with exit code 1"}))
FOUND = [(0.0, events.FolderFound("lobes", "p1")), (1.0, events.Delivered("p1", command=True))]


def test_a_command_is_given_up_after_many_tries_and_begins_anew_when_asked():
    """Then nothing is due; a retry makes it due at once, and sends nothing."""
    patience = CATALOGUE["command_failed"].patience
    tries = [(2.0 + number, FAILED) for number in range(patience)]
    waiting = fold_events("k", [*FOUND, *tries[:-1]])
    over = fold_events("k", [*FOUND, *tries])
    again = fold_events("k", [*FOUND, *tries, (500.0, events.Retried())])

    assert 0 < due_time(waiting, Pace()) - waiting.command.at <= 900 * 1.2
    assert (next_step(over), due_time(over, Pace())) == (None, None)
    assert (next_step(again), due_time(again, Pace())) == (Step.COMMAND, 500.0)
    assert again.ending == "delivered"


@pytest.mark.parametrize(("tries", "is_left"), [(0, False), (3, False), (4, True)])
def test_a_run_leaves_a_command_that_fails_to_a_later_run(tries, is_left):
    """`gcwatch once` does not wait for a PACS that is away for a day."""
    case = fold_events("k", [*FOUND, *[(2.0, FAILED)] * tries])

    assert all_left_to_later_run([case], BusyWaits()) == is_left


def test_tries_of_another_problem_do_not_use_up_the_patience():
    """An outbox that was away for a day does not use up the tries of the command."""
    away = events.CommandFailed(Reason("disk", {"what": "reading", "error": "away"}))
    tries = [(2.0 + number, away) for number in range(500)]

    case = fold_events("k", [*FOUND, *tries, (600.0, FAILED)])

    assert case.command == CommandState(600.0, 1, FAILED.reason)


def test_a_fault_in_the_step_counts_as_a_try():
    """So it is not repeated without end."""
    crash = events.AttemptFailed(Reason("crashed", {"error": "OSError", "step": "command"}))

    case = fold_events("k", [*FOUND, *[(2.0, crash)] * CATALOGUE["crashed"].patience])

    assert case.command.given_up
    assert gcwatch.stage(case) == "delivered"
