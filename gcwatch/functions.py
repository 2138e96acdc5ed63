"""The functions of the Python API: one call does what one command does.

In a notebook they show their progress, as on a terminal.
"""

import threading
from collections.abc import Sequence
from contextlib import closing, nullcontext
from datetime import date
from pathlib import Path
from typing import Literal

from gcwatch.api import Watch, open_watch
from gcwatch.commands.fetch import fetch_into
from gcwatch.commands.send.options import Access, Inputs, SendOptions
from gcwatch.commands.send.runs import Sent
from gcwatch.commands.send.send import SendSession
from gcwatch.core.errors import Misused
from gcwatch.core.kinds import Kind
from gcwatch.core.progress import TransferProgress, no_progress
from gcwatch.core.timing import Pace
from gcwatch.mirrors.jobs import JobFilter, JobStatus
from gcwatch.mirrors.outcome import MirrorSummary
from gcwatch.views.progress import mirror_progress
from gcwatch.views.send_progress import send_progress


def send(
    paths: str | Path | Sequence[str | Path],
    *,
    algorithm: str | None = None,
    reader_study: str | None = None,
    archive: str | None = None,
    output: str | Path | None = None,
    inputs: Inputs | None = None,
    title: str | None = None,
    order: str | int | None = None,
    names: Literal["opaque", "keep"] = "opaque",
    deidentify: bool = True,
    integrity: Literal["refuse", "warn"] = "refuse",
    leftovers: Literal["warn", "fail"] = "warn",
    reuse: bool = False,
    ignore: Sequence[str] = (),
    poll: str | None = None,
    each: bool = False,
    again: bool = False,
    url: str | None = None,
    token: str | None = None,
    token_file: str | Path | None = None,
    ca_bundle: str | Path | None = None,
    config: str | Path | None = None,
    state: str | Path | None = None,
    stop: threading.Event | None = None,
    quiet: bool = False,
    progress: TransferProgress = no_progress,
    pace: Pace | None = None,
) -> list[Sent]:
    """Send files or folders, wait for their results, and return them: no config file is needed.

    Each folder is a case of its own; all files together are one case. An algorithm run on two
    images and a number, the results put into a folder::

        [sent] = gcwatch.send(
            ["ct.mha", "lungs.mha"],
            algorithm="lobe-segmentation",
            inputs={"ct-image": "ct.mha", "lungs": "lungs.mha", "threshold": {"value": 0.5}},
            output="results",
        )
        print(sent.ending, sent.link, *sent.outputs)

    After a crash, the same call continues where the first one stopped, and nothing is sent twice.
    What was delivered before is returned, not sent again.

    Args:
        paths: The files and folders; nothing in them is changed.
        algorithm: The slug of the algorithm to run; or
        reader_study: the slug of the reader study to add display sets to; or
        archive: the slug of the archive to add items to.
        output: The folder for results and receipts; needed for an algorithm.
        inputs: What each socket gets: a glob such as "*.mha", or {"value": 0.5}. An algorithm with
            one input socket gets all files without it.
        title: The title of the display set or item; may hold {key} and {folder}.
        order: The order number of the display set.
        names: Whether the platform sees keys ("opaque"), or names of folders and files ("keep").
        deidentify: Whether images are de-identified before they leave this machine.
        integrity: Whether an incomplete series is refused, or sent with a warning.
        leftovers: Whether files that the platform can't read are a warning or a failure.
        reuse: Whether images that are on the platform already are used again, not uploaded.
        ignore: Globs of files that are not sent.
        poll: How often a job is polled at first, such as "5s".
        each: Each folder in the given folders is a case: for a folder of patients' folders.
        again: Send what was delivered before again, as new cases.
        url: The root of the platform's API, if it is not grand-challenge.org.
        token: The API token; else `token_file`, the config or $GRAND_CHALLENGE_AUTHORIZATION.
        token_file: A file that holds the API token, and that only its owner can read.
        ca_bundle: A file with certificates to trust, for networks that inspect TLS.
        config: A config file, of which platform, limits and state are used.
        state: The directory that remembers what was sent.
        stop: Ends the work early once it is set; the same call continues it.
        quiet: Show no progress; else it is shown in a notebook and on a terminal.
        progress: Called with a case's key and the moved and total bytes of its transfer.
        pace: How often things are done.

    Returns:
        One `Sent` for each case; failed cases are among them, with their reasons.

    Raises:
        Misused: when the arguments are wrong.
        ConfigError: when the config file can't be used, the platform has no such target for this
            token, or the target does not take such inputs.
        TokenRefused: when the platform does not take the token, or there is none.
        Unreachable: when the platform could not be asked about the target.
        StateError: when another process is sending the same, or the state can't be written.
    """
    options = SendOptions(
        algorithm=algorithm,
        reader_study=reader_study,
        archive=archive,
        output=output,
        inputs=inputs,
        title=title,
        order=order,
        names=names,
        deidentify=deidentify,
        integrity=integrity,
        leftovers=leftovers,
        reuse=reuse,
        ignore=ignore,
        poll=poll,
        each=each,
        again=again,
        progress=progress,
        pace=pace,
    )
    access = Access(
        url=url,
        token=token,
        token_file=token_file,
        ca_bundle=ca_bundle,
        config=config,
        state=state,
    )
    with (
        closing(SendSession(paths, options, access)) as session,
        nullcontext() if quiet else send_progress(session),
    ):
        return session.run(stop)


def fetch(
    output: str | Path,
    *,
    algorithm: str | None = None,
    reader_study: str | None = None,
    archive: str | None = None,
    status: JobStatus = "succeeded",
    since: date | None = None,
    url: str | None = None,
    token: str | None = None,
    token_file: str | Path | None = None,
    ca_bundle: str | Path | None = None,
    config: str | Path | None = None,
    state: str | Path | None = None,
    stop: threading.Event | None = None,
    quiet: bool = False,
) -> MirrorSummary:
    """Fetch what the platform has into a folder, and return a summary: no config file is needed.

    Each job, item or display set has a folder there, with a receipt. The same call again fetches
    what is new or changed, and continues after a crash::

        gcwatch.fetch("results", algorithm="lobe-segmentation", since=date(2026, 11, 1))

    Args:
        output: The folder; it is made if there is none.
        algorithm: The slug of an algorithm, whose jobs' results are fetched; or
        reader_study: the slug of a reader study, whose answers are fetched; or
        archive: the slug of an archive.
        status: How the jobs ended that are fetched.
        since: Only jobs with results of this day (UTC) or a later one.
        url: The root of the platform's API, if it is not grand-challenge.org.
        token: The API token; else `token_file`, the config or $GRAND_CHALLENGE_AUTHORIZATION.
        token_file: A file that holds the API token, and that only its owner can read.
        ca_bundle: A file with certificates to trust, for networks that inspect TLS.
        config: A config file, of which platform, limits and state are used.
        state: The directory that locks the folder.
        stop: Ends the work early once it is set; the same call continues it.
        quiet: Show no progress; else it is shown in a notebook and on a terminal.

    Raises:
        Misused: unless exactly one slug is given, the folder can be made, and the filters fit.
        CaseError: when the platform has no such target for this token, or the folder can't be
            written.
        StateError: when another process fetches into the folder.
        TokenRefused: when the platform does not take the token, or there is none.
        Unreachable: when the platform can't be reached.
        Stopped: when *stop* was set.
    """
    slugs: dict[Kind, str | None] = {
        "algorithm": algorithm,
        "reader_study": reader_study,
        "archive": archive,
    }
    given = [(kind, slug) for kind, slug in slugs.items() if slug is not None]
    if len(given) != 1:
        message = "One slug is needed: of an algorithm, a reader study or an archive."
        named = " and ".join(kind for kind, _ in given)
        raise Misused(message, f"Given: {named}." if named else "None is given.")
    access = Access(
        url=url,
        token=token,
        token_file=token_file,
        ca_bundle=ca_bundle,
        config=config,
        state=state,
    )
    (kind, slug), jobs = given[0], JobFilter(status, since)
    if quiet:
        return fetch_into(output, kind, slug, access, jobs=jobs, stop=stop)
    with mirror_progress() as (_, progress):
        return fetch_into(output, kind, slug, access, jobs=jobs, progress=progress, stop=stop)


def mirror(
    name: str,
    *,
    config: str | Path | None = None,
    stop: threading.Event | None = None,
    quiet: bool = False,
) -> MirrorSummary:
    """Update the folder of a mirror; only what is new or changed is downloaded.

    Args:
        name: The mirror's name in the config file.
        config: The config file; else one in the usual places (see `gcwatch.open`).
        stop: Ends the work early once it is set; the same call continues it.
        quiet: Show no progress; else it is shown in a notebook and on a terminal.

    Raises:
        Misused: when there is no such mirror.
        ConfigError: with every problem of the config file.
        StateError: when another gcwatch works on the mirror at this moment.
        CaseError: when the source can't be seen, or the folder can't be written.
        TokenRefused: when the platform does not take the token.
        Unreachable: when the platform can't be reached.
        Stopped: when *stop* was set.
    """
    with open_watch(config) as watch:
        require_mirror(watch, name)
        if quiet:
            return watch.mirror(name, stop=stop)
        with mirror_progress() as (_, progress):
            return watch.mirror(name, progress, stop)


def require_mirror(watch: Watch, name: str) -> None:
    """Raise Misused if a config has no mirror of this name."""
    known = [each.name for each in watch.settings.all_mirrors]
    if name not in known:
        hint = f"Mirrors: {', '.join(known)}." if known else "The config file has no [[mirror]]."
        raise Misused(f"There is no mirror {name}.", hint)
