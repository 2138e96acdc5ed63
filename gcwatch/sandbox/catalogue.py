"""What the sandbox offers before anybody uses it: sockets and algorithms."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal
from uuid import NAMESPACE_URL, uuid5

SuperKind = Literal["Image", "Value", "File"]

_CODES = {
    "String": "STR",
    "Integer": "INT",
    "Float": "FLT",
    "Bool": "BOOL",
    "Anything": "JSON",
    "Image": "IMG",
    "Segmentation": "SEG",
    "CSV file": "CSV",
    "PDF file": "PDF",
}


@dataclass(frozen=True)
class Socket:
    """A typed place for one input or output (contract 3).

    Attributes:
        pk: The platform's number of it.
        title: Shown to people.
        slug: Named in requests.
        kind: Display string of the kind, for example "Image" or "Anything".
        super_kind: How its values travel.
        relative_path: Where an algorithm finds or leaves it.
    """

    pk: int
    title: str
    slug: str
    kind: str
    super_kind: SuperKind
    relative_path: str

    @property
    def code(self) -> str:
        """The kind as error messages abbreviate it (contract 3)."""
        return _CODES.get(self.kind, self.kind)

    @property
    def holds_json(self) -> bool:
        """Whether its content is JSON, inline or in a file (contract 3)."""
        return self.super_kind == "Value" or self.relative_path.endswith(".json")

    @property
    def order(self) -> tuple[int, str]:
        """Sort key of values in an answer: JSON first, images last (contract 7)."""
        group = 0 if self.holds_json else 2 if self.super_kind == "Image" else 1
        return group, self.slug


@dataclass(frozen=True)
class Interface:
    """One combination of sockets that an algorithm takes and gives (contract 2)."""

    inputs: tuple[Socket, ...]
    outputs: tuple[Socket, ...]


@dataclass(frozen=True)
class Algorithm:
    """An algorithm and who may do what with it (contract 2, 7).

    Attributes:
        slug: Named in look-ups.
        interfaces: The combinations it supports.
        program: Name of what it does, in `gcwatch.sandbox.programs`.
        ready: Whether its image can run.
        funded: Whether there are credits for it.
        viewers: Usernames that see it.
        executors: Usernames that may run it.
    """

    slug: str
    interfaces: tuple[Interface, ...]
    program: str = "copy"
    ready: bool = True
    funded: bool = True
    viewers: frozenset[str] = frozenset({"alice"})
    executors: frozenset[str] = frozenset({"alice"})

    @property
    def title(self) -> str:
        """The slug in words."""
        return self.slug.replace("-", " ").capitalize()

    @cached_property
    def pk(self) -> str:
        """Stable identity, a UUID."""
        return str(uuid5(NAMESPACE_URL, f"algorithm/{self.slug}"))

    @cached_property
    def image_pk(self) -> str:
        """Identity of its container image, a UUID."""
        return str(uuid5(NAMESPACE_URL, f"algorithm-image/{self.slug}"))


@dataclass(frozen=True)
class Catalogue:
    """All sockets and algorithms of a sandbox."""

    sockets: tuple[Socket, ...]
    algorithms: tuple[Algorithm, ...]

    def socket(self, slug: str) -> Socket | None:
        """The socket with this slug."""
        return next((socket for socket in self.sockets if socket.slug == slug), None)


_IMAGE = Socket(1, "Generic Medical Image", "generic-medical-image", "Image", "Image", "")
_OVERLAY = Socket(
    2, "Generic Overlay", "generic-overlay", "Heat Map", "Image", "images/generic-overlay"
)
_RESULTS = Socket(3, "Results JSON File", "results-json-file", "Anything", "Value", "results.json")
_CT = Socket(8, "CT Image", "ct-image", "Image", "Image", "images/ct-image")
_PET = Socket(9, "PET Image", "pet-image", "Image", "Image", "images/pet-image")
_THRESHOLD = Socket(10, "Threshold", "threshold", "Float", "Value", "threshold.json")
_CLINICAL = Socket(12, "Clinical info", "clinical-info", "Anything", "File", "clinical-info.json")
_SEGMENTATION = Socket(
    13, "Segmentation", "segmentation", "Segmentation", "Image", "images/segmentation"
)
_COUNT = Socket(14, "Voxel count", "voxel-count", "Integer", "Value", "voxel-count.json")
_CSV = Socket(15, "Report CSV", "report-csv", "CSV file", "File", "report.csv")
_REPORT = Socket(16, "Report", "report", "Anything", "File", "report.json")
_CLINICAL_COPY = Socket(
    17, "Clinical info copy", "clinical-info-copy", "Anything", "File", "clinical-info-copy.json"
)
_SCORE = Socket(18, "Score", "score", "Float", "Value", "score.json")
_PDF = Socket(19, "Letter", "letter", "PDF file", "File", "letter.pdf")

_COPY = Interface((_IMAGE,), (_RESULTS, _IMAGE))
_ONE_CT = Interface((_CT,), (_RESULTS,))

STANDARD = Catalogue(
    sockets=(
        _IMAGE,
        _OVERLAY,
        _RESULTS,
        _CT,
        _PET,
        _THRESHOLD,
        _CLINICAL,
        _SEGMENTATION,
        _COUNT,
        _CSV,
        _REPORT,
        _CLINICAL_COPY,
        _SCORE,
        _PDF,
    ),
    algorithms=(
        Algorithm("copy-image", (_COPY,)),
        Algorithm(
            "threshold",
            (Interface((_CT, _THRESHOLD), (_COUNT, _CSV, _REPORT, _SEGMENTATION)),),
            program="threshold",
        ),
        Algorithm("two-ways", (_ONE_CT, Interface((_CT, _THRESHOLD), (_RESULTS,)))),
        Algorithm("file-only", (Interface((_CLINICAL,), (_CLINICAL_COPY,)),)),
        Algorithm("values-only", (Interface((_THRESHOLD,), (_SCORE,)),), program="double"),
        Algorithm("two-images", (Interface((_CT, _PET), (_RESULTS, _IMAGE)),)),
        Algorithm("always-fails", (_COPY,), program="fail"),
        Algorithm("not-ready", (_COPY,), ready=False),
        Algorithm("no-credits", (_COPY,), funded=False),
        Algorithm("forbidden", (_COPY,), executors=frozenset()),
    ),
)
