"""gcwatch's uploads beside those of the official client: `make bench`.

Both clients do the same job, each in a process of its own, against one sandbox in a third process,
over TLS, with 40 ms added to every reply: from opening a config (or a client) to a job that
exists. gcwatch goes its whole way through the public API: survey, settle, check, de-identify, zip,
upload, session, job, every step committed to the journal. gcapi goes the way of its documentation:
`start_algorithm_job` with the list of files. Interpreter start and imports are left out for both.

A further case times the upload of the series alone, no job: gcwatch's zip is spooled before the
clock starts, so it says what the wire costs and not what a user waits for. CPU and memory are
always the whole process's, that spooling included.

The way down is an archive that both clients bring to an empty folder: gcwatch as a mirror, whole
items with receipts; gcapi by its tutorial's loop of `images.download`.
"""

import argparse
import contextlib
import json
import logging
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

MIB = 1 << 20
LATENCY = 0.04
SLICES, SIDE = 300, 512
CLIENTS = ("gcwatch", "gcapi")
SOCKET, ALGORITHM = "generic-medical-image", "copy-image"
ARCHIVE, ITEMS, ITEM_MIB = "ct-archive", 200, 4


# --- what is sent --------------------------------------------------------------------------------


def make_big_file(folder: Path, mib: int) -> None:
    """Write a MetaImage of so many MiB of noise."""
    folder.mkdir(parents=True)
    noise = random.Random(1)
    with (folder / "volume.mha").open("wb") as file:
        file.write(
            f"ObjectType = Image\nNDims = 3\nDimSize = 1024 1024 {mib}\nElementSpacing = 1 1 1\n"
            "ElementType = MET_UCHAR\nElementDataFile = LOCAL\n".encode()
        )
        for _ in range(mib):
            file.write(noise.randbytes(MIB))


def make_series(folder: Path, slices: int) -> None:
    """Write a CT: 16-bit slices that deflate to two thirds, as real ones do, and a name in each."""
    from pydicom.dataset import Dataset, FileMetaDataset  # noqa: PLC0415 - only where it is made
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid  # noqa: PLC0415

    folder.mkdir(parents=True)
    noise = random.Random(2)
    study, series = generate_uid(), generate_uid()
    for number in range(1, slices + 1):
        each = Dataset()
        each.file_meta = FileMetaDataset()
        each.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        each.SOPClassUID, each.SOPInstanceUID = CTImageStorage, generate_uid()
        each.file_meta.MediaStorageSOPClassUID = each.SOPClassUID
        each.file_meta.MediaStorageSOPInstanceUID = each.SOPInstanceUID
        each.StudyInstanceUID, each.SeriesInstanceUID = study, series
        each.PatientName, each.PatientID = "Doe^Jane", "0123456"
        each.PatientBirthDate, each.PatientSex = "19500102", "F"
        each.InstitutionName, each.ReferringPhysicianName = "General Hospital", "Roe^Richard"
        each.StudyDate = each.SeriesDate = "20250304"
        each.Modality, each.InstanceNumber = "CT", number
        each.ImagePositionPatient = [-180.0, -180.0, float(number)]
        each.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        each.PixelSpacing, each.SliceThickness = [0.7, 0.7], 1.0
        each.Rows = each.Columns = SIDE
        each.SamplesPerPixel, each.PhotometricInterpretation = 1, "MONOCHROME2"
        each.BitsAllocated, each.BitsStored, each.HighBit, each.PixelRepresentation = 16, 16, 15, 1
        each.PixelData = _voxels(noise)
        each.save_as(folder / f"IM{number:04}", enforce_file_format=True)


def _voxels(noise: random.Random) -> bytes:
    """A body with noise in it, in air."""
    low = bytes(128 + (byte & 127) // 2 * (byte >> 7 or 1) for byte in range(256))
    voxels = bytearray(2 * SIDE * SIDE)
    voxels[0::2] = noise.randbytes(SIDE * SIDE).translate(low)
    quarter = bytes(SIDE * SIDE // 4)
    body = noise.randbytes(SIDE * SIDE // 2).translate(bytes(byte & 3 for byte in range(256)))
    voxels[1::2] = quarter + body + quarter
    return bytes(voxels)


# --- the clients, each run in a process of its own -----------------------------------------------


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


def run_gcwatch(inbox: Path, facts: dict[str, Any], work: Path) -> float:
    """Watch the inbox until its folder is a job; the seconds that took."""
    import gcwatch  # noqa: PLC0415 - a client loads itself, not the other one

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
        watch.run_once(submitted.happened)
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
    """Send a bundle that is already spooled, by `Transfers.send`; the seconds that took."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - as above

    from gcwatch import bundle, cases, transfer  # noqa: PLC0415 - as above
    from gcwatch.grandchallenge import GrandChallenge  # noqa: PLC0415 - as above
    from gcwatch.http import Http  # noqa: PLC0415 - as above
    from gcwatch.inbox import source_files  # noqa: PLC0415 - as above

    parcel = bundle.image_bundle(
        source_files(inbox, "patient"),
        spool=work / "spool",
        stem="bench",
        socket=SOCKET,
        deidentify=True,
        keep_names=False,
    )
    begin = time.perf_counter()
    http = Http(facts["url"], lambda: facts["token"], ca_bundle=facts["ca"])
    with contextlib.closing(http), ThreadPoolExecutor(16) as pool:
        platform = GrandChallenge(http)
        made = platform.create_upload(parcel.filename)
        upload = cases.Upload(
            socket=SOCKET,
            pk=made.pk,
            s3_upload_id=made.s3_upload_id,
            api_url=made.api_url,
            filename=made.filename,
            size=parcel.size,
            part_size=transfer.part_size(parcel.size),
            created=time.time(),
            files=parcel.files,
        )
        sender = transfer.Transfers(platform, pool)
        sender.send(parcel.path, upload, lambda _: None, begun_before=False)
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
    """Mirror the archive, and once more with nothing new; the seconds that the first run took."""
    import gcwatch  # noqa: PLC0415 - as above

    token = work / "token"
    token.touch(0o600)
    token.write_text(facts["token"])
    config = work / "gcwatch.toml"
    config.write_text(
        f'state = "state"\n[platform]\nurl = "{facts["url"]}"\ntoken_file = "{token}"\n'
        f'ca_bundle = "{facts["ca"]}"\n[[mirror]]\nname = "bench"\narchive = "{ARCHIVE}"\n'
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


RUNS = {
    ("mirror", "gcwatch"): mirror_gcwatch,
    ("mirror", "gcapi"): mirror_gcapi,
    ("job", "gcwatch"): run_gcwatch,
    ("job", "gcapi"): run_gcapi,
    ("upload", "gcwatch"): upload_gcwatch,
    ("upload", "gcapi"): upload_gcapi,
}


def peak_mib() -> float:
    """The most memory that this process has had; unlike ru_maxrss not what its parent had."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def be_client(name: str, until: str, inbox: Path, facts: dict[str, Any]) -> None:
    """Run one client and print what it took."""
    with tempfile.TemporaryDirectory() as work:
        before = time.process_time()
        seconds = RUNS[until, name](inbox, facts, Path(work))
        cpu = time.process_time() - before
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mib": peak_mib()}))


# --- measuring -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """What one run of one client took."""

    seconds: float
    cpu: float
    peak_mib: float
    api_calls: int
    storage_calls: int
    before_job: int


class Stand:
    """A sandbox in a process of its own."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "gcwatch.sandbox", "--dir", str(folder), "--tls"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.facts: dict[str, Any] = json.loads(self._process.stdout.readline())
        # Imports would take the machine's time from whoever is measured next.
        self.ask("configure", latency=LATENCY, import_seconds=1e9)

    def ask(self, what: str, **arguments: Any) -> Any:
        """Call one of the sandbox's controls."""
        url = self.facts["control"] + what
        reply = requests.post(url, json=arguments, verify=self.facts["ca"], timeout=900)
        reply.raise_for_status()
        return reply.json()

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()

    def fill(self, folder: Path, items: int, mib: int) -> None:
        """Put so many items with an image of so many MiB each into the archive."""
        for number in range(items):
            make_big_file(folder / str(number), mib)
            image = {"path": str(folder / str(number) / "volume.mha"), "name": f"{number}.mha"}
            title, values = f"case {number}", {SOCKET: image}
            self.ask("add_item", archive=ARCHIVE, title=title, values=values)
            shutil.rmtree(folder / str(number))

    def measure(self, client: str, inbox: Path, until: str = "job") -> Run:
        """Let a client send what is in the inbox."""
        self.ask("expire_uploads")
        self.ask("forget_calls")
        arguments = ["--client", client, "--until", until]
        arguments += ["--inbox", str(inbox), "--facts", json.dumps(self.facts)]
        command = [sys.executable, "-m", "tests.bench", *arguments]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        taken = json.loads(said.stdout.splitlines()[-1])
        calls = self.ask("calls")
        api = [call for call in calls if call["host"] == "api"]
        jobs = [n for n, c in enumerate(api) if c["method"] == "POST" and "jobs/" in c["path"]]
        return Run(
            **taken,
            api_calls=jobs[0] + 1 if until == "job" else len(api),
            storage_calls=len(calls) - len(api),
            before_job=jobs[0] if until == "job" else len(api),
        )


@contextlib.contextmanager
def standing(folder: Path) -> Iterator[Stand]:
    """A sandbox for the time of the body."""
    stand = Stand(folder)
    try:
        yield stand
    finally:
        stand.close()


def median(runs: list[Run]) -> dict[str, float]:
    """The median of every number."""
    return {
        name: round(statistics.median(getattr(run, name) for run in runs), 2)
        for name in Run.__annotations__
    }


def compare(stand: Stand, inbox: Path, until: str, rounds: int) -> dict[str, Any]:
    """Measure both clients in turn; the medians, and how many times faster gcwatch is."""
    runs: dict[str, list[Run]] = {client: [] for client in CLIENTS}
    for _ in range(rounds):
        for client in CLIENTS:
            runs[client].append(stand.measure(client, inbox, until))
            print(f"{inbox.name}, {until}: {client} {runs[client][-1]}", file=sys.stderr)
    found = {client: median(runs[client]) for client in CLIENTS}
    ratio = found["gcapi"]["seconds"] / found["gcwatch"]["seconds"]
    return {**found, "ratio": round(ratio, 2)}


# --- telling -------------------------------------------------------------------------------------


def show(results: dict[str, Any]) -> None:
    """Print a table for people, and a line of JSON for programs."""
    from rich.console import Console  # noqa: PLC0415 - the measured processes do without
    from rich.table import Table  # noqa: PLC0415

    table = Table(
        title=f"until the job exists (unless said), over TLS, {LATENCY * 1000:.0f} ms a reply"
    )
    for column in ("case", "client", "seconds", "ratio", "CPU s", "peak MiB"):
        table.add_column(column, justify="left" if column in {"case", "client"} else "right")
    for column in ("API calls", "before the job", "storage calls"):
        table.add_column(column, justify="right")
    for case, found in results.items():
        for client in CLIENTS:
            row = found[client]
            table.add_row(
                *(case, client, f"{row['seconds']:.2f}"),
                f"{found['ratio']:.2f}" if client == "gcwatch" else "",
                *(f"{row['cpu']:.2f}", f"{row['peak_mib']:.0f}", f"{row['api_calls']:.0f}"),
                *(f"{row['before_job']:.0f}", f"{row['storage_calls']:.0f}"),
            )
        table.add_section()
    Console(width=130).print(table)
    print(json.dumps(results))


def bench(options: argparse.Namespace) -> None:
    """Make what is sent, measure, and tell."""
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        cases = {
            f"{options.mib} MiB file": (Path(folder, "big"), "job"),
            f"{options.slices} slices": (Path(folder, "series"), "job"),
            f"{options.slices} slices, upload alone": (Path(folder, "series"), "upload"),
        }
        if options.only in "big":
            make_big_file(Path(folder, "big", "patient"), options.mib)
        if options.only in "series":
            make_series(Path(folder, "series", "patient"), options.slices)
        with standing(Path(folder, "sandbox")) as stand:
            results = {
                name: compare(stand, inbox, until, options.rounds)
                for name, (inbox, until) in cases.items()
                if options.only in inbox.name
            }
        for items, mib in ((ITEMS, ITEM_MIB), (1, options.mib)):
            if options.only in "archive":
                name = f"archive of {items} times {mib} MiB"
                results[name] = mirrored(Path(folder, "archive"), items, mib, options.rounds)
    show(results)


def mirrored(folder: Path, items: int, mib: int, rounds: int) -> dict[str, Any]:
    """Measure both clients on the way down, from an archive of its own."""
    with standing(folder / "sandbox") as stand:
        stand.fill(folder / "made", items, mib)
        found = compare(stand, folder, "mirror", rounds)
    shutil.rmtree(folder)
    return found


def main() -> None:
    """Read the options; without any, measure everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mib", type=int, default=1024, help="of the big file")
    parser.add_argument("--slices", type=int, default=SLICES, help="of the series")
    parser.add_argument("--dir", type=Path, help="where to work; needs 4 GiB")
    parser.add_argument("--only", default="", help="big, series or archive")
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    parser.add_argument("--until", choices=("job", "upload", "mirror"), help=argparse.SUPPRESS)
    parser.add_argument("--inbox", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--facts", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        be_client(options.client, options.until, options.inbox, options.facts)
    else:
        bench(options)


if __name__ == "__main__":
    main()
