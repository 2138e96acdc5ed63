"""`run` and `once`: the commands that do the work."""

import json
import sys
from dataclasses import asdict
from functools import cache
from typing import Annotated, Any, Final, TextIO

import typer

import gcwatch
from gcwatch import log
from gcwatch.cli.errors import Exit
from gcwatch.cli.options import Config, Json, chosen, flag
from gcwatch.cli.signals import heard_hangups, stoppable
from gcwatch.config import Settings, find, load
from gcwatch.core.errors import JournalUnavailable
from gcwatch.core.reasons import Reason, is_platform_away
from gcwatch.mirrors.outcome import MirrorSummary
from gcwatch.views.progress import TransferMeter, transfer_progress

DISK_PAUSE_SECONDS: Final = 5.0

TakeOver = Annotated[
    bool, flag("--take-over", "Work on inboxes that belonged to another gcwatch, now gone.")
]


def run(context: typer.Context, config: Config = None, *, take_over: TakeOver = False) -> None:
    """Run as a daemon: watch, send, poll and deliver until SIGTERM or Ctrl-C.

    Logs go to standard error: as text on a terminal, else as JSON lines. A second signal ends it
    at once; work that is cut off continues at the next start. SIGHUP reads the config file again.
    While the disk of the state directory is full, or the journal's database is away, it waits.
    """
    file = chosen(context, config)
    with heard_hangups() as reload, stoppable() as stop:
        _configure_log(load(find(file)))
        while not stop.is_set():
            try:
                with gcwatch.open(file) as watch:
                    watch.run(stop, reload, take_over=take_over)
            except JournalUnavailable as error:
                log.emit(error.event, error=str(error))
                stop.wait(DISK_PAUSE_SECONDS)
            else:
                break


def once(
    context: typer.Context,
    config: Config = None,
    *,
    as_json: Json = False,
    take_over: TakeOver = False,
) -> None:
    """Do what can be done now, then end: for cron, scripts and tests.

    Exit codes: 0 everything is delivered, 3 a case failed, 69 the platform could not be reached,
    75 cases wait for something else, 77 the token was refused, 78 correct the config.
    """
    meter = TransferMeter()
    with (
        heard_hangups(),  # and ignored: this ends soon
        gcwatch.open(chosen(context, config), progress=meter) as watch,
        stoppable() as stop,
    ):
        meter.name_of = cache(lambda key: watch.journal.case(key).folder)
        with transfer_progress(meter, watch.counts) as stream:
            _configure_log(watch.settings, stream=stream)
            outcome = watch.run_once(stop, take_over=take_over)
        waiting = {
            case.key: case.wait.reason.code if case.wait else gcwatch.stage(case)
            for case in watch.attention()
            if case.is_open
        }
        waiting |= {
            case.key: case.command.problem.code
            for case in watch.attention()
            if case.command is not None and case.command.problem is not None
        }
    done = {"delivered": outcome.delivered, "failed": outcome.failed, "waiting": outcome.waiting}
    if as_json:
        mirrors = {name: _mirrored(each) for name, each in outcome.mirrored.items()}
        told = {"mirrors": mirrors} if mirrors else {}
        typer.echo(json.dumps({**done, "waits": waiting, **told}, indent=2))
    elif sys.stdout.isatty():
        typer.echo(", ".join(f"{count} {what}" for what, count in done.items()))
    raise typer.Exit(_code(outcome, set(waiting.values())))


def _mirrored(came: MirrorSummary | Reason) -> dict[str, Any]:
    return {"reason": came.code} if isinstance(came, Reason) else asdict(came)


def _code(outcome: gcwatch.Outcome, waits: set[str]) -> Exit:
    mirrored = outcome.mirrored.values()
    waits |= {each.code for each in mirrored if isinstance(each, Reason)}
    if outcome.failed or any(isinstance(each, MirrorSummary) and each.failed for each in mirrored):
        return Exit.SOME_FAILED
    if any(map(is_platform_away, waits)):
        return Exit.UNREACHABLE
    return Exit.WAITING if waits else Exit.DONE


def _configure_log(settings: Settings, stream: TextIO | None = None) -> None:
    log.configure(settings.log, stream=stream, host=settings.log_host)
    log.emit("config.loaded", file=settings.file, routes=len(settings.routes))
