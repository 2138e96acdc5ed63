"""`run` and `once`: the commands that do the work."""

import json
import sys
from dataclasses import asdict
from typing import Any, TextIO

import typer

import gcwatch
from gcwatch import log
from gcwatch.cli.errors import Exit
from gcwatch.cli.options import Config, Json, chosen
from gcwatch.cli.signals import heard_hangups, stoppable
from gcwatch.core.reasons import Reason, is_platform_away
from gcwatch.mirror.run import MirrorSummary
from gcwatch.views.progress import TransferMeter, transfer_progress


def run(context: typer.Context, config: Config = None) -> None:
    """Run as a daemon: watch, send, poll and deliver until SIGTERM or Ctrl-C.

    Logs go to standard error: as text on a terminal, else as JSON lines. A second signal ends it
    at once; work that is cut off continues at the next start. SIGHUP reads the config file again.
    """
    with heard_hangups() as reload, gcwatch.open(chosen(context, config)) as watch:
        _log(watch)
        with stoppable() as stop:
            watch.run(stop, reload)


def once(context: typer.Context, config: Config = None, *, as_json: Json = False) -> None:
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
        with transfer_progress(meter, watch.counts) as stream:
            _log(watch, stream=stream)
            outcome = watch.run_once(stop)
        waiting = {
            case.key: case.wait.reason.code if case.wait else gcwatch.stage(case)
            for case in watch.cases()
            if case.is_open
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


def _log(watch: gcwatch.Watch, stream: TextIO | None = None) -> None:
    settings = watch.settings
    log.configure(settings.log, stream=stream)
    log.emit("config.loaded", file=settings.file, routes=len(settings.routes))
