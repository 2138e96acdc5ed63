"""The tutorial notebook does its three jobs, from its first cell to its last."""

import json
import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from support.checkout import ROOT

TUTORIAL = ROOT / "docs" / "tutorial.ipynb"


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """The notebook in a fresh folder, as somebody with a new checkout runs it."""
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in ("GCWATCH_CONFIG", "GRAND_CHALLENGE_AUTHORIZATION", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    (tmp_path / "work").mkdir()
    return nbformat.read(TUTORIAL, as_version=4)


def test_the_tutorial_notebook_does_the_three_jobs(notebook, tmp_path):
    """Its cells run one after the other; cases, results and an archive are there afterwards."""
    work = tmp_path / "work"
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(work)}}).execute()
    print(*[cell["outputs"] for cell in notebook["cells"] if "outputs" in cell], sep="\n")
    assert (work / "results" / "patient-1" / "gcwatch.json").exists()
