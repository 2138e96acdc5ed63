"""NRRD: of the header only fields of the geometry go out; comments and further keys do not."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from gcwatch.imaging.checks.streams import count_bytes
from gcwatch.imaging.checks.text_header import (
    MAX_LINE_BYTES,
    MAX_LINES,
    nrrd_fields,
    read_nrrd_header,
)
from gcwatch.imaging.checks.voxel_sizes import count_nrrd_bytes
from gcwatch.imaging.codestreams.errors import CantScrub
from gcwatch.imaging.scrub.fields import IMAGE_FACTS
from gcwatch.imaging.scrub.streaming import (
    Write,
    compress,
    copy_exactly,
    copy_numbers,
    decompress,
    seek_within,
    skip_pieces,
)

_NUMBERS = re.compile(r"(?i:[-+\d.e,()\s]|nan|inf|none)+")
_TYPE = re.compile(
    r"(?i:signed|unsigned|char|short|int|long|float|double|u?int\d+(_t)?|u\w{3,8}| )+"
)
_KINDS = re.compile(
    r"(?i:(domain|space|time|list|point|vector|covariant-vector|normal|stub|scalar|complex"
    r"|quaternion|none|\?\?\?|[rh]gba?-color|hsv-color|xyz-color"
    r"|\d(d|-)[a-z-]*(color|vector|gradient|normal|matrix))(\s+|\Z))+"
)
_SPACE = re.compile(
    r"(?i:(left|right|anterior|posterior|inferior|superior|scanner-xyz|3d-(left|right)-handed"
    r"|time|[RL][AP][SI]T?)(-|\Z))+"
)
_WORDS = re.compile(r"(?i:(cell|node|none|\?\?\?)(\s+|\Z))+")

_FIELDS: Mapping[str, re.Pattern[str]] = {
    "type": _TYPE,
    "encoding": re.compile(r"(?i:raw|gzip|gz|ascii|text|txt|hex)"),
    "endian": re.compile(r"(?i:little|big)"),
    "space": _SPACE,
    "kinds": _KINDS,
    **dict.fromkeys(("centers", "centerings"), _WORDS),
    **dict.fromkeys(("dimension", "space dimension", "sizes", "spacings"), _NUMBERS),
    **dict.fromkeys(("thicknesses", "axis mins", "axis maxs", "axismins", "axismaxs"), _NUMBERS),
    **dict.fromkeys(("space directions", "space origin", "measurement frame"), _NUMBERS),
    **dict.fromkeys(("min", "max", "old min", "old max", "oldmin", "oldmax"), _NUMBERS),
}
"""Fields that are kept, and how their values must look."""


@dataclass(frozen=True)
class Nrrd:
    """An NRRD: its header, how its voxels are written, and where they are.

    The voxels begin `skipped` bytes behind `begin` (in gzip: of what is packed), or end with the
    file if that is -1; they have `expected` bytes.
    """

    header: bytes
    encoding: str
    begin: int
    skipped: int
    expected: int

    @property
    def is_packed(self) -> bool:
        """Whether its voxels are in gzip."""
        return self.encoding in {"gzip", "gz"}

    def start(self, stream: BinaryIO) -> int:
        """Return where the voxels begin that are not in gzip."""
        if self.encoding != "raw":
            return self.begin
        is_last = self.skipped == -1
        return count_bytes(stream) - self.expected if is_last else self.begin + self.skipped


def read_nrrd(stream: BinaryIO) -> Nrrd:
    """Given an NRRD with its voxels in the same file, return where they are; raise CantScrub."""
    header = read_nrrd_header(stream)
    fields = nrrd_fields(header)
    encoding, expected = fields.get("encoding", ""), count_nrrd_bytes(fields)
    skipped, lines = fields.get("byte skip", "0"), fields.get("line skip", "0")
    if expected is None or not (lines.isdecimal() and re.fullmatch(r"\d+|-1", skipped)):
        raise CantScrub("its header does not tell plainly where its voxels are")
    stream.seek(len(header))
    for _ in range(min(int(lines), MAX_LINES)):
        stream.readline(MAX_LINE_BYTES)
    return Nrrd(header, encoding, stream.tell(), int(skipped), expected)


def scrub_nrrd(stream: BinaryIO) -> Write:
    """Given an NRRD with its voxels in the same file, return what writes its clean copy."""
    nrrd = read_nrrd(stream)
    new = _clean_header(nrrd.header)

    def write(target: BinaryIO) -> None:
        if nrrd.is_packed:
            if nrrd.skipped == -1:
                raise CantScrub("its header does not tell plainly where its voxels are")
            stream.seek(nrrd.begin)
            target.write(new)
            pieces = skip_pieces(decompress(stream), nrrd.skipped)
            compress(b"", pieces, nrrd.expected, target)
            return
        target.write(new)
        seek_within(stream, nrrd.start(stream))
        if nrrd.encoding == "raw":
            copy_exactly(stream, target, nrrd.expected)
        else:
            copy_numbers(stream, target)

    return write


def _clean_header(old: bytes) -> bytes:
    first, *lines = old.decode("latin-1").splitlines()
    if not re.fullmatch(r"NRRD\d{4}", first.strip()):
        raise CantScrub("its first line is unusual")
    kept = [first.strip(), *(line for line in map(_clean_line, lines) if line), "", ""]
    return "\n".join(kept).encode()


def _clean_line(line: str) -> str:
    """Return a line of the header, "" if it does not go out."""
    if line.startswith("#"):
        return ""
    key, separator, value = line.partition(":=")
    if separator:
        fact = IMAGE_FACTS.get(key)
        return f"{key}:={value}" if fact and fact.fullmatch(value) else ""
    key, _, value = line.partition(":")
    rule, value = _FIELDS.get(key.strip().lower()), value.strip()
    if rule is None:
        return ""
    if not rule.fullmatch(value):
        raise CantScrub(f"the value of its field {key.strip().lower()} is unusual")
    return f"{key.strip()}: {value}"
