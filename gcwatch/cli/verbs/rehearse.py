"""`sandbox` and `demo`: the commands that work with a replacement for the platform."""

import signal
from pathlib import Path
from typing import Annotated, Literal

import typer

from gcwatch.cli.errors import Exit, Misused
from gcwatch.cli.options import flag


def sandbox(
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Folder for its files.")
    ] = Path("gcwatch-sandbox"),
    port: Annotated[
        int, typer.Option(help="Port of the API; 0: any free one.", min=0, max=65535)
    ] = 0,
    *,
    tls: Annotated[bool, flag("--tls", "Serve https.")] = False,
    schema: Annotated[
        Literal["2026-07", "2025-11"], typer.Option(help="Answer as the platform did at that time.")
    ] = "2026-07",
    job_seconds: Annotated[float, typer.Option(help="Duration of a job.", min=0)] = 0.0,
    import_seconds: Annotated[float, typer.Option(help="Duration of an import.", min=0)] = 0.0,
) -> None:
    """Serve a replacement for the platform on this machine, to try out routes.

    When it is ready, it prints a line of JSON: url, token, algorithms. It writes its token to
    DIR/token, for token_file in a config. Ctrl-C ends it.
    """
    from gcwatch.sandbox import Settings, serve  # noqa: PLC0415 -- `demo` needs no server of its own

    settings = Settings(schema=schema, job_seconds=job_seconds, import_seconds=import_seconds)
    serve(folder, port, tls=tls, settings=settings)


def demo(
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep all files in DIR.", show_default=False),
    ] = None,
) -> None:
    """Show everything in half a minute: a sandbox, example patients, the daemon, the results.

    Exit code 0 only if every result has the right bytes and every refusal is explained.
    """
    from gcwatch import demo as example  # noqa: PLC0415 -- `sandbox` needs no demo

    if keep is not None and example.has_demo(keep):
        raise Misused(
            f"{keep} holds an earlier demo; gcwatch would not send its folders again.",
            "Name another folder, or delete this one.",
        )
    # SIGTERM raises, so that the sandbox ends with the demo.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    problems = example.run_demo(keep)
    for problem in problems:
        typer.echo(problem, err=True)
    raise typer.Exit(Exit.WRONG if problems else Exit.DONE)
