"""The sandbox's algorithms: small programs that compute outputs from a job's inputs."""

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

# Least and greatest CT number of the lung, in Hounsfield units.
_LUNG_HU = (-950, -400)


class ProgramFailed(Exception):
    """The algorithm stopped with an error; its job becomes Failed."""


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
    """One execution of an algorithm: it reads inputs and collects outputs."""

    def __init__(self, state: PlatformState, job: Job, work: Path) -> None:
        self.state = state
        self.job = job
        self.work = work
        self.outputs: list[Value] = []

    def first_input(self, super_kind: str) -> Value | None:
        """Return the first input of a super-kind; DICOM Image Sets do not count."""
        found = (each for each in self.job.inputs if each.socket.super_kind == super_kind)
        return next((each for each in found if not (each.image and each.image.instances)), None)

    def load_volume(self, image: Image) -> Volume:
        """Read an image's voxels; a TIFF is copied as a file, its voxels are not read."""
        if image.file is None:
            message = "a DICOM Image Set has no voxels here"
            raise ProgramFailed(message)
        path = image.file.path
        if image.kind == "TIFF":
            size, spacing = image.size[:2], image.spacing
            return Volume(image.name, size, spacing, "MET_UCHAR", path, verbatim=True)
        return metaimage.read_volume(path, self.work)[0]

    def add_output(self, socket: Socket, *, value: Any = None, image: Image | None = None) -> None:
        """Add a value or an image to the outputs."""
        self.outputs.append(self.state.add_value(socket, value=value, image=image))

    def add_file_output(self, socket: Socket, content: bytes) -> None:
        """Add a file with these bytes to the outputs."""
        record = self.state.add_value(socket)
        name = Path(socket.relative_path).name
        record.file = self.state.add_file(component_file_key(record.pk, name))
        record.file.path.write_bytes(content)
        self.outputs.append(record)

    def add_volume_output(self, socket: Socket, volume: Volume) -> None:
        """Add a volume to the outputs, as a new image."""
        self.add_output(socket, image=add_image(self.state, self.job.creator, volume))


def component_file_key(pk: int, name: str) -> str:
    """Return the path of a value's file below /media/ (platform 7.11)."""
    digits = f"{pk:04x}"
    return f"components/componentinterfacevalue/{digits[:2]}/{digits[2:4]}/{pk}/{name}"


def _copy_inputs(execution: _Execution) -> list[Value]:
    """Make each output a copy of the first input of its kind; JSON outputs describe the job."""
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
    """Name a volume after the pk of its input image."""
    return replace(volume, name=f"{source.pk}.{'tif' if volume.verbatim else 'mha'}")


def _summarize_job(job: Job) -> dict[str, Any]:
    values = {each.socket.slug: each.value for each in job.inputs if each.value is not None}
    return {"acc": 0.5, "score": 1, "job": job.pk, "values": values}


def _apply_threshold(execution: _Execution) -> list[Value]:
    """Segment the voxels above the threshold; output a mask, a count and two reports."""
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
    """Segment the lungs by their CT numbers; output a mask and a count."""
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
    """Make a volume of 1 where a voxel is inside, else 0; return it with the number of ones."""
    source, raw, count = execution.load_volume(image), execution.work / "mask.raw", 0
    with raw.open("wb") as out:
        for numbers in metaimage.read_voxels(source):
            inside = array("B", (is_inside(number) for number in numbers))
            out.write(inside.tobytes())
            count += sum(inside)
    return _name_after(image, replace(source, element="MET_UCHAR", raw=raw)), count


def _format_report(count: int, limit: float) -> bytes:
    """Write JSON with unusual white space, so that a test notices a copy that was re-serialised."""
    return (
        f'{{"voxels" :   {count},\n\t"threshold":{json.dumps(limit)} ,"unit":"\\u0031"}}\n'.encode()
    )


def _double_value(execution: _Execution) -> list[Value]:
    source = execution.first_input("Value")
    for socket in execution.job.interface.outputs:
        execution.add_output(socket, value=2 * source.value if source else None)
    return execution.outputs


_LETTER = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Count 0/Kids[]>>"
    b"endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)
"""A PDF without a page."""


def _write_letter(execution: _Execution) -> list[Value]:
    for socket in execution.job.interface.outputs:
        execution.add_file_output(socket, _LETTER)
    return execution.outputs


def _measure(execution: _Execution) -> list[Value]:
    """Write a table, and describe the job; a negative number is an error."""
    given = execution.first_input("Value")
    if given and given.value < 0:
        message = "the number is negative"
        raise ProgramFailed(message)
    for socket in execution.job.interface.outputs:
        if socket.super_kind == "File":
            execution.add_file_output(socket, b"structure,volume\nlung,4.2\n")
        else:
            execution.add_output(socket, value=_summarize_job(execution.job))
    return execution.outputs


def _fail_always(execution: _Execution) -> list[Value]:
    message = f"{execution.job.algorithm.slug} always fails"
    raise ProgramFailed(message)


_PROGRAMS: dict[str, Callable[[_Execution], list[Value]]] = {
    "copy": _copy_inputs,
    "threshold": _apply_threshold,
    "segment": _segment_lungs,
    "double": _double_value,
    "letter": _write_letter,
    "measure": _measure,
    "fail": _fail_always,
}
