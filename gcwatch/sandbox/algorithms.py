"""What the sandbox's algorithms do with their inputs, for real."""

import json
from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gcwatch.sandbox import metaimage
from gcwatch.sandbox.content.catalogue import Socket
from gcwatch.sandbox.importer.importer import add_image
from gcwatch.sandbox.metaimage import Volume
from gcwatch.sandbox.model import Image, Job, PlatformState, Value

# CT numbers of the lung, in Hounsfield units.
_LUNG = (-950, -400)


class ProgramFailed(Exception):
    """The algorithm ends with an error."""


def run(world: PlatformState, job: Job) -> list[Value]:
    """Run a job's algorithm on its inputs.

    Returns:
        A value for each output socket of the job's interface.

    Raises:
        ProgramFailed: The algorithm failed.
    """
    with TemporaryDirectory(dir=world.folder) as work:
        return _PROGRAMS[job.algorithm.program](_Run(world, job, Path(work)))


class _Run:
    """One execution: reads inputs, writes outputs."""

    def __init__(self, world: PlatformState, job: Job, work: Path) -> None:
        self.world = world
        self.job = job
        self.work = work
        self.outputs: list[Value] = []

    def input(self, super_kind: str) -> Value | None:
        """The first input of a kind; a DICOM Image Set is none that a program reads."""
        found = (each for each in self.job.inputs if each.socket.super_kind == super_kind)
        return next((each for each in found if not (each.image and each.image.instances)), None)

    def volume(self, image: Image) -> Volume:
        """An image's voxels; a TIFF is a file whose voxels nobody reads."""
        if image.stored is None:
            message = "a DICOM Image Set has no voxels here"
            raise ProgramFailed(message)
        path = image.stored.path
        if image.kind == "TIFF":
            size, spacing = image.size, image.spacing
            return Volume(image.name, size, spacing, "MET_UCHAR", path, verbatim=True)
        return metaimage.read(path, self.work)[0]

    def answer(self, socket: Socket, *, value: Any = None, image: Image | None = None) -> None:
        """Give a value or an image as an output."""
        self.outputs.append(self.world.add_value(socket, value=value, image=image))

    def answer_file(self, socket: Socket, content: bytes) -> None:
        """Give a file as an output, with these very bytes."""
        record = self.world.add_value(socket)
        name = Path(socket.relative_path).name
        record.file = self.world.store(file_key(record.pk, name))
        record.file.path.write_bytes(content)
        self.outputs.append(record)

    def answer_volume(self, socket: Socket, volume: Volume) -> None:
        """Give voxels as an output image."""
        self.answer(socket, image=add_image(self.world, self.job.creator, volume))


def file_key(pk: int, name: str) -> str:
    """Where a value's file lies below /media/ (platform 7.11)."""
    digits = f"{pk:04x}"
    return f"components/componentinterfacevalue/{digits[:2]}/{digits[2:4]}/{pk}/{name}"


def _copy(run: _Run) -> list[Value]:
    """Every output is a copy of the first input of its kind; values tell about the job."""
    for socket in run.job.interface.outputs:
        source = run.input(socket.super_kind)
        if socket.super_kind == "Image" and source and source.image:
            run.answer_volume(socket, _named_after(source.image, run.volume(source.image)))
        elif socket.super_kind == "File" and source and source.file:
            run.answer_file(socket, source.file.path.read_bytes())
        else:
            run.answer(socket, value=_account(run.job))
    return run.outputs


def _named_after(source: Image, volume: Volume) -> Volume:
    """An output file is named after its input's identity."""
    return replace(volume, name=f"{source.pk}.{'tif' if volume.verbatim else 'mha'}")


def _account(job: Job) -> dict[str, Any]:
    values = {each.socket.slug: each.value for each in job.inputs if each.value is not None}
    return {"acc": 0.5, "score": 1, "job": job.pk, "values": values}


def _threshold(run: _Run) -> list[Value]:
    """Voxels above the threshold, as a segmentation, a count, and two reports."""
    image, limit = run.input("Image"), run.input("Value")
    if not image or not image.image or image.image.kind != "MHD" or not limit:
        message = "an image with voxels and a threshold are needed"
        raise ProgramFailed(message)
    least = float(limit.value)
    mask, count = _mask(run, image.image, lambda voxel: voxel > least)
    results: dict[str, Callable[[Socket], None]] = {
        "segmentation": lambda socket: run.answer_volume(socket, mask),
        "voxel-count": lambda socket: run.answer(socket, value=count),
        "report-csv": lambda socket: run.answer_file(socket, f"voxels\r\n{count}\r\n".encode()),
        "report": lambda socket: run.answer_file(socket, _report(count, limit.value)),
    }
    for socket in run.job.interface.outputs:
        results[socket.slug](socket)
    return run.outputs


def _segment(run: _Run) -> list[Value]:
    """Lung: the voxels whose CT number is that of tissue full of air, marked and counted."""
    image = run.input("Image")
    if not image or not image.image or image.image.kind != "MHD":
        message = "an image with voxels is needed"
        raise ProgramFailed(message)
    mask, count = _mask(run, image.image, lambda voxel: _LUNG[0] <= voxel <= _LUNG[1])
    for socket in run.job.interface.outputs:
        if socket.super_kind == "Image":
            run.answer_volume(socket, mask)
        else:
            run.answer(socket, value=count)
    return run.outputs


def _mask(run: _Run, image: Image, is_inside: Callable[[float], bool]) -> tuple[Volume, int]:
    """A volume of ones where a voxel is inside, and how many there are."""
    source, raw, count = run.volume(image), run.work / "mask.raw", 0
    with raw.open("wb") as out:
        for numbers in metaimage.voxels(source):
            inside = array("B", (is_inside(number) for number in numbers))
            out.write(inside.tobytes())
            count += sum(inside)
    return _named_after(image, replace(source, element="MET_UCHAR", raw=raw)), count


def _report(count: int, limit: float) -> bytes:
    """JSON in a form that no serialiser gives, so that a re-serialised copy shows."""
    return (
        f'{{"voxels" :   {count},\n\t"threshold":{json.dumps(limit)} ,"unit":"\\u0031"}}\n'.encode()
    )


def _double(run: _Run) -> list[Value]:
    source = run.input("Value")
    for socket in run.job.interface.outputs:
        run.answer(socket, value=2 * source.value if source else None)
    return run.outputs


def _fail(run: _Run) -> list[Value]:
    message = f"{run.job.algorithm.slug} always fails"
    raise ProgramFailed(message)


_PROGRAMS: dict[str, Callable[[_Run], list[Value]]] = {
    "copy": _copy,
    "threshold": _threshold,
    "segment": _segment,
    "double": _double,
    "fail": _fail,
}
