"""Lets another process draw, because decoders of images may crash or need much memory."""

import json
import threading
from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError

from gcwatch.core.errors import Stopped
from gcwatch.pictures.drawings import Drawing, Drawings, Subject
from gcwatch.processes.process import run_in_process

PATIENCE_SECONDS: Final = 90.0
"""A process that takes longer is ended."""


class Artist:
    """Draws the images of one case at a time."""

    def __init__(self) -> None:
        self._is_over = threading.Event()

    def draw(self, subjects: Sequence[Subject]) -> list[Drawing] | None:
        """Given the images of a case, return their pictures; None if the process ended badly."""
        request = json.dumps([subject.record() for subject in subjects]).encode()
        try:
            told = run_in_process(
                "gcwatch.pictures", request, PATIENCE_SECONDS, self._require_wanted
            )
        except Stopped:
            return None
        return None if told is None else _read_answer(told, len(subjects))

    def stop(self) -> None:
        """End a process that draws at this moment, and each later one."""
        self._is_over.set()

    def _require_wanted(self) -> None:
        if self._is_over.is_set():
            raise Stopped


def _read_answer(told: bytes, subjects: int) -> list[Drawing] | None:
    try:
        drawings = Drawings.model_validate_json(told).drawings
    except ValidationError:
        return None
    return drawings if all(each.subject < subjects for each in drawings) else None
