"""The parsers of bytes from outside, what each may raise, and small files to begin with."""

import gzip
import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import requests
from grand_challenge_dicom_de_identifier.exceptions import RejectedDICOMFileError
from support.dicom_files import ESSENTIAL, element, in_file, shipped, with_length
from support.header_pass import compare_with_library
from support.planted import FILES, tiff_with_secrets
from support.socket_values import GOOD
from support.voxel_files import WHOLE_VOLUMES
from support.whole_files import IMAGES, WHOLE, jpeg, png

from gcwatch.commands.audit import finding, outboxes
from gcwatch.core.case import Case, Snapshot
from gcwatch.core.errors import CaseError, Refused, TokenRefused, Unreachable
from gcwatch.core.receipt import is_receipt_of, product_pk, target_of_receipt
from gcwatch.files.beneath import SharePath
from gcwatch.files.receipt_file import read_receipt
from gcwatch.imaging import series
from gcwatch.imaging.bundles import bundle
from gcwatch.imaging.bundles.options import BundleOptions
from gcwatch.imaging.checks.socket_content import check_file, read_value
from gcwatch.imaging.dicom import headers
from gcwatch.imaging.dicom.elements import DamagedDicom, dicom_errors
from gcwatch.inbox import tree
from gcwatch.mirrors.receipts import parse_receipt
from gcwatch.platform import models
from gcwatch.platform.replies import read_reply
from gcwatch.targets.reuse import holds_socket, item_url
from tests.fuzz.run import PARSER_NAMES


class Parser(NamedTuple):
    """What reads the bytes, files to begin with, and the largest file that is tried."""

    read: Callable[[bytes], None]
    seeds: Mapping[str, bytes]
    most_bytes: int = 4096


def _emptied(name: str) -> Path:
    """Return the path of a folder for the next file; nothing is there yet."""
    folder = Path.cwd() / name
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _drop(name: str, content: bytes) -> list:
    """Put one file into an emptied folder; return it as the inbox lists it."""
    folder = _emptied("in")
    folder.mkdir()
    (folder / name).write_bytes(content)
    return tree.source_files(SharePath.of(folder), ())


def _send(name: str, content: bytes, **options) -> bytes:
    """Return what would be uploaded of one file; CaseError if it is refused."""
    chosen = BundleOptions(socket="s", **options)
    files = _drop(name, content)
    made = bundle.image_bundle(files, chosen, spool=_emptied("spool"), stem="k").written()
    return Path(made.file if isinstance(made.file, Path) else str(made.file.place)).read_bytes()


def _image(name: str) -> Callable[[bytes], None]:
    """What is sent of a file can be sent again, and is then the same: nothing more goes out."""

    def read(content: bytes) -> None:
        with suppress(CaseError):
            _send(name, content, integrity="warn")
        with suppress(CaseError):
            sent = _send(name, content)
            again = _send(name, sent)
            assert sent == again, "what goes out is not clean"

    return read


def _dicom(content: bytes) -> None:
    """The quick way gives what pydicom gives; whatever is sent has pixels."""
    with suppress(CaseError):
        series.group_series(_drop("x.dcm", content))
    path = Path("header.dcm")
    path.write_bytes(content)
    with path.open("rb") as stream:
        if quick := _header(headers._read_quickly, stream):
            whole = _header(headers._read_by_pydicom, stream)
            assert quick == whole, f"{quick} is not {whole}"
    for integrity in ("refuse", "warn"):
        with suppress(CaseError):
            _send("x.dcm", content, integrity=integrity)
    with suppress(CaseError):
        _send("x.dcm", content, deidentify=False)


def _header(read, stream):
    try:
        return read(stream)
    except dicom_errors(DamagedDicom, OSError) as error:
        return type(error)


def _dicom_names(content: bytes) -> None:
    """What goes out of a header is what the platform's own procedure leaves of it."""
    with suppress(*dicom_errors(RejectedDICOMFileError, OSError)):
        compare_with_library(content)


def _socket_file(content: bytes) -> None:
    """The first byte chooses the kind of file."""
    kinds = list(SOCKET_FILES)
    kind = kinds[content[0] % len(kinds)] if content else kinds[0]
    [file] = _drop("x" + SOCKET_FILES[kind], content[1:])
    with suppress(CaseError):
        check_file(file, kind, "s")
    if kind in GOOD:
        with suppress(CaseError):
            read_value(file)


SOCKET_FILES = {
    "PDF file": ".pdf",
    "SQREG file": ".sqreg",
    "Thumbnail jpg": ".jpg",
    "Thumbnail png": ".png",
    "OBJ file": ".obj",
    "MP4 file": ".mp4",
    "Newick tree-format file": ".newick",
    "BIOM format": ".biom",
    "CSV file": ".csv",
    "ZIP file": ".zip",
    **dict.fromkeys(GOOD, ".json"),
}


def _slide(content: bytes) -> None:
    """An index of a slide names files; they get other names when it is sent."""
    folder = _emptied("in")
    (folder / "a").mkdir(parents=True)
    for name, data in {"a.mrxs": b"x", "a/Data0.dat": b"d", "a/Slidedat.ini": content}.items():
        (folder / name).write_bytes(data)
    with suppress(CaseError):
        bundle.image_bundle(
            tree.source_files(SharePath.of(folder), ()),
            BundleOptions(socket="s", integrity="warn", unscrubbed=("mrxs",)),
            spool=_emptied("spool"),
            stem="k",
        ).written()


ANSWERS = [
    *(models.Algorithm, models.Collection, models.Image, models.Instances, models.Item),
    *(models.Job, models.NewJob, models.Parts, models.PresignedUrls, models.Profile),
    *(models.Socket, models.UploadSession, models.UserUpload, models.PageCount),
]
_ANSWER = {
    "pk": "1",
    "api_url": "https://x/1/",
    "slug": "s",
    "status": "Succeeded",
    "inputs": [{"pk": 1, "socket": {"slug": "s", "kind": "Image", "super_kind": "Image"}}],
    "outputs": [{"pk": 1, "socket": {"slug": "s", "kind": "Float", "super_kind": "Value"},
                 "value": 1.5}],
    "count": 1,
    "results": [{"pk": "1"}],
    "files": [{"file": "https://x/f", "image_type": "MHD"}],
    "presigned_urls": {"1": "https://x/"},
    "Parts": [{"PartNumber": 1, "ETag": "e", "Size": 1}],
    "title": "t",
    "interfaces": [],
}  # fmt: skip
STATUSES = (200, 201, 204, 301, 400, 401, 403, 404, 429, 500)


def _answer(content: bytes) -> None:
    """The first two bytes choose the status and the kind of answer."""
    if len(content) < 2:
        return
    response = requests.Response()
    response.status_code = STATUSES[content[0] % len(STATUSES)]
    response.headers["Retry-After"] = content[2:22].decode("latin-1")
    response.request = requests.Request("GET", "https://x/", headers={"Authorization": "B t"})
    with suppress(CaseError, Refused, TokenRefused, Unreachable):
        told = read_reply("GET x", "GET", response, content[2:])
        models.read_answer(ANSWERS[content[1] % len(ANSWERS)], told)


def _receipt(content: bytes) -> None:
    """Whoever may write to an outbox may write receipts; audits and new journals read them."""
    folder = _emptied("out")
    (folder / "p1").mkdir(parents=True)
    (folder / "p1" / "gcwatch.json").write_bytes(content)
    parse_receipt(content)
    outboxes.read(folder)
    told = read_receipt(SharePath(folder) / "p1")
    list(finding.compare_files(SharePath(folder) / "p1", outboxes._told(told)))
    holds_socket(told, "s")
    item_url(told)
    product_pk(told)
    if is_receipt_of(told, _CASE, "algorithm", "a"):
        target_of_receipt(told, "algorithm")


_CASE = Case("k", "r", "p1", 0.0, 0.0, seen=Snapshot("d", 1, 1, 1))
_RECEIPT = {
    "key": "k",
    "target": {"platform": "p", "algorithm": "a", "algorithm_url": "u", "job": "j", "title": "t"},
    "source": {"files": 1, "bytes": 1, "listing": "d"},
    "inputs": [{"socket": "s", "carrier": "image", "image": "https://x/cases/images/1/"}],
    "outputs": [{"socket": "o", "files": [{"path": "a/b", "size": 1, "sha256": "0"}]}],
}
_MIRRORED = {
    "mirror": "m",
    "folder": "f",
    "title": "t",
    "target": {"platform": "p", "archive": "a", "item": "i"},
    "outputs": [{"socket": "s", "carrier": "file", "pk": 1, "files": [{"path": "b", "size": 1}]}],
    "times": {"fetched": "2026-01-01T00:00:00Z"},
}


# --- what to begin with --------------------------------------------------------------------------


def _named(*suffixes: str) -> dict[str, bytes]:
    small = FILES | WHOLE_VOLUMES | IMAGES
    return {name: data for name, data in small.items() if name.endswith(suffixes)}


def _dicom_seeds() -> dict[str, bytes]:
    sequence = with_length(0x00081140, with_length(0xFFFEE000, b"", 0xFFFEE00D, False, False),
                           0xFFFEE0DD, False, False)  # fmt: skip
    own = {}
    for implicit in (False, True):
        tags = {tag: element(tag, *each, implicit=implicit) for tag, each in ESSENTIAL.items()}
        own[f"pixel {implicit}"] = in_file(tags, implicit=implicit)
        own[f"sequence {implicit}"] = in_file(tags | {0x00081140: sequence}, implicit=implicit)
    return own | {name: content for name, content in shipped() if len(content) < 3000}


_VOLUMES = {".nii": gzip.decompress(WHOLE_VOLUMES["packed.nii.gz"])}
_SLIDEDAT = b"""[HIERARCHICAL]
INDEXFILE = Index.dat
[DATAFILE]
FILE_COUNT = 2
FILE_0 = Data0.dat
FILE_1 = ..\\x.dat
"""

PARSERS: Mapping[str, Parser] = {
    "dicom": Parser(_dicom, _dicom_seeds()),
    "dicom-names": Parser(_dicom_names, _dicom_seeds()),
    "meta": Parser(_image("x.mha"), {n: FILES[n] for n in FILES if "MetaImage" in n}),
    "nifti": Parser(_image("x.nii"), {n: FILES[n] for n in FILES if n == "NIfTI"} | _VOLUMES),
    "nifti-gz": Parser(_image("x.nii.gz"), {n: FILES[n] for n in FILES if "NIfTI" in n}),
    "nrrd": Parser(_image("x.nrrd"), {n: FILES[n] for n in FILES if "NRRD" in n}),
    "png": Parser(_image("x.png"), {"small": png(), "planted": FILES["PNG"]}),
    "jpeg": Parser(_image("x.jpg"), {"small": jpeg(), "planted": FILES["JPEG"]}),
    "tiff": Parser(
        _image("x.tif"),
        _named(".tif", ".tiff")
        | {n: FILES[n] for n in FILES if "TIFF" in n}
        | {
            "jpeg": tiff_with_secrets(compression="jpeg", tile=(16, 16)),
            "ome": tiff_with_secrets(
                description='<OME><Image><Pixels SizeX="1" DimensionOrder="XYZCT"/></Image></OME>'
            ),
            "aperio": tiff_with_secrets(description="Aperio x\r\n1x1|AppMag = 20|MPP = 0.5"),
        },
        most_bytes=8192,
    ),
    "slidedat": Parser(_slide, {"small": _SLIDEDAT}),
    "socket": Parser(
        _socket_file,
        {
            str(number): bytes((number,)) + content
            for number, content in enumerate(
                [
                    *(
                        next(d for n, d in WHOLE.items() if n.endswith(s))
                        for s in (
                            ".pdf",
                            ".sqreg",
                            ".jpg",
                            ".png",
                            ".obj",
                            ".mp4",
                            ".newick",
                            ".biom",
                        )
                    ),
                    b"a,b\n1,2\n",
                    WHOLE["table.zip"],
                    *(json.dumps(value).encode() for value in GOOD.values()),
                ]
            )
        },
    ),
    "receipt": Parser(
        _receipt,
        {"ours": json.dumps(_RECEIPT).encode(), "mirror": json.dumps(_MIRRORED).encode()},
    ),
    "answer": Parser(
        _answer,
        {
            str(number): bytes((0, number)) + json.dumps(_ANSWER).encode()
            for number in range(len(ANSWERS))
        },
    ),
}
assert PARSERS.keys() == set(PARSER_NAMES)
