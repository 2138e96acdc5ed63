"""Makes several large bundles at the same time, each on a core of its own.

Python's lock lets one thread at a time judge and clean headers. So while this process makes one
large bundle, other processes make further ones.
"""

import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.bundles.bundle import image_bundle
from gcwatch.imaging.bundles.members import Bundle
from gcwatch.imaging.bundles.options import BundleOptions
from gcwatch.processes.process import run_in_process
from gcwatch.threads.heartbeats import heartbeat

_PATIENCE_SECONDS: Final = 3600.0


class SeveralBundles:
    """Makes bundles; threads may share it.

    Args:
        most: Returns how many large bundles are made at the same time at most.
        large_files: A bundle of so many files is a large one: a process takes longer to start than
            fewer files take.
    """

    def __init__(self, most: Callable[[], int], large_files: int = 500) -> None:
        self._most, self._large_files = most, large_files
        self._at_work = 0
        self._lock = threading.Lock()

    def image_bundle(
        self, files: Sequence[SourceFile], options: BundleOptions, *, spool: Path, stem: str
    ) -> Bundle:
        """As `bundle.image_bundle`; the bundle of another process is in the spool already."""
        if len(files) >= self._large_files:
            with self._counted() as before:
                if 0 < before < self._most():
                    request = pickle.dumps((files, options, spool, stem))
                    run_in_process("gcwatch.imaging.bundles", request, _PATIENCE_SECONDS, heartbeat)
                # If that ended badly, this does the work, or says why it can't be done.
                return image_bundle(files, options, spool=spool, stem=stem)
        return image_bundle(files, options, spool=spool, stem=stem)

    @contextmanager
    def _counted(self) -> Iterator[int]:
        """Yield how many large bundles others are making."""
        with self._lock:
            before, self._at_work = self._at_work, self._at_work + 1
        try:
            yield before
        finally:
            with self._lock:
                self._at_work -= 1
