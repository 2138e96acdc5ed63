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
_LUNG_HU = (-950, -400)


class ProgramFailed(Exception):
    """The algorithm ends with an error."""


def run_job(state: PlatformState, job: Job) -> list[Value]:
    """Run a job's algorithm on its inputs.

    Returns:
        A value for each output socket of the job's interface.

    Raises:
        ProgramFailed: The algorithm failed.
    """
    with TemporaryDirectory(dir=state.folder) as work:
        return _PROGRAMS[job.algorithm.program](_Execution(state, job, Path(work)))


class _Execution:
    """One execution: reads inputs, writes outputs."""

    def __init__(self, state: PlatformState, job: Job, work: Path) -> None:
        self.state = state
        self.job = job
        self.work = work
        self.outputs: list[Value] = []

    def first_input(self, super_kind: str) -> Value | None:
        """The first input of a kind; a DICOM Image Set is none that a program reads."""
        found = (each for each in self.job.inputs if each.socket.super_kind == super_kind)
        return next((each for each in found if not (each.image and each.image.instances)), None)

    def load_volume(self, image: Image) -> Volume:
        """An image's voxels; a TIFF is a file whose voxels nobody reads."""
        if image.file is None:
            message = "a DICOM Image Set has no voxels here"
            raise ProgramFailed(message)
        path = image.file.path
        if image.kind == "TIFF":
            size, spacing = image.size, image.spacing
            return Volume(image.name, size, spacing, "MET_UCHAR", path, verbatim=True)
        return metaimage.read_volume(path, self.work)[0]

    def add_output(self, socket: Socket, *, value: Any = None, image: Image | None = None) -> None:
        """Give a value or an image as an output."""
        self.outputs.append(self.state.add_value(socket, value=value, image=image))

    def add_file_output(self, socket: Socket, content: bytes) -> None:
        """Give a file as an output, with these very bytes."""
        record = self.state.add_value(socket)
        name = Path(socket.relative_path).name
        record.file = self.state.add_file(component_file_key(record.pk, name))
        record.file.path.write_bytes(content)
        self.outputs.append(record)

    def add_volume_output(self, socket: Socket, volume: Volume) -> None:
        """Give voxels as an output image."""
        self.add_output(socket, image=add_image(self.state, self.job.creator, volume))


def component_file_key(pk: int, name: str) -> str:
    """Where a value's file lies below /media/ (platform 7.11)."""
    digits = f"{pk:04x}"
    return f"components/componentinterfacevalue/{digits[:2]}/{digits[2:4]}/{pk}/{name}"


def _copy_inputs(execution: _Execution) -> list[Value]:
    """Every output is a copy of the first input of its kind; values tell about the job."""
    for socket in execution.job.interface.outputs:
        source = execution.first_input(socket.super_kind)
        if socket.super_kind == "Image" and source and source.image:
            execution.add_volume_output(
                socket, _name_after(source.image, execution.load_volume(source.image))
            )
        elif socket.super_kind == "File" and source and source.file:
            execution.add_file_output(socket, source.file.path.read_bytes())
        else:
            execution.add_output(socket, value=_summarize_job(execution.job))
    return execution.outputs


def _name_after(source: Image, volume: Volume) -> Volume:
    """An output file is named after its input's identity."""
    return replace(volume, name=f"{source.pk}.{'tif' if volume.verbatim else 'mha'}")


def _summarize_job(job: Job) -> dict[str, Any]:
    values = {each.socket.slug: each.value for each in job.inputs if each.value is not None}
    return {"acc": 0.5, "score": 1, "job": job.pk, "values": values}


def _apply_threshold(execution: _Execution) -> list[Value]:
    """Voxels above the threshold, as a segmentation, a count, and two reports."""
    image, limit = execution.first_input("Image"), execution.first_input("Value")
    if not image or not image.image or image.image.kind != "MHD" or not limit:
        message = "an image with voxels and a threshold are needed"
        raise ProgramFailed(message)
    least = float(limit.value)
    mask, count = _make_mask(execution, image.image, lambda voxel: voxel > least)
    results: dict[str, Callable[[Socket], None]] = {
        "segmentation": lambda socket: execution.add_volume_output(socket, mask),
        "voxel-count": lambda socket: execution.add_output(socket, value=count),
        "report-csv": lambda socket: execution.add_file_output(
            socket, f"voxels\r\n{count}\r\n".encode()
        ),
        "report": lambda socket: execution.add_file_output(
            socket, _format_report(count, limit.value)
        ),
    }
    for socket in execution.job.interface.outputs:
        results[socket.slug](socket)
    return execution.outputs


def _segment_lungs(execution: _Execution) -> list[Value]:
    """Lung: the voxels whose CT number is that of tissue full of air, marked and counted."""
    image = execution.first_input("Image")
    if not image or not image.image or image.image.kind != "MHD":
        message = "an image with voxels is needed"
        raise ProgramFailed(message)
    mask, count = _make_mask(
        execution, image.image, lambda voxel: _LUNG_HU[0] <= voxel <= _LUNG_HU[1]
    )
    for socket in execution.job.interface.outputs:
        if socket.super_kind == "Image":
            execution.add_volume_output(socket, mask)
        else:
            execution.add_output(socket, value=count)
    return execution.outputs


def _make_mask(
    execution: _Execution, image: Image, is_inside: Callable[[float], bool]
) -> tuple[Volume, int]:
    """A volume of ones where a voxel is inside, and how many there are."""
    source, raw, count = execution.load_volume(image), execution.work / "mask.raw", 0
    with raw.open("wb") as out:
        for numbers in metaimage.read_voxels(source):
            inside = array("B", (is_inside(number) for number in numbers))
            out.write(inside.tobytes())
            count += sum(inside)
    return _name_after(image, replace(source, element="MET_UCHAR", raw=raw)), count


def _format_report(count: int, limit: float) -> bytes:
    """JSON in a form that no serialiser gives, so that a re-serialised copy shows."""
    return (
        f'{{"voxels" :   {count},\n\t"threshold":{json.dumps(limit)} ,"unit":"\\u0031"}}\n'.encode()
    )


def _double_value(execution: _Execution) -> list[Value]:
    source = execution.first_input("Value")
    for socket in execution.job.interface.outputs:
        execution.add_output(socket, value=2 * source.value if source else None)
    return execution.outputs


def _fail_always(execution: _Execution) -> list[Value]:
    message = f"{execution.job.algorithm.slug} always fails"
    raise ProgramFailed(message)


_PROGRAMS: dict[str, Callable[[_Execution], list[Value]]] = {
    "copy": _copy_inputs,
    "threshold": _apply_threshold,
    "segment": _segment_lungs,
    "double": _double_value,
    "fail": _fail_always,
}
