"""The sockets, algorithms, reader studies and archives that a sandbox offers."""

from dataclasses import dataclass, field
from functools import cached_property
from uuid import NAMESPACE_URL, uuid5

from gcwatch.sandbox.content.json_schemas import Schema
from gcwatch.sandbox.content.socket_kinds import DICOM_SET, DISPLACEMENT, KINDS, SuperKind


@dataclass(frozen=True)
class Socket:
    """A typed place for one input or output (platform 3).

    Attributes:
        pk: Its number on the platform.
        title: Shown to people.
        slug: Named in requests.
        kind: Display string of the kind, for example "Image" or "Anything".
        super_kind: Whether its values are sent as JSON, as a file or as an image.
        relative_path: Path at which an algorithm reads or writes it.
        segments: Allowed voxel values of a segmentation, each with its name; empty allows all.
        schema: JSON Schema in addition to that of its kind; the API does not show it.
    """

    pk: int
    title: str
    slug: str
    kind: str
    super_kind: SuperKind
    relative_path: str
    segments: tuple[tuple[int, str], ...] = ()
    schema: Schema | None = field(default=None, compare=False)

    @property
    def code(self) -> str:
        """The kind's abbreviation in error messages (platform 3.3)."""
        return KINDS[self.kind].code

    @property
    def holds_json(self) -> bool:
        """Whether its content is JSON, inline or in a file (platform 3.3)."""
        return KINDS[self.kind].holds_json

    @property
    def sort_key(self) -> tuple[int, str]:
        """Sort key of values in an answer: JSON first, images last (platform 7.11)."""
        group = 0 if self.holds_json else 2 if self.super_kind == "Image" else 1
        return group, self.slug


@dataclass(frozen=True)
class Interface:
    """One combination of input and output sockets of an algorithm (platform 2.4)."""

    inputs: tuple[Socket, ...]
    outputs: tuple[Socket, ...]


@dataclass(frozen=True)
class Algorithm:
    """An algorithm and the users' rights to it (platform 2, 7).

    Attributes:
        slug: Named in look-ups.
        interfaces: The combinations it supports.
        program: Name of its program, in `gcwatch.sandbox.algorithms`.
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
class ReaderStudy:
    """A reader study and the users' rights to it (platform 2, 5).

    Attributes:
        slug: Named in look-ups and requests.
        editors: Usernames that may change it; they see it.
        readers: Usernames that see it.
    """

    slug: str
    editors: frozenset[str] = frozenset({"alice"})
    readers: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        """The slug in words."""
        return self.slug.replace("-", " ").capitalize()

    @cached_property
    def pk(self) -> str:
        """Stable identity, a UUID."""
        return str(uuid5(NAMESPACE_URL, f"reader-study/{self.slug}"))

    @property
    def viewers(self) -> frozenset[str]:
        """Usernames that see it and its display sets."""
        return self.editors | self.readers

    @property
    def changers(self) -> frozenset[str]:
        """Usernames that may add and change display sets."""
        return self.editors


@dataclass(frozen=True)
class Archive:
    """An archive and the users' rights to it (platform 2, 6).

    Attributes:
        slug: Named in look-ups.
        editors: Usernames that may change it; they see it.
        uploaders: Usernames that may add and change items; they see it.
        users: Usernames that see it.
        public: Whether everybody who is signed in sees it.
        allowed_sockets: Slugs that its items may have, if it is linked to a challenge phase.
    """

    slug: str
    editors: frozenset[str] = frozenset({"alice"})
    uploaders: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    public: bool = False
    allowed_sockets: frozenset[str] | None = None

    @property
    def title(self) -> str:
        """The slug in words."""
        return self.slug.replace("-", " ").capitalize()

    @cached_property
    def pk(self) -> str:
        """Stable identity, a UUID."""
        return str(uuid5(NAMESPACE_URL, f"archive/{self.slug}"))

    @property
    def viewers(self) -> frozenset[str]:
        """Usernames that see it and its items, public or not."""
        return self.editors | self.uploaders | self.users

    @property
    def changers(self) -> frozenset[str]:
        """Usernames that may add and change items."""
        return self.editors | self.uploaders


@dataclass(frozen=True)
class Catalogue:
    """All that a sandbox offers before anybody uses it."""

    sockets: tuple[Socket, ...]
    algorithms: tuple[Algorithm, ...]
    reader_studies: tuple[ReaderStudy, ...] = ()
    archives: tuple[Archive, ...] = ()

    def socket(self, slug: str) -> Socket | None:
        """Return the socket with this slug."""
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
_LUNGS = Socket(
    20,
    "Lung segmentation",
    "lung-segmentation",
    "Segmentation",
    "Image",
    "images/lung-segmentation",
    segments=((1, "left"), (2, "right")),
)


def _make_socket(pk: int, title: str, kind: str) -> Socket:
    """Make a socket with the slug and the path that the platform gives a new one."""
    slug = title.lower().replace(" ", "-")
    made = KINDS[kind]
    path = f"{slug}{made.suffix}" if made.suffix else f"images/{slug}"
    return Socket(pk, title, slug, kind, made.super_kind, path)


_DICOM = _make_socket(21, "DICOM CT", DICOM_SET)
_COMMENT = _make_socket(22, "Comment", "String")
_OTHERS = tuple(
    _make_socket(pk, title, kind)
    for pk, (title, kind) in enumerate(
        {
            "Displacement field": DISPLACEMENT,
            "Urgent": "Bool",
            "Dose chart": "Chart",
            "Lesion box": "2D bounding box",
            "Lesion diameter": "Distance measurement",
            "Lesion centre": "Point",
            "Lesion outline": "Polygon",
            "Vessel": "Line",
            "Cobb angle": "Angle",
            "Lesion ellipse": "Ellipse",
            "Hip angle": "Three-point angle",
            "Registration": "Affine transform registration",
            "Side": "Choice",
            "Findings": "Multiple choice",
            "Lesion boxes": "Multiple 2D bounding boxes",
            "Lesion diameters": "Multiple distance measurements",
            "Lesion centres": "Multiple points",
            "Lesion outlines": "Multiple polygons",
            "Vessels": "Multiple lines",
            "Cobb angles": "Multiple angles",
            "Lesion ellipses": "Multiple ellipses",
            "Hip angles": "Multiple three-point angles",
            "Slide registration": "SQREG file",
            "Photo": "Thumbnail jpg",
            "Screenshot": "Thumbnail png",
            "Surface": "OBJ file",
            "Film": "MP4 file",
            "Phylogeny": "Newick tree-format file",
            "Microbiome": "BIOM format",
            "Raw data": "ZIP file",
        }.items(),
        start=23,
    )
)

_COPY = Interface((_IMAGE,), (_RESULTS, _IMAGE))
_ONE_CT = Interface((_CT,), (_RESULTS,))
_ALL_KINDS = (_RESULTS, _CLINICAL_COPY, _IMAGE)

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
        _LUNGS,
        _DICOM,
        _COMMENT,
        *_OTHERS,
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
        Algorithm("dicom-in", (Interface((_DICOM,), (_RESULTS,)),)),
        Algorithm("optional-mask", (_ONE_CT, Interface((_CT, _SEGMENTATION), (_RESULTS,)))),
        Algorithm("everything", (Interface((_DICOM, _CT, _CLINICAL, _THRESHOLD), _ALL_KINDS),)),
        Algorithm(
            "segment-lungs", (Interface((_CT,), (_SEGMENTATION, _COUNT)),), program="segment"
        ),
        Algorithm("write-letter", (Interface((_CT,), (_PDF,)),), program="letter"),
    ),
    reader_studies=(
        ReaderStudy("lung-study"),
        ReaderStudy("second-study"),
        ReaderStudy("readers-only", editors=frozenset(), readers=frozenset({"alice"})),
        ReaderStudy("hidden-study", editors=frozenset()),
    ),
    archives=(
        Archive("ct-archive"),
        Archive("second-archive"),
        Archive("uploads-only", editors=frozenset(), uploaders=frozenset({"alice"})),
        Archive("public-archive", editors=frozenset(), public=True),
        Archive("restricted", allowed_sockets=frozenset({"ct-image"})),
        Archive("hidden-archive", editors=frozenset()),
    ),
)
