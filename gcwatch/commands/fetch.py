"""`gcwatch fetch`: what the platform has of one archive, algorithm or reader study, into a folder.

It is a mirror without a config file: a second call fetches what is new, and nothing is lost if it
is killed.
"""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from gcwatch.commands.send.access import access_settings
from gcwatch.commands.send.options import Access
from gcwatch.commands.send.records import require_folder, usage_error
from gcwatch.config import Mirror, Settings
from gcwatch.core.errors import Misused
from gcwatch.core.kinds import Kind
from gcwatch.core.progress import MirrorProgress, no_progress
from gcwatch.core.timing import Pace
from gcwatch.files.atomic import FOLDER_MODE
from gcwatch.journal.hosts.hosts import NoteFiles
from gcwatch.mirrors.jobs import JobFilter
from gcwatch.mirrors.last_run import LastRun, read_last_run, write_last_run
from gcwatch.mirrors.outcome import MirrorSummary
from gcwatch.mirrors.run import MirrorContext, run_mirror
from gcwatch.platform.connect import connect
from gcwatch.platform.transfers import Transfers


def fetch_into(
    folder: str | Path,
    kind: Kind,
    slug: str,
    access: Access,
    *,
    jobs: JobFilter = JobFilter(),  # noqa: B008 -- a frozen value
    progress: MirrorProgress = no_progress,
    stop: threading.Event | None = None,
) -> MirrorSummary:
    """Fetch into a folder what is new or changed; return a summary.

    Raises:
        Misused: when the folder can't be made, the slug is none, or a filter does not fit.
        StateError, TokenRefused, Unreachable, CaseError, Stopped: as `run_mirror` does.
    """
    if kind != "algorithm" and jobs != JobFilter():
        raise Misused("since and status are for the jobs of an algorithm.", "Leave them out.")
    jobs.require_valid()
    if not str(folder):
        raise Misused("The name of the folder is empty.", "Name a folder; . is this folder.")
    settings = access_settings(access)
    mirror = _mirror(Path(folder).expanduser().absolute(), kind, slug)
    connections = settings.limits.connections
    with (
        closing(connect(settings, access.token)) as platform,
        ThreadPoolExecutor(connections, thread_name_prefix="transfer") as pool,
    ):
        _begin(mirror, settings.state)
        transfers = Transfers(platform, pool, stop or threading.Event())
        summary = run_mirror(mirror, _context(settings, transfers, jobs), progress)
    return replace(summary, mirror=slug)


def _begin(mirror: Mirror, state: Path) -> None:
    """Note what the folder gets; raise Misused if it has something else from another call."""
    told = f"{mirror.kind} {mirror.slug}"
    notes = NoteFiles(state)
    before = read_last_run(notes, mirror.name).fetched
    # A folder that was emptied is filled again: whoever named it knows what it is.
    if before not in {"", told} and any(mirror.outbox.iterdir()):
        kind, _, slug = before.partition(" ")
        raise Misused(
            f"{mirror.outbox} has what was fetched of {kind.replace('_', ' ')} {slug}.",
            "Name another folder: one for each.",
        )
    write_last_run(notes, mirror.name, LastRun(fetched=told))


def _mirror(folder: Path, kind: Kind, slug: str) -> Mirror:
    """Return the mirror of a folder; its name is the folder's, so that two runs lock each other."""
    require_folder(folder)
    try:
        folder.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise Misused(
            f"{folder} can't be made: {error.strerror}.", "Name another folder."
        ) from error
    digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
    try:
        return Mirror.model_validate({"name": f"fetch-{digest[:12]}", kind: slug, "outbox": folder})
    except ValidationError as error:
        raise usage_error(error, kind) from error


def _context(settings: Settings, transfers: Transfers, jobs: JobFilter) -> MirrorContext:
    connections, pace = settings.limits.connections, Pace()
    return MirrorContext(transfers, settings.state, connections, pace.backoff, jobs=jobs)
