"""Lets another process draw, because decoders of images may crash or need much memory."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError

from gcwatch.pictures.drawings import Drawing, Drawings, Subject

PATIENCE_SECONDS: Final = 90.0
"""A process that takes longer is ended."""

_KEPT_VARIABLES: Final = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR")
"""The process gets no others: one of them may hold the token."""


class Artist:
    """Draws the images of one case at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._is_over = False

    def draw(self, subjects: Sequence[Subject]) -> list[Drawing] | None:
        """Given the images of a case, return their pictures; None if the process ended badly."""
        try:
            return self._draw(subjects)
        except OSError:  # this machine has no room for another process
            return None

    def _draw(self, subjects: Sequence[Subject]) -> list[Drawing] | None:
        request = json.dumps([subject.record() for subject in subjects]).encode()
        environment = {key: os.environ[key] for key in _KEPT_VARIABLES if key in os.environ}
        # -P: no module is taken from the current folder. Names are not in the command line, where
        # every user of this machine could read them.
        command = [sys.executable, "-P", "-m", "gcwatch.pictures"]
        pipe = subprocess.PIPE
        with subprocess.Popen(  # noqa: S603 - the command is this program
            command,
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
            env=environment,
            process_group=0,  # Ctrl-C is for gcwatch, which then ends the process
        ) as process:
            self._process = process
            if self._is_over:
                process.kill()
            try:
                told, _ = process.communicate(request, PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                return None
            finally:
                self._process = None
        return _read_answer(told, len(subjects)) if process.returncode == 0 else None

    def stop(self) -> None:
        """End a process that draws at this moment, and each later one."""
        self._is_over = True
        if (process := self._process) is not None:
            process.kill()


def _read_answer(told: bytes, subjects: int) -> list[Drawing] | None:
    try:
        drawings = Drawings.model_validate_json(told).drawings
    except ValidationError:
        return None
    return drawings if all(each.subject < subjects for each in drawings) else None
