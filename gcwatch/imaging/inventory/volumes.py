"""What NIfTI, NRRD and MetaImage hold: fields of the header, voxels, and bytes beside them."""

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from gcwatch.core.text import printable_name
from gcwatch.imaging.checks.streams import count_bytes
from gcwatch.imaging.checks.text_header import read_meta_header
from gcwatch.imaging.checks.voxel_sizes import read_nifti
from gcwatch.imaging.codestreams.errors import CantScrub
from gcwatch.imaging.inventory.parts import Part, data_part, read_pieces, rest_part, text_part
from gcwatch.imaging.scrub.meta_image import read_clean
from gcwatch.imaging.scrub.nrrd import read_nrrd
from gcwatch.imaging.scrub.streaming import decompress, skip_pieces

_NIFTI_BYTES: Final = 348
_NIFTI_TEXTS: Final = {
    "data_type": (4, 14),
    "db_name": (14, 32),
    "extents and session_error": (32, 38),
    "glmax and glmin": (140, 148),
    "descrip": (148, 228),
    "aux_file": (228, 252),
    "intent_name": (328, 344),
}
_NIFTI_OFFSET: Final = (108, 112)
_GZIP_NAMES: Final = ((4, "gzip extra field"), (8, "gzip name"), (16, "gzip comment"))
_META_KEYS: Final = re.compile(
    "Comment|Name|ID|ParentID|Modality|Color|AcquisitionDate|ContentTimes|Laterality|SequenceID"
    "|ObjectType|ObjectSubType|TransformType|NDims|DimSize|HeaderSize|Element[A-Z][A-Za-z]{3,30}"
    "|BinaryData(?:ByteOrderMSB)?|CompressedData(?:Size)?|TransformMatrix|Rotation|Orientation"
    "|Offset|Position|Origin|CenterOfRotation|AnatomicalOrientation|DistanceUnits|PatientName"
    "|PatientID|PatientBirthDate|PatientSex|StudyDate|StudyID|SliceThickness|Exposures"
    "|WindowCenter|WindowWidth|SmallestImagePixelValue|LargestImagePixelValue|t0|t1"
)
_NRRD_KEYS: Final = re.compile(
    "type|encoding|endian|space|kinds|centers|centerings|dimension|sizes|spacings|thicknesses"
    "|min|max|content|units|labels|number|(?:old|axis) ?(?:min|max)s?|(?:sample|space) ?units"
    "|space (?:dimension|directions|origin)|measurement ?frame|(?:byte|line) ?skip|data ?file"
    "|block ?size"
)
_DICOM_KEY: Final = re.compile(r"(?:DICOM_)?[0-9A-Fa-f]{4}[|_][0-9A-Fa-f]{4}")


def nifti_parts(stream: BinaryIO) -> Iterator[Part]:
    """Yield the parts of a NIfTI; raise CantScrub if it is damaged."""
    packed = stream.read(2) == b"\x1f\x8b"
    if packed:
        yield from _gzip_parts(stream)
    header = b"".join(_nifti_pieces(stream, 0, _NIFTI_BYTES, packed=packed))
    nifti = read_nifti(header)
    if isinstance(nifti, str):
        raise CantScrub(nifti)
    texts = [*_NIFTI_TEXTS.items(), ("vox_offset", _NIFTI_OFFSET)]
    numbers = bytearray(header)
    for name, (begin, end) in texts:
        numbers[begin:end] = bytes(end - begin)
        is_text = header[begin:end].strip(b"\0") and name != "vox_offset"
        if is_text:
            yield text_part(f"NIfTI {name}", header[begin:end])
    numbers[38:39] = b""  # Analyze wants an r there
    yield data_part("NIfTI numbers of the header", [bytes(numbers)])
    between = b"".join(
        _nifti_pieces(stream, _NIFTI_BYTES, nifti.offset - _NIFTI_BYTES, packed=packed)
    )
    if between.strip(b"\0"):
        yield data_part("NIfTI extensions", [between])
    voxels = _nifti_pieces(stream, nifti.offset, nifti.expected, packed=packed)
    yield data_part("NIfTI voxels", voxels)
    end = nifti.offset + nifti.expected
    rest = sum(map(len, _nifti_pieces(stream, end, count_bytes(stream) << 12, packed=packed)))
    yield from rest_part("bytes behind the NIfTI", rest)


def _nifti_pieces(stream: BinaryIO, begin: int, count: int, *, packed: bool) -> Iterator[bytes]:
    if not packed:
        yield from read_pieces(stream, begin, count)
        return
    stream.seek(0)
    yield from _first(skip_pieces(decompress(stream), begin), count)


def _first(pieces: Iterator[bytes], count: int) -> Iterator[bytes]:
    for piece in pieces:
        yield piece[:count]
        count -= len(piece)
        if count <= 0:
            return


def _gzip_parts(stream: BinaryIO, begin: int = 0) -> Iterator[Part]:
    """Yield what a gzip header tells beside the packed content (RFC 1952)."""
    stream.seek(begin)
    head = stream.read(10)
    if any(head[4:8]):
        yield Part("gzip time", head[4:8], "a time")
    for flag, name in _GZIP_NAMES:
        if head[3] & flag:
            if flag == 4:
                data = stream.read(int.from_bytes(stream.read(2), "little"))
            else:
                data = b"".join(iter(lambda: stream.read(1).strip(b"\0"), b""))
            yield text_part(name, data)


def nrrd_parts(stream: BinaryIO) -> Iterator[Part]:
    """Yield the parts of an NRRD; raise CantScrub if it is damaged."""
    nrrd = read_nrrd(stream)
    for line in nrrd.header.decode("latin-1").splitlines()[1:]:
        if line.startswith("#"):
            yield Part("NRRD comment", line.encode(), printable_name(line[1:]))
        elif line.strip():
            key, _, value = line.partition(":=" if ":=" in line else ":")
            yield _field("NRRD", key, value, _NRRD_KEYS)
    if nrrd.is_packed:
        yield from _gzip_parts(stream, nrrd.begin)
        stream.seek(nrrd.begin)
        pieces = skip_pieces(decompress(stream), max(0, nrrd.skipped))
        yield from _voxels_and_rest("NRRD", pieces, nrrd.expected)
        return
    begin, size = nrrd.start(stream), count_bytes(stream)
    is_raw = nrrd.encoding == "raw"
    yield data_part("NRRD voxels", read_pieces(stream, begin, nrrd.expected if is_raw else size))
    yield from rest_part("bytes between header and voxels", begin - len(nrrd.header))
    if is_raw:
        yield from rest_part("bytes behind the voxels", size - begin - nrrd.expected)


def _voxels_and_rest(name: str, pieces: Iterator[bytes], count: int) -> Iterator[Part]:
    rest = 0

    def voxels() -> Iterator[bytes]:
        nonlocal count, rest
        for piece in pieces:
            yield piece[:count]
            rest += max(0, len(piece) - count)
            count = max(0, count - len(piece))

    yield data_part(f"{name} voxels", voxels())
    yield from rest_part("bytes behind the voxels", rest)


def _field(form: str, key: str, value: str, known: re.Pattern[str]) -> Part:
    key, value = key.strip(), value.strip()
    if known.fullmatch(key) or known.fullmatch(key.lower()) or _DICOM_KEY.fullmatch(key):
        return Part(f"{form} {key}", value.encode(), printable_name(value))
    # Whoever writes a field of his own may name it after the patient.
    return Part(f"{form} other field", f"{key}={value}".encode(), printable_name(f"{key}: {value}"))


def meta_image_parts(stream: BinaryIO) -> Iterator[Part]:
    """Yield the parts of a MetaImage, or of its header alone."""
    header = read_meta_header(stream)
    data_file = ""
    for line in header.decode("latin-1").splitlines():
        key, _, value = line.partition("=")
        yield _field("MetaImage", key, value, _META_KEYS)
        data_file = value.strip()
    if data_file != "LOCAL":
        yield from rest_part("bytes behind the header", count_bytes(stream) - len(header))
        return
    image = read_clean(stream, stream, "LOCAL")
    size = count_bytes(stream)
    count = size - image.begin if image.is_text else image.count
    yield data_part("MetaImage voxels", read_pieces(stream, image.begin, count))
    yield from rest_part("bytes between header and voxels", image.begin - len(header))
    yield from rest_part("bytes behind the voxels", size - image.begin - count)
