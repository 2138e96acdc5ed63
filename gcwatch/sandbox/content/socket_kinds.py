"""The kinds of sockets, with their codes, super-kinds and file suffixes."""

from dataclasses import dataclass
from typing import Literal

SuperKind = Literal["Image", "Value", "File"]

DICOM_SET = "DICOM Image Set"
DISPLACEMENT = "Displacement field"


@dataclass(frozen=True)
class SocketKind:
    """A kind of socket (platform 3.3).

    Attributes:
        name: Display string.
        code: Its abbreviation in error messages.
        super_kind: Super-kind of a new socket of this kind.
        suffix: Suffix of its file; "" for images, which get a folder.
    """

    name: str
    code: str
    super_kind: SuperKind
    suffix: str = ""

    @property
    def holds_json(self) -> bool:
        """Whether its content is JSON."""
        return self.suffix == ".json"


def _make_kinds(super_kind: SuperKind, suffix: str, **codes: str) -> list[SocketKind]:
    return [SocketKind(name, code.strip("_"), super_kind, suffix) for code, name in codes.items()]


_KINDS = [
    *_make_kinds(
        "Image",
        "",
        IMG="Image",
        SEG="Segmentation",
        HMAP="Heat Map",
        DSPF=DISPLACEMENT,
        DCMIS=DICOM_SET,
    ),
    *_make_kinds(
        "Value",
        ".json",
        STR="String",
        INT="Integer",
        FLT="Float",
        BOOL="Bool",
        JSON="Anything",
        CHART="Chart",
        _2DBB="2D bounding box",
        DIST="Distance measurement",
        POIN="Point",
        POLY="Polygon",
        LINE="Line",
        ANGL="Angle",
        ELLI="Ellipse",
        _3ANG="Three-point angle",
        ATRG="Affine transform registration",
        CHOI="Choice",
        MCHO="Multiple choice",
    ),
    *_make_kinds(
        "File",
        ".json",
        M2DB="Multiple 2D bounding boxes",
        MDIS="Multiple distance measurements",
        MPOI="Multiple points",
        MPOL="Multiple polygons",
        MLIN="Multiple lines",
        MANG="Multiple angles",
        MELL="Multiple ellipses",
        M3AN="Multiple three-point angles",
    ),
    SocketKind("PDF file", "PDF", "File", ".pdf"),
    SocketKind("SQREG file", "SQREG", "File", ".sqreg"),
    SocketKind("Thumbnail jpg", "JPEG", "File", ".jpeg"),
    SocketKind("Thumbnail png", "PNG", "File", ".png"),
    SocketKind("OBJ file", "OBJ", "File", ".obj"),
    SocketKind("MP4 file", "MP4", "File", ".mp4"),
    SocketKind("Newick tree-format file", "NEWCK", "File", ".newick"),
    SocketKind("BIOM format", "BIOM", "File", ".biom"),
    SocketKind("CSV file", "CSV", "File", ".csv"),
    SocketKind("ZIP file", "ZIP", "File", ".zip"),
]

KINDS = {kind.name: kind for kind in _KINDS}
