"""gcwatch beside the official client: both measured in turn, and the table of both."""

import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.clients import CLIENTS
from tests.bench.stand import Stand, standing

LATENCY = 0.04


@dataclass(frozen=True)
class Run:
    """What one run of one client took."""

    seconds: float
    cpu: float
    peak_mib: float
    api_calls: int
    storage_calls: int
    before_job: int


@contextlib.contextmanager
def far_away(folder: Path) -> Iterator[Stand]:
    """A sandbox over TLS that takes its time to answer."""
    with standing(folder, "--tls") as stand:
        # Imports would take the machine's time from whoever is measured next.
        stand.ask("configure", latency=LATENCY, import_seconds=1e9)
        yield stand


def compare(stand: Stand, inbox: Path, until: str, rounds: int) -> dict[str, Any]:
    """Measure both clients in turn; the medians, and how many times faster gcwatch is."""
    runs: dict[str, list[Run]] = {client: [] for client in CLIENTS}
    for _ in range(rounds):
        for client in CLIENTS:
            runs[client].append(_measure(stand, client, inbox, until))
            print(f"{inbox.name}, {until}: {client} {runs[client][-1]}", file=sys.stderr)
    found = {client: _median(runs[client]) for client in CLIENTS}
    ratio = found["gcapi"]["seconds"] / found["gcwatch"]["seconds"]
    return {**found, "ratio": round(ratio, 2)}


def _measure(stand: Stand, client: str, inbox: Path, until: str) -> Run:
    """Let a client do what is measured."""
    stand.ask("expire_uploads")
    stand.ask("forget_calls")
    arguments = [client, until, str(inbox), json.dumps(stand.facts)]
    command = [sys.executable, "-m", "tests.bench.clients", *arguments]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    taken = json.loads(said.stdout.splitlines()[-1])
    calls = stand.ask("calls")
    api = [call for call in calls if call["host"] == "api"]
    jobs = [n for n, c in enumerate(api) if c["method"] == "POST" and "jobs/" in c["path"]]
    return Run(
        **taken,
        api_calls=jobs[0] + 1 if until == "job" else len(api),
        storage_calls=len(calls) - len(api),
        before_job=jobs[0] if until == "job" else len(api),
    )


def _median(runs: list[Run]) -> dict[str, float]:
    """The median of every number."""
    return {
        name: round(statistics.median(getattr(run, name) for run in runs), 2)
        for name in Run.__annotations__
    }


def show(results: dict[str, Any]) -> None:
    """Print a table for people, and a line of JSON for programs."""
    from rich.console import Console  # noqa: PLC0415 - the measured processes do without
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table(
        title=f"until the job exists (unless said), over TLS, {LATENCY * 1000:.0f} ms a reply"
    )
    for column in ("case", "client", "seconds", "ratio", "CPU s", "peak MiB"):
        table.add_column(column, justify="left" if column in {"case", "client"} else "right")
    for column in ("API calls", "before the job", "storage calls"):
        table.add_column(column, justify="right")
    for case, found in results.items():
        for client in CLIENTS:
            row = found[client]
            table.add_row(
                *(case, client, f"{row['seconds']:.2f}"),
                f"{found['ratio']:.2f}" if client == "gcwatch" else "",
                *(f"{row['cpu']:.2f}", f"{row['peak_mib']:.0f}", f"{row['api_calls']:.0f}"),
                *(f"{row['before_job']:.0f}", f"{row['storage_calls']:.0f}"),
            )
        table.add_section()
    Console(width=130).print(table)
    print(json.dumps(results))
