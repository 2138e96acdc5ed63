"""Contents on the platform, downloaded again and compared with what the journal recorded.

The platform never changes a value under the same pk, so this finds only faults. Images that were
sent can't be compared like this: the platform stores them in another format.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gcwatch.commands.audit.finding import Finding, KnownCase
from gcwatch.core.case import Input, Output
from gcwatch.core.errors import CaseError
from gcwatch.core.reasons import explain
from gcwatch.files.beneath import SharePath
from gcwatch.outbox.outputs import Staging, output_paths
from gcwatch.platform.models import SocketValue
from gcwatch.platform.transfers import Transfers


@dataclass(frozen=True)
class ContentCheck:
    """Compares the contents of delivered cases; downloads are deleted again."""

    transfers: Transfers

    def compare(self, each: KnownCase, held: Mapping[str, SocketValue]) -> Iterator[Finding]:
        """Given a case and the values of its job or item by socket, compare files and results.

        Raises:
            TokenRefused, Unreachable, Refused: as `submissions` does.
        """
        try:
            yield from self._outputs(each)
            for item in each.case.inputs or ():
                if item.socket in held:
                    yield from self._sent(each, item, held[item.socket])
        except CaseError as error:
            yield each.finding("unclear", explain(error.reason).detail)

    @contextmanager
    def _staging(self) -> Iterator[Staging]:
        """Yield a temporary place for downloads, where malformed files are accepted, too."""
        with tempfile.TemporaryDirectory(prefix="gcwatch-") as aside:
            yield Staging(SharePath(Path(aside)), self.transfers, _unseen, lenient=True)

    def _outputs(self, each: KnownCase) -> Iterator[Finding]:
        outputs = each.case.outputs or ()
        places = output_paths(outputs)
        here = {(file.path, file.sha256) for file in each.case.fetched}
        there: set[tuple[str, str]] = set()
        for output in outputs:
            with self._staging() as staging:
                there |= {
                    (f.path, f.sha256) for f in staging.fetch_output(output, places[output.pk])
                }
        for path in sorted({path for path, _ in here ^ there}):
            detail = f"the platform has another content of {path} of its result"
            yield each.finding("different", detail)

    def _sent(self, each: KnownCase, item: Input, value: SocketValue) -> Iterator[Finding]:
        """Compare a file by its bytes, a DICOM image set by its number of instances."""
        uploads = [upload for upload in each.case.uploads if upload.socket == item.socket]
        if item.carrier == "file" and value.file and uploads:
            output = Output(value.pk, item.socket, "file", "file", url=value.file)
            with self._staging() as staging:
                [file] = staging.fetch_output(output, output_paths([output])[output.pk])
            if file.sha256 != uploads[0].sha256:
                detail = f"the platform has another content in {item.socket} than was sent"
                yield each.finding("different", detail)
        elif item.carrier == "dicom" and value.image and uploads:
            there = len(self.transfers.platform.instances(value.image))
            if there != len(uploads):
                detail = f"{item.socket} holds {there} of the {len(uploads)} files that were sent"
                yield each.finding("half there", detail)


def _unseen(_more: int) -> None:
    """Count no bytes."""
