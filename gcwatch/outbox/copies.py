"""Puts the results of a delivered case into another outbox: copied from the first, or fetched."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from gcwatch.core.case import Case, Fetched
from gcwatch.core.receipt import make_receipt
from gcwatch.files.atomic import BUFFER_BYTES, disk_trouble
from gcwatch.files.beneath import SharePath
from gcwatch.outbox.outputs import Staging, output_paths
from gcwatch.outbox.publish import publish_results, published_name
from gcwatch.outbox.staging import StagingPlace
from gcwatch.platform.transfers import Moved, Transfers
from gcwatch.version import VERSION


@dataclass(frozen=True)
class ResultCopy:
    """Where the results of a case are now, and how they came there; `how` is "" if they were."""

    folder: Path
    how: Literal["", "copied", "fetched"] = ""


@dataclass(frozen=True)
class ResultCopier:
    """Puts results of delivered cases where they are wanted.

    `notes` is a folder in the state directory, for the names of staging folders. `now` is the time
    in seconds since the epoch.
    """

    transfers: Transfers
    notes: Path
    now: float

    def bring(self, case: Case, former: Path, outbox: Path, moved: Moved) -> ResultCopy:
        """Given a delivered case and the outbox of its first result, put it into *outbox*.

        Nothing happens if it is there already. A file that is missing in the first result, or was
        changed, is fetched from the platform. A crash leaves no half of it: the next call
        continues.

        Raises:
            TryAgain: a disk can't be written, or a download failed.
            NotYet, Unreachable, Refused, TokenRefused, Stopped: as a download does.
        """
        if name := published_name(outbox, case.key, case.folder):
            return ResultCopy(outbox / name)
        place = StagingPlace(outbox, case.key, self.notes / f"{case.key}.json")
        folder = place.open()
        former_result = SharePath(former) / case.result
        whole = [
            file
            for file in case.fetched
            if _is_copied(former_result / file.path, folder / file.path, file, self.transfers)
        ]
        is_whole = len(whole) == len(case.fetched)
        fetched = case.fetched if is_whole else self._fetch_rest(case, whole, folder, moved)
        platform = self.transfers.platform.home
        receipt = make_receipt(replace(case, fetched=fetched), platform, VERSION, self.now)
        name = publish_results(place, case.folder, receipt)
        place.note.unlink(missing_ok=True)
        return ResultCopy(outbox / name, "copied" if is_whole else "fetched")

    def _fetch_rest(
        self, case: Case, whole: list[Fetched], folder: SharePath, moved: Moved
    ) -> tuple[Fetched, ...]:
        """Fetch each output of which a file is missing; return all files of the result."""
        incomplete = {file.output for file in case.fetched if file not in whole}
        paths = output_paths(case.outputs or ())
        staging = Staging(folder, self.transfers, moved, lenient=True)
        fetched = [file for file in whole if file.output not in incomplete]
        with disk_trouble("Writing results"):
            for output in case.outputs or ():
                if output.pk in incomplete:
                    fetched += staging.fetch_output(output, paths[output.pk])
        return tuple(fetched)


def _is_copied(source: SharePath, target: SharePath, file: Fetched, transfers: Transfers) -> bool:
    """Copy a file if it is still what was fetched; return whether it was."""
    with suppress(OSError), source.open_file() as given, disk_trouble("Writing results"):
        target.make_parents()
        digest = hashlib.sha256()
        with target.create_file() as copy:
            while chunk := given.read(BUFFER_BYTES):
                transfers.require_running()
                digest.update(chunk)
                copy.write(chunk)
        if digest.hexdigest() == file.sha256:
            return True
        target.unlink()
    return False
