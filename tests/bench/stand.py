"""A sandbox in a process of its own."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests


class Stand:
    """A sandbox in a process of its own; `facts` are its url, token and certificate."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "gcwatch.sandbox", "--dir", str(folder), *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.facts: dict[str, Any] = json.loads(self._process.stdout.readline())

    def ask(self, what: str, **arguments: Any) -> Any:
        """Call one of the sandbox's controls."""
        url = self.facts["control"] + what
        reply = requests.post(url, json=arguments, verify=self.facts.get("ca"), timeout=900)
        reply.raise_for_status()
        return reply.json()

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


@contextlib.contextmanager
def standing(folder: Path, *options: str) -> Iterator[Stand]:
    """A sandbox for the time of the body."""
    stand = Stand(folder, *options)
    try:
        yield stand
    finally:
        stand.close()
