"""The clients that are compared, each run in a process of its own.

Usage: python -m tests.bench.clients CLIENT UNTIL INBOX FACTS
"""

import contextlib
import csv
import importlib
import json
import logging
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tests.bench.process import peak_mib

CLIENTS = ("gcwatch", "gcapi")
SOCKET, ALGORITHM, ARCHIVE = "generic-medical-image", "copy-image", "ct-archive"
STUDY = "lung-study"


class _WhenSubmitted(logging.Handler):
    """Sets an event once gcwatch says that the job exists."""

    def __init__(self) -> None:
        super().__init__()
        self.happened = threading.Event()
        self.at = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one line of gcwatch's log."""
        if isinstance(record.msg, dict) and record.msg.get("event") == "case.submitted":
            self.at = time.perf_counter()
            self.happened.set()


def _import_gcwatch() -> None:
    """Import all that a daemon has imported once it has sent a CT, and nothing else."""
    for name in ("numpy", "PIL"):  # pydicom would, and an installed gcwatch has none of them
        sys.modules[name] = None  # type: ignore[assignment]
    for name in (
        "gcwatch.daemon.daemon",
        "gcwatch.platform.connect",
        "pydicom",
        "grand_challenge_dicom_de_identifier.deidentifier",
    ):
        importlib.import_module(name)


def run_gcwatch(inbox: Path, facts: dict[str, Any], work: Path) -> float:
    """Watch the inbox until its folder is a job; the seconds that took."""
    import gcwatch  # noqa: PLC0415 - a client loads itself, not the other one

    _import_gcwatch()
    token = work / "token"
    token.touch(0o600)
    token.write_text(facts["token"])
    config = work / "gcwatch.toml"
    config.write_text(
        f'state = "state"\n[platform]\nurl = "{facts["url"]}"\ntoken_file = "{token}"\n'
        f'ca_bundle = "{facts["ca"]}"\n[[route]]\nname = "bench"\ninbox = "{inbox}"\n'
        f'outbox = "out"\nalgorithm = "{ALGORITHM}"\nsettle = "0s"\n'
    )
    (work / "out").mkdir()
    submitted = _WhenSubmitted()
    logger = logging.getLogger("gcwatch")
    logger.setLevel(logging.INFO)
    logger.addHandler(submitted)
    begin = time.perf_counter()
    with gcwatch.open(config) as watch:
        watch.run_once(submitted.happened, take_over=True)  # from the round before
    assert submitted.happened.is_set(), "no job came of it"
    return submitted.at - begin


def run_gcapi(inbox: Path, facts: dict[str, Any], _work: Path) -> float:
    """Start a job with the files of the inbox's folder; the seconds that took."""
    import gcapi  # noqa: PLC0415 - a client loads itself, not the other one

    files: list[str | Path] = sorted(path for path in inbox.rglob("*") if path.is_file())
    begin = time.perf_counter()
    with gcapi.Client(token=facts["token"], base_url=facts["url"], verify=facts["ca"]) as client:
        spec = gcapi.SocketValueSpec(SOCKET, files=files)
        client.start_algorithm_job(algorithm_slug=ALGORITHM, inputs=[spec])
        return time.perf_counter() - begin


def upload_gcwatch(inbox: Path, facts: dict[str, Any], work: Path) -> float:
    """Send a bundle that is already spooled, by `FileUpload.send`; the seconds that took."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - as above

    from gcwatch.core import case  # noqa: PLC0415 - as above
    from gcwatch.files.beneath import SharePath  # noqa: PLC0415 - as above
    from gcwatch.imaging.bundles import bundle  # noqa: PLC0415 - as above
    from gcwatch.imaging.bundles.options import BundleOptions  # noqa: PLC0415 - as above
    from gcwatch.inbox.tree import source_files  # noqa: PLC0415 - as above
    from gcwatch.platform.client import GrandChallenge  # noqa: PLC0415 - as above
    from gcwatch.platform.file_parts import part_size  # noqa: PLC0415 - as above
    from gcwatch.platform.http import Http  # noqa: PLC0415 - as above
    from gcwatch.platform.transfers import Transfers  # noqa: PLC0415 - as above
    from gcwatch.platform.upload import FileUpload  # noqa: PLC0415 - as above

    parcel = bundle.image_bundle(
        source_files(SharePath(inbox, "patient")),
        BundleOptions(socket=SOCKET),
        spool=work / "spool",
        stem="bench",
    ).written()
    begin = time.perf_counter()
    http = Http(facts["url"], lambda: facts["token"], ca_bundle=facts["ca"])
    with contextlib.closing(http), ThreadPoolExecutor(16) as pool:
        platform = GrandChallenge(http)
        made = platform.create_upload(parcel.filename)
        upload = case.Upload(
            socket=SOCKET,
            pk=made.pk,
            s3_upload_id=made.s3_upload_id,
            api_url=made.api_url,
            filename=made.filename,
            size=parcel.size,
            part_size=part_size(parcel.size),
            created=time.time(),
            files=parcel.files,
        )
        sending = FileUpload(Transfers(platform, pool), parcel.file, upload, lambda _: None)
        with sending.under_way(begun_before=False):
            pass
        return time.perf_counter() - begin


def upload_gcapi(inbox: Path, facts: dict[str, Any], _work: Path) -> float:
    """Send the files by `uploads.upload_multiple_fileobj`; the seconds that took."""
    import gcapi  # noqa: PLC0415 - as above

    files = sorted(path for path in inbox.rglob("*") if path.is_file())
    begin = time.perf_counter()
    with (
        contextlib.ExitStack() as stack,
        gcapi.Client(token=facts["token"], base_url=facts["url"], verify=facts["ca"]) as client,
    ):
        client.uploads.upload_multiple_fileobj(
            file_objects=[stack.enter_context(path.open("rb")) for path in files],
            filenames=[path.name for path in files],
        )
        return time.perf_counter() - begin


def mirror_gcwatch(_inbox: Path, facts: dict[str, Any], work: Path) -> float:
    """Mirror the archive; the seconds that took."""
    return _mirror(f'archive = "{ARCHIVE}"', facts, work)


def answers_gcwatch(_inbox: Path, facts: dict[str, Any], work: Path) -> float:
    """Mirror the answers of the reader study; the seconds that took."""
    return _mirror(f'reader_study = "{STUDY}"', facts, work)


def _mirror(source: str, facts: dict[str, Any], work: Path) -> float:
    import gcwatch  # noqa: PLC0415 - as above

    token = work / "token"
    token.touch(0o600)
    token.write_text(facts["token"])
    config = work / "gcwatch.toml"
    config.write_text(
        f'state = "state"\n[platform]\nurl = "{facts["url"]}"\ntoken_file = "{token}"\n'
        f'ca_bundle = "{facts["ca"]}"\n[[mirror]]\nname = "bench"\n{source}\n'
        'outbox = "out"\n'
    )
    (work / "out").mkdir()
    begin = time.perf_counter()
    with gcwatch.open(config) as watch:
        report = watch.mirror("bench")
        seconds = time.perf_counter() - begin
        assert not report.failed, "some item could not be had"
    return seconds


def mirror_gcapi(_inbox: Path, facts: dict[str, Any], work: Path) -> float:
    """Download the archive's images one after the other, as the tutorial does."""
    import gcapi  # noqa: PLC0415 - as above

    begin = time.perf_counter()
    with gcapi.Client(token=facts["token"], base_url=facts["url"], verify=facts["ca"]) as client:
        archive = client.archives.detail(slug=ARCHIVE)
        for image in client.images.iterate_all(params={"archive": archive.pk}):
            client.images.download(output_directory=work, filename=image.pk, url=image.api_url)
        return time.perf_counter() - begin


def answers_gcapi(_inbox: Path, facts: dict[str, Any], work: Path) -> float:
    """Write the answers of each display set, with titles of choices, and download each mask."""
    import gcapi  # noqa: PLC0415 - as above

    begin = time.perf_counter()
    with gcapi.Client(token=facts["token"], base_url=facts["url"], verify=facts["ca"]) as client:
        api = client.reader_studies
        study = api.detail(slug=STUDY)
        titles = {
            question.api_url: {option.id: option.title for option in question.options}
            for question in api.questions.iterate_all(params={"reader_study": study.pk})
        }
        with (work / "answers.csv").open("w", newline="") as file:
            table = csv.writer(file)
            for case in api.display_sets.iterate_all(params={"reader_study": study.pk}):
                for answer in api.answers.iterate_all(params={"display_set": case.pk}):
                    told = (
                        titles[answer.question].get(answer.answer)
                        if titles[answer.question]
                        else answer.answer
                    )
                    table.writerow([case.title_safe, answer.creator, answer.question, told])
                    if answer.answer_image:
                        client.images.download(
                            output_directory=work, filename=answer.pk, url=answer.answer_image
                        )
        return time.perf_counter() - begin


RUNS = {
    ("answers", "gcwatch"): answers_gcwatch,
    ("answers", "gcapi"): answers_gcapi,
    ("mirror", "gcwatch"): mirror_gcwatch,
    ("mirror", "gcapi"): mirror_gcapi,
    ("job", "gcwatch"): run_gcwatch,
    ("job", "gcapi"): run_gcapi,
    ("upload", "gcwatch"): upload_gcwatch,
    ("upload", "gcapi"): upload_gcapi,
}


def main() -> None:
    """Run one client and print what it took."""
    name, until, inbox, facts = sys.argv[1], sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4])
    with tempfile.TemporaryDirectory() as work:
        before = time.process_time()
        seconds = RUNS[until, name](inbox, facts, Path(work))
        cpu = time.process_time() - before
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mib": peak_mib()}))


if __name__ == "__main__":
    main()
