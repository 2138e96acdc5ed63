"""No name leaves: everything that the sandbox received is searched for names that were planted."""

import pytest
from pydicom import uid
from support.builders import Site, until
from support.planted import FILES, FORMS, SECRET, find_names
from support.planted_dicom import importable_file
from support.voxel_files import VOXELS, meta_image
from support.wiretap import Wiretap

from gcwatch.imaging.dicom.procedure import local_procedure, platform_procedure

CLASSES = {
    "CT": uid.CTImageStorage,
    "MR": uid.MRImageStorage,
    "mammography": uid.DigitalMammographyXRayImageStorageForPresentation,
    "ultrasound": uid.UltrasoundImageStorage,
    "capture": uid.SecondaryCaptureImageStorage,
}
WORD = SECRET.decode()


def patients(folder):
    """Folders by name, each with one image, and each named after a patient."""
    found = {name: {f"{WORD}/{WORD}": content} for name, content in FILES.items()}
    found["MetaImage in two files"] = {
        f"{WORD}.mhd": meta_image(b"", "Name = DOE^JANE\n", f"{WORD}.raw"),
        f"{WORD}.raw": VOXELS + SECRET,
    }
    for number, (kind, sop_class) in enumerate(CLASSES.items()):
        importable_file(folder / f"{number}", sop_class, local_procedure())
        found[kind] = {f"{WORD}.dcm": (folder / f"{number}").read_bytes()}
    return {f"{WORD} {name}": files for name, files in found.items()}


def ended(site):
    """The folders that were delivered, or have a note that says why not."""
    notes = (each.name.removesuffix(".failed.txt") for each in site.outbox.glob("*.failed.txt"))
    return {*site.delivered(), *notes}


def check_what_arrives(sandbox, folder, dropped, **route):
    """Drop folders, and search all that the sandbox hears until they are delivered."""
    site = Site(folder, sandbox, burned_in="allow", integrity="warn", **route)
    for name, files in dropped.items():
        assert all(find_names(content) for content in files.values()), name
        site.drop(name, files)
    tap = Wiretap(sandbox)
    with site.running():
        until(lambda: ended(site) == dropped.keys())
    assert set(site.delivered()) == dropped.keys()
    for call in tap.heard:
        assert not find_names(bytes(call)), bytes(call[:200])


def test_no_planted_name_reaches_an_algorithm(sandbox, tmp_path):
    """Names of folders and files, and what is in, between and behind images of every format."""
    check_what_arrives(sandbox, tmp_path, patients(tmp_path), algorithm="copy-image")


@pytest.mark.parametrize("kind", ["archive", "reader_study"])
def test_no_planted_name_reaches_an_item(sandbox, tmp_path, kind):
    """Nor is one in a title."""
    slug = {"archive": "ct-archive", "reader_study": "lung-study"}[kind]
    some = dict(list(patients(tmp_path).items())[:2])
    route = {"algorithm": None, kind: slug, "inputs": {"generic-medical-image": "**"}}
    check_what_arrives(sandbox, tmp_path, some, **route)


def test_no_planted_name_reaches_a_dicom_set(sandbox, tmp_path):
    """There the platform's own procedure says what goes."""
    path = tmp_path / "1"
    importable_file(path, uid.CTImageStorage, local_procedure(), platform_procedure())
    files = {WORD: {f"{WORD}.dcm": path.read_bytes()}}
    route = {"algorithm": "dicom-in", "inputs": {"dicom-ct": "**"}}
    check_what_arrives(sandbox, tmp_path, files, **route)


def test_the_search_finds_a_name(sandbox, tmp_path):
    """Without de-identification each file arrives with what it holds."""
    site, tap = Site(tmp_path, sandbox, deidentify=False), Wiretap(sandbox)
    site.drop("p1", {"a": FILES["NIfTI"]})
    site.run_once()
    assert set.union(*(find_names(bytes(call)) for call in tap.heard)) == set(FORMS)
