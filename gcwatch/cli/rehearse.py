"""`sandbox` and `demo`: the platform's stand-in, to rehearse with."""

import signal
from pathlib import Path
from typing import Annotated, Literal

import typer

from gcwatch.cli.errors import Exit, Misused
from gcwatch.cli.options import flag


def sandbox(
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Where it keeps its files.")
    ] = Path("gcwatch-sandbox"),
    port: Annotated[
        int, typer.Option(help="Of the API; 0 picks a free one.", min=0, max=65535)
    ] = 0,
    *,
    tls: Annotated[bool, flag("--tls", "Serve https.")] = False,
    schema: Annotated[
        Literal["2026-07", "2025-11"], typer.Option(help="Answer as the platform did then.")
    ] = "2026-07",
    job_seconds: Annotated[float, typer.Option(help="How long a job takes.", min=0)] = 0.0,
    import_seconds: Annotated[float, typer.Option(help="How long an import takes.", min=0)] = 0.0,
) -> None:
    """Serve a stand-in for the platform on this machine, to rehearse routes against.

    When ready it prints a line of JSON: url, token, algorithms. Its token is in DIR/token, too,
    so that a config may say token_file. Ctrl-C ends it.
    """
    from gcwatch.sandbox import Settings, serve  # noqa: PLC0415 - the daemon does without

    settings = Settings(schema=schema, job_seconds=job_seconds, import_seconds=import_seconds)
    serve(folder, port, tls=tls, settings=settings)


def demo(
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Leave all files in DIR.", show_default=False),
    ] = None,
) -> None:
    """Show it all in half a minute: a sandbox, example patients, the daemon, the results.

    Exit code 0 only if every result is there with the right bytes and each refusal is explained.
    """
    from gcwatch import demo as example  # noqa: PLC0415 - as above

    if keep is not None and example.has_demo(keep):
        raise Misused(
            f"{keep} holds an earlier demo, whose folders gcwatch would not send again.",
            "Name another folder, or remove that one.",
        )
    # A demo that is ended takes its sandbox along.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    problems = example.run_demo(keep)
    for problem in problems:
        typer.echo(problem, err=True)
    raise typer.Exit(Exit.WRONG if problems else Exit.DONE)
