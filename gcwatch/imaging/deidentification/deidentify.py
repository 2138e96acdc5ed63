"""De-identifies DICOM files before they are sent: elements, preamble, meta group, pixel data."""

import contextlib
import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from gcwatch.core.errors import CannotSend
from gcwatch.core.reasons import Reason
from gcwatch.core.rules.region import Region
from gcwatch.core.rules.series_rules import ALL_SERIES, SeriesRules
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.codestreams.errors import CantScrub
from gcwatch.imaging.copies import Copy
from gcwatch.imaging.deidentification.burnt_in import BurnedIn, find_burnt_in
from gcwatch.imaging.deidentification.forms import prepare_dataset
from gcwatch.imaging.deidentification.fragments import copy_fragments, require_known_pixels
from gcwatch.imaging.deidentification.header_pass import TOLD, HeaderPass
from gcwatch.imaging.deidentification.patients import PATIENT_ID, new_patient_id
from gcwatch.imaging.deidentification.pixels import (
    LAYOUT_NUMBERS,
    PixelLayout,
    can_blank,
    copy_pixels,
    make_layout,
    native_length,
)
from gcwatch.imaging.deidentification.uids import NewUids
from gcwatch.imaging.dicom.elements import (
    UNDEFINED_LENGTH,
    DamagedDicom,
    PixelData,
    damaged_image_error,
    dicom_errors,
    find_pixel_data,
    import_pydicom,
    raise_if_system_error,
    raw_value,
    read_dataset,
    transfer_syntax,
)
from gcwatch.imaging.dicom.encoded import IMPLICIT_SYNTAX, UnusualHeader
from gcwatch.imaging.dicom.procedure import Procedure, actions_of, platform_procedure


@dataclass(frozen=True)
class DicomRules:
    """What a route says of DICOM images: which are taken, and how they are de-identified.

    Attributes:
        own: A lab's own procedure, for images; its classes come before the local ones.
        burned_in: Whether files are sent whose pixels may show a name.
        blank: Regions of the pixels that are blacked out.
        pseudonym: What PatientID becomes in images, "" for its hash.
        secret_key: The installation's key of that hash and of new UIDs. Without one, PatientID is
            left to the procedure, and UIDs are random.
        case: The case and its round, in which a UID always becomes the same one.
        only: Which series are taken at all.
    """

    own: Procedure | None = None
    burned_in: BurnedIn = "refuse"
    blank: tuple[Region, ...] = ()
    pseudonym: str = ""
    # Of no rule that a case is compared by, and never shown.
    secret_key: bytes = field(default=b"", repr=False, compare=False)
    case: str = field(default="", repr=False, compare=False)
    only: SeriesRules = ALL_SERIES

    def new_patient_id(self, old: bytes, action: str) -> str:
        """Given the original PatientID and the procedure's letter for it, return the new one."""
        return new_patient_id(
            old, pseudonym=self.pseudonym, key=self.secret_key, is_kept=action == "K"
        )


NO_RULES: Final = DicomRules()


@dataclass(frozen=True)
class _Start:
    """The new bytes before the pixels, where the pixels are, and what the old header told."""

    header: bytes
    syntax: str
    pixels: PixelData
    layout: PixelLayout | None
    told: Mapping[int, bytes]


class Deidentifier:
    """De-identifies the files of one image.

    Args:
        procedure: What is kept, replaced and removed of each class. What any procedure but the
            platform's own keeps must also have the form of its VR (`forms`).
        rules: What the route says of DICOM images.

    The same UID always becomes the same one within a case (`uids`), so a second instance gives the
    same bytes. Without a secret key it does not: then use one instance for all files of an image.
    It covers DICOM elements, the file's preamble and its meta group, not names burnt into pixels.
    """

    def __init__(self, procedure: Procedure, rules: DicomRules) -> None:
        import_pydicom()
        from grand_challenge_dicom_de_identifier import deidentifier  # noqa: PLC0415 - as in read_dataset

        self._strict = procedure is not platform_procedure()
        self._rules = rules
        self._library = deidentifier.DicomDeidentifier(procedure)
        self._library.uid_map = NewUids(rules.secret_key, rules.case)
        self._pass = HeaderPass(
            self._library,
            strict=self._strict,
            new_patient_id=rules.new_patient_id if self._strict else None,
        )
        self._rejected = deidentifier.RejectedDICOMFileError

    def prepare_copy(self, stream: BinaryIO, file: SourceFile) -> Copy:
        """Given an image open for reading, return what writes its de-identified copy.

        Pixels are streamed, compressed ones frame by frame; whatever follows them in the file is
        dropped. Raise CannotSend: `not_deidentified` if the procedure does not know this kind of
        file, `damaged_image` if the file is incomplete. What is returned raises it only if a
        compressed frame is damaged.
        """
        try:
            with _told_of(file):
                start = self._encode_start(stream)
        except DamagedDicom as damage:
            raise damaged_image_error(file, str(damage)) from damage
        except self._rejected as error:
            raise _not_deidentified(file, error.justification) from error
        except dicom_errors(OSError) as error:
            raise_if_system_error(error)
            problem = f"its header can't be read ({type(error).__name__})"
            raise _not_deidentified(file, problem) from error

        self._require_no_names(start, file)
        with _told_of(file):
            require_known_pixels(stream, start.syntax, start.pixels, start.layout)

        def write(source: BinaryIO, target: BinaryIO) -> None:
            target.write(start.header)
            if start.pixels.encapsulated:
                with _told_of(file):
                    copy_fragments(source, start.syntax, start.pixels, target, start.layout)
            else:
                copy_pixels(source, start.pixels, target, start.layout, self._rules.blank)

        held = len(start.header)
        if start.pixels.encapsulated:
            return Copy(write, held=held)
        return Copy(write, held + native_length(start.pixels, start.layout), held)

    def _encode_start(self, stream: BinaryIO) -> _Start:
        """Given a file, return the new bytes before the pixels, where these are, and their size."""
        try:
            header = self._pass.deidentify(stream)
        except UnusualHeader:
            stream.seek(0)
            return self._encode_by_library(stream)
        stream.seek(header.pixels_start)
        encoding = (header.syntax == IMPLICIT_SYNTAX.decode(), True)
        pixels = find_pixel_data(stream, encoding)
        head = _pixel_header(pixels, encoding, header.layout)
        return _Start(header.content + head, header.syntax, pixels, header.layout, header.told)

    def _encode_by_library(self, stream: BinaryIO) -> _Start:
        dataset = read_dataset(stream)
        syntax = transfer_syntax(dataset)
        if syntax.is_deflated:
            raise CantScrub("the whole file is compressed (deflated), and not only its pixels")
        if syntax.is_little_endian != dataset.original_encoding[1]:
            raise CantScrub("its numbers have another byte order than its header says")
        pixels = find_pixel_data(stream, dataset.original_encoding)
        told = {tag: raw_value(dataset, keyword) for tag, keyword in TOLD.items()}
        # The library decodes also what it removes, and some of it may be undecodable.
        sop_class = str(dataset.get("SOPClassUID", ""))
        if sop_class in self._library.procedure["sopClass"]:
            actions = actions_of(self._library.procedure, sop_class)
            prepare_dataset(dataset, actions, strict=self._strict)
        # A placeholder, so that the procedure also applies its rule for pixel data.
        dataset.add_new(pixels.tag, "OW", b"")
        self._library.deidentify_dataset(dataset)
        if self._strict:
            action = actions_of(self._library.procedure, sop_class).get(PATIENT_ID, "X")
            if new := self._rules.new_patient_id(told[PATIENT_ID], action):
                dataset.add_new(PATIENT_ID, "LO", new)
        del dataset[pixels.tag]
        encoding = (syntax.is_implicit_VR, syntax.is_little_endian)
        layout = _layout_of(dataset, pixels)
        header = _encode_header(dataset, syntax) + _pixel_header(pixels, encoding, layout)
        return _Start(header, str(syntax), pixels, layout, told)

    def _require_no_names(self, start: _Start, file: SourceFile) -> None:
        """Raise CannotSend if a name may be burnt into the pixels and the route says nothing."""
        if self._rules.burned_in == "refuse" and (problem := find_burnt_in(start.told)):
            raise CannotSend(Reason("burned_in", {"problem": problem}, {"file": file.name}))
        if self._rules.blank and not can_blank(start.pixels, start.layout):
            raise CannotSend(Reason("not_blanked", names={"file": file.name}))


def _layout_of(dataset: Any, pixels: PixelData) -> PixelLayout | None:
    """Return how a dataset says that its pixels are stored, None if it does not say."""
    values = {tag: dataset[tag].value for tag in LAYOUT_NUMBERS if tag in dataset}
    numbers = {tag: int(value) for tag, value in values.items() if isinstance(value, int)}
    photometric = str(dataset.get("PhotometricInterpretation", ""))
    return make_layout(numbers, photometric, pixels.tag[0] << 16 | pixels.tag[1])


def _not_deidentified(file: SourceFile, problem: str) -> CannotSend:
    return CannotSend(Reason("not_deidentified", {"problem": problem}, {"file": file.name}))


@contextlib.contextmanager
def _told_of(file: SourceFile) -> Iterator[None]:
    """Raise CannotSend for a file where the body raises CantScrub."""
    try:
        yield
    except CantScrub as error:
        raise _not_deidentified(file, str(error)) from error


def _encode_header(dataset: Any, syntax: Any) -> bytes:
    """Given a dataset without pixels, return its bytes with a new preamble and meta group."""
    # The old ones may name the scanner, the hospital, or the original instance.
    from pydicom.dataset import FileMetaDataset  # noqa: PLC0415 - as in read_dataset

    dataset.preamble = None
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _pixel_header(
    pixels: PixelData, encoding: tuple[bool, bool], layout: PixelLayout | None
) -> bytes:
    is_implicit, is_little_endian = encoding
    order = "<" if is_little_endian else ">"
    length = UNDEFINED_LENGTH if pixels.encapsulated else native_length(pixels, layout)
    if is_implicit:
        return struct.pack(f"{order}HHL", *pixels.tag, length)
    return struct.pack(f"{order}HH2sHL", *pixels.tag, pixels.vr, 0, length)
