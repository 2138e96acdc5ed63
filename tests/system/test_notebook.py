"""The tutorial notebook does its three jobs, from its first cell to its last."""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from support.checkout import ROOT
from traitlets.config import Config

TUTORIAL = ROOT / "docs" / "tutorial.ipynb"


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A folder of its own for the kernel, which knows nothing of whoever runs the tests."""
    for name in ("JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in ("GCWATCH_CONFIG", "GRAND_CHALLENGE_AUTHORIZATION", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    (tmp_path / "work").mkdir()
    with tempfile.TemporaryDirectory() as short:  # the path of a socket has 107 bytes at most
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", short)
        yield tmp_path / "work"


def texts(cell):
    """What a cell has put out, as text."""
    return "\n".join(
        each.get("text") or each["data"]["text/plain"] for each in cell.get("outputs", ())
    )


def test_the_tutorial_notebook_does_the_three_jobs(kernel):
    """Cases, results and an archive are there afterwards; each job's cell tells how far it is."""
    notebook = nbformat.read(TUTORIAL, as_version=4)
    sockets = f"{os.environ['JUPYTER_RUNTIME_DIR']}/kernel"
    client = NotebookClient(
        notebook,
        timeout=120,
        startup_timeout=120,
        resources={"metadata": {"path": str(kernel)}},
        # A port that is free now may be another test's when the kernel binds it.
        config=Config({"ConnectionFileMixin": {"transport": "ipc", "ip": sockets}}),
    )
    client.execute()

    shown = {cell["source"]: texts(cell) for cell in notebook["cells"] if "outputs" in cell}
    [study] = [text for source, text in shown.items() if "reader_study" in source]
    [results] = [text for source, text in shown.items() if 'algorithm="' in source]
    [archive] = [text for source, text in shown.items() if "fetch(" in source]
    assert "patient-2 delivered http://127.0.0.1" in study
    assert "2 of 2 done" in study
    assert "patient-1 delivered" in results
    assert (kernel / "results" / "patient-2" / "gcwatch.json").exists()
    assert archive.rstrip().splitlines()[-1].startswith("2 items: send-")


def test_the_notebook_is_kept_without_outputs():
    """What it puts out is that of whoever runs it; a change of it can be read."""
    notebook = nbformat.read(TUTORIAL, as_version=4)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
