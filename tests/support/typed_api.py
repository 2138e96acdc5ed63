"""What an editor knows of the Python API: mypy reads this in `make check`; nothing runs it."""

from pathlib import Path
from typing import assert_type

import gcwatch


def three_jobs() -> None:
    """Each call has a type, and so has what it returns."""
    cases = gcwatch.send(
        ["a", Path("b")],
        algorithm="lobes",
        inputs={"ct-image": "*.mha", "threshold": {"value": 0.5}},
        output="results",
    )
    assert_type(cases, list[gcwatch.Sent])
    assert_type(cases[0].result, Path | None)
    assert_type(gcwatch.fetch("kept", archive="ct-archive"), gcwatch.MirrorSummary)
    assert_type(gcwatch.mirror("kept"), gcwatch.MirrorSummary)
    with gcwatch.open("gcwatch.toml") as watch:
        assert_type(watch, gcwatch.Watch)
        assert_type(watch.run_once(), gcwatch.Outcome)


def mistakes() -> None:
    """Each of them is underlined: without an error there, the comment is one too many."""
    gcwatch.send("a", algoritm="lobes")  # type: ignore[call-arg]
    gcwatch.send("a", "results")  # type: ignore[call-arg]
    gcwatch.send("a", archive="b", names="both")  # type: ignore[arg-type]
    gcwatch.mirror("kept", outbox="b")  # type: ignore[call-arg]
    gcwatch.fetch("kept", algorithm="lobes", status="done")  # type: ignore[arg-type]
