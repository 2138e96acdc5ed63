"""What a soak drops: ten routes, and patients whose every file holds their number.

What became of a patient can so be told from the platform's bytes alone. Folder and file names hold
`SURNAME`, DICOM headers hold `HEADER`: neither may leave the building or stand in a log, and the
second may stand nowhere but in the inbox.
"""

import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SURNAME, HEADER = "Weatherwax", "Quixley"
READY = "READY.txt"
AFTERTHOUGHT = "afterthought.txt"

Files = dict[str, bytes]


# --- files that hold a number --------------------------------------------------------------------


def mha(number, mark=0):
    """A MetaImage of one row of voxels: the number's last three digits, the rest, a mark."""
    head = (
        "ObjectType = Image\nNDims = 3\nDimSize = 4 1 1\nElementSpacing = 1 2 3\n"
        "ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    return head.encode() + struct.pack("<4h", number % 1000, number // 1000, mark, 500)


def number_in_mha(content):
    """The number that a MetaImage holds, as the platform keeps it."""
    head, data = content.split(b"LOCAL\n", 1)
    data = zlib.decompress(data) if b"CompressedData = True" in head else data
    last, rest = struct.unpack("<2h", data[:4])
    return last + 1000 * rest


def scan(number, slices=2):
    """The slices of a DICOM series, with a patient's name in each header."""
    study, series = generate_uid(), generate_uid()
    pixels = struct.pack("<2h", number % 1000, number // 1000) + bytes(28)
    return {
        f"{SURNAME}-{number}-{place}.dcm": _slice(place, pixels, study, series)
        for place in range(1, slices + 1)
    }


def _slice(place, pixels, study, series):
    each = Dataset()
    each.file_meta = FileMetaDataset()
    each.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    each.file_meta.MediaStorageSOPClassUID = each.SOPClassUID = CTImageStorage
    each.file_meta.MediaStorageSOPInstanceUID = each.SOPInstanceUID = generate_uid()
    each.StudyInstanceUID, each.SeriesInstanceUID = study, series
    each.PatientName, each.PatientID = f"{HEADER}^Nanny", f"{HEADER}-1"
    each.PatientBirthDate, each.PatientSex, each.StudyDate = "19310417", "F", "20250304"
    each.Modality, each.InstanceNumber = "CT", place
    each.ImagePositionPatient = [0.0, 0.0, float(place)]
    each.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    each.PixelSpacing, each.SliceThickness = [1.0, 1.0], 1.0
    each.Rows = each.Columns = 4
    each.SamplesPerPixel, each.PhotometricInterpretation = 1, "MONOCHROME2"
    each.BitsAllocated, each.BitsStored, each.HighBit, each.PixelRepresentation = 16, 16, 15, 1
    each.PixelData = pixels
    out = io.BytesIO()
    each.save_as(out, enforce_file_format=True)
    return out.getvalue()


def number_in_dicom(content):
    """The number that a DICOM instance holds."""
    last, rest = struct.unpack("<2h", pydicom.dcmread(io.BytesIO(content)).PixelData[:4])
    return last + 1000 * rest


def info(number):
    """A clinical file."""
    return json.dumps({"case": number}).encode()


# --- routes --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One route of the soak.

    Attributes:
        name: Of the route, and of its folders.
        keys: The route's other keys in the config.
        files: Of a patient's number, what is dropped; the first is there from the beginning, and
            where the folder arrives in pieces the others follow.
        weight: How many of a hundred patients come this way.
        places: In which sockets the number is found again on the platform.
    """

    name: str
    keys: dict[str, object]
    files: Callable[[int], Files]
    weight: int
    places: tuple[str, ...]
    arrives_in_pieces: bool = False
    cases: int = 1

    @property
    def has_marker(self):
        return "ready" in self.keys

    @property
    def takes_files(self):
        return self.keys.get("cases") == "files"

    @property
    def target(self):
        kinds = ("algorithm", "reader_study", "archive")
        return next((kind, self.keys[kind]) for kind in kinds if kind in self.keys)


_QUIET = {"settle": "1s", "poll": "1s"}
_MARKED = {**_QUIET, "ready": READY}
_VALUE = {"json": "limit.json"}
_THREE_SOCKETS = {"ct-image": "*.mha", "clinical-info": "info.json", "threshold": _VALUE}


def _limit(number):
    return json.dumps(number + 0.5).encode()


def _three_sockets(number):
    """What fills `_THREE_SOCKETS`."""
    return {"ct.mha": mha(number), "info.json": info(number), "limit.json": _limit(number)}


def _two_series(number):
    """Two series of one patient: cases of two numbers."""
    both = {**scan(number), **scan(number + 1)}
    return {f"export/{name}": content for name, content in both.items()}


LINES = (
    Line(
        "copy",
        {"algorithm": "copy-image", **_QUIET, "inputs": {"generic-medical-image": "*.mha"}},
        lambda number: {"image.mha": mha(number)},
        weight=16,
        places=("generic-medical-image",),
    ),
    Line(
        "limits",
        {"algorithm": "threshold", **_MARKED, "after": "move"}
        | {"inputs": {"ct-image": "**/*.mha", "threshold": _VALUE}},
        lambda number: {f"{SURNAME}/ct.mha": mha(number), "limit.json": _limit(number)},
        weight=12,
        places=("ct-image", "threshold"),
        arrives_in_pieces=True,
    ),
    Line(
        "files",
        {"algorithm": "segment-lungs", **_QUIET, "cases": "files", "after": "delete"},
        lambda number: {"": mha(number)},
        weight=14,
        places=("ct-image",),
    ),
    Line(
        "series",
        {"algorithm": "two-ways", **_QUIET, "cases": "series"}
        | {"inputs": {"ct-image": "**/*.dcm"}},
        _two_series,
        weight=4,
        places=("ct-image",),
        cases=2,
    ),
    Line(
        "sets",
        {"archive": "second-archive", **_MARKED, "after": "move", "inputs": {"dicom-ct": "**"}},
        scan,
        weight=6,
        places=("dicom-ct",),
        arrives_in_pieces=True,
    ),
    Line(
        "study",
        {"reader_study": "lung-study", **_QUIET} | {"inputs": _THREE_SOCKETS},
        _three_sockets,
        weight=12,
        places=("ct-image", "clinical-info", "threshold"),
        arrives_in_pieces=True,
    ),
    Line(
        "archive",
        {"archive": "ct-archive", **_MARKED, "after": "delete"} | {"inputs": _THREE_SOCKETS},
        _three_sockets,
        weight=12,
        places=("ct-image", "clinical-info", "threshold"),
        arrives_in_pieces=True,
    ),
    Line(
        "pairs",
        {"algorithm": "two-images", **_QUIET, "after": "move"}
        | {"inputs": {"ct-image": "ct.mha", "pet-image": "pet.mha"}},
        lambda number: {"ct.mha": mha(number), "pet.mha": mha(number, mark=7)},
        weight=10,
        places=("ct-image", "pet-image"),
        arrives_in_pieces=True,
    ),
    Line(
        "values",
        {"algorithm": "values-only", **_QUIET, "after": "delete", "inputs": {"threshold": _VALUE}},
        lambda number: {"limit.json": _limit(number)},
        weight=6,
        places=("threshold",),
    ),
    Line(
        "papers",
        {"algorithm": "file-only", **_MARKED, "inputs": {"clinical-info": "info.json"}},
        lambda number: {"info.json": info(number)},
        weight=8,
        places=("clinical-info",),
    ),
)

GUEST = Line(
    "guest",
    {"reader_study": "second-study", **_QUIET, "inputs": {"generic-medical-image": "*.mha"}},
    lambda number: {"image.mha": mha(number)},
    weight=0,
    places=("generic-medical-image",),
)
"""A route that comes and goes."""


# --- patients ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Patient:
    """One folder, or file, that is dropped.

    Attributes:
        line: The route that it goes to.
        number: Of its case; of the first, if there are several.
        pieces: What arrives one after the other; the last one ends it.
        broken: It can't be sent.
        thought: How many seconds later a file is added of which nobody waits; 0 for never.
    """

    line: Line
    number: int
    pieces: tuple[Files, ...]
    broken: bool = False
    thought: float = 0.0

    @property
    def name(self):
        suffix = ".mha" if self.line.takes_files else ""
        return f"{SURNAME}-{self.number:05}{suffix}"

    @property
    def numbers(self):
        return range(self.number, self.number + self.line.cases)


@dataclass
class Ward:
    """Makes patients, one after the other; the same ones for the same chance."""

    chance: random.Random
    _next: int = 1
    lines: tuple[Line, ...] = field(default=LINES)

    def patients(self, count) -> Iterator[Patient]:
        """Patients of all routes with so many cases, or one more."""
        end = self._next + count
        while self._next < end:
            [line] = self.chance.choices(self.lines, [line.weight for line in self.lines])
            yield self.patient(line)

    def patient(self, line):
        number = self._next
        self._next += line.cases
        broken = line.name == "copy" and self.chance.random() < 0.1
        files = {"image.mha": b""} if broken else line.files(number)
        wanders = line.name == "copy" and not broken and self.chance.random() < 0.15
        thought = self.chance.uniform(0.2, 20) if wanders else 0.0
        return Patient(line, number, self._pieces(line, files), broken, thought)

    def _pieces(self, line, files):
        marker = {READY: b""} if line.has_marker else {}
        if not line.arrives_in_pieces or self.chance.random() < 0.6:
            return ({**files, **marker},)
        first, *others = files.items()
        rest = [dict([each]) for each in others]
        return (dict([first]), *rest, *([marker] if marker else []))
