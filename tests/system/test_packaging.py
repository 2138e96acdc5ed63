"""What is installed is what was written: the wheel, the lock, the changelog."""

import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from datetime import date
from email import message_from_bytes
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.checkout import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGE = {f"gcwatch/wording/page/status.{suffix}" for suffix in ("css", "html", "js")}
DATA = {"gcwatch/py.typed", "gcwatch/imaging/dicom/procedure.json", *PAGE}
"""What the wheel holds besides Python's sources."""


def told(*command, **options):
    """What a command writes to standard output; it must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# --- the wheel -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clean clone of the last commit, in which `make wheel` was called."""
    folder = tmp_path_factory.mktemp("clean") / "clone"
    told("git", "clone", "--quiet", ROOT, folder)
    here = f"BIN={Path(sys.executable).parent}"  # the environment is there, and up to date
    told("make", "-o", ".venv/installed", "wheel", here, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(clone):
    [path] = (clone / "dist").iterdir()
    return path


def test_the_wheel_holds_the_program_and_nothing_else(clone, wheel):
    """Every source file of the package, the marker for type checkers, the licence; no test."""
    committed = told("git", "ls-files", "gcwatch", cwd=clone).splitlines()
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        paper = f"gcwatch-{PROJECT['version']}.dist-info"
        assert archive.read(f"{paper}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert {name for name in names if not name.startswith(paper)} == set(committed)
    assert {name for name in committed if not name.endswith(".py")} == DATA


def test_the_wheels_papers_are_true(wheel):
    """Name, licence, Python and dependencies as pyproject.toml has them; no address that is not."""
    with zipfile.ZipFile(wheel) as archive:
        paper = f"gcwatch-{PROJECT['version']}.dist-info"
        metadata = message_from_bytes(archive.read(f"{paper}/METADATA"))
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    asked = [Requirement(each) for each in metadata.get_all("Requires-Dist")]
    assert {each.name for each in asked if each.marker is None} == set(ranges())
    assert metadata.get_all("Project-URL") is None
    assert metadata["Home-page"] is None


@pytest.mark.timeout(900)  # a clone, a build, an installation and a demo
def test_the_wheel_works_in_an_environment_of_its_own(wheel, tmp_path):
    """Installed by pip, it is the installed one that runs, and the whole story ends well."""
    fresh = tmp_path / "venv"
    venv.create(fresh, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", fresh / "bin/python", "install", "--quiet"]
    told(*pip, "--no-index", "--no-deps", wheel)
    [site] = (fresh / "lib").glob("python*/site-packages")
    # Dependencies come from the environment of the tests: there is no network.
    (site / "dependencies.pth").write_text(str(Path(pytest.__file__).parent.parent))
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    at = {"cwd": tmp_path, "env": alone}
    where = told(fresh / "bin/python", "-c", "import gcwatch; print(gcwatch.__file__)", **at)
    assert Path(where.strip()).is_relative_to(fresh)
    assert told(fresh / "bin/gcwatch", "--version", **at) == f"gcwatch {PROJECT['version']}\n"
    assert "sandbox" in told(fresh / "bin/gcwatch", "--help", **at)
    told(fresh / "bin/gcwatch", "demo", **at)


# --- the lock ------------------------------------------------------------------------------------


def ranges():
    """What pyproject.toml asks for, by name."""
    asked = map(Requirement, PROJECT["dependencies"])
    return {canonicalize_name(each.name): each for each in asked}


def entries():
    """The lock's requirements, each with its hashes and with what asked for it."""
    text = (ROOT / "requirements.lock").read_text()
    for head, body in re.findall(r"^(\S.*?) \\\n((?:    .*\n)+)", text, re.MULTILINE):
        hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})\b", body)
        reasons = re.findall(r"^ +# +(?:via )?([a-z0-9-]+)", body, re.MULTILINE)
        yield Requirement(head), hashes, [each for each in reasons if each != "via"]


def locked():
    """The version of each package that Linux gets."""
    here = [each for each, _, _ in entries() if each.marker is None or each.marker.evaluate()]
    return {canonicalize_name(each.name): version(each) for each in here}


def version(requirement):
    [exact] = requirement.specifier
    assert exact.operator == "=="
    return exact.version


def test_the_lock_satisfies_what_the_program_asks_for():
    """Each dependency is there, at a version that its range allows; `make lock` mends it."""
    got = locked()
    for name, asked in ranges().items():
        assert asked.specifier.contains(got[name]), f"{asked}: {got[name]}"


def test_the_lock_says_of_each_file_what_it_must_hash_to():
    """No line of it is left out here, none is without hashes, none is there for nobody."""
    text = (ROOT / "requirements.lock").read_text()
    found = list(entries())
    assert len(found) == len(re.findall(r"^[a-z]", text, re.MULTILINE))
    names = {canonicalize_name(each.name) for each, _, _ in found} | {"gcwatch"}
    for requirement, hashes, reasons in found:
        assert hashes, requirement
        assert reasons, requirement
        assert names.issuperset(reasons), requirement


def test_the_lock_is_closed():
    """What a locked package asks for is locked, as far as the very version is installed here."""
    got = locked()
    for name, at in got.items():
        for asked in map(Requirement, needs(name, at)):
            if asked.marker is None or asked.marker.evaluate({"extra": ""}):
                assert asked.specifier.contains(got[canonicalize_name(asked.name)]), (name, asked)


def needs(name, at):
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return []
    return (found.requires or []) if found.version == at else []


def test_no_registry_is_named():
    """Whoever installs says where packages come from; an address here would overrule them."""
    for name in ("requirements.lock", "Makefile", "debian/build", "debian/rules"):
        assert "://" not in (ROOT / name).read_text(), name


# --- the changelog -------------------------------------------------------------------------------

TWO = """# Changelog

## 0.2.0, not released yet

What it is about.

- A point that goes on
  in a second line.
- `Another`.

## 0.1.0, 2026-11-30

- The first version.
"""

AS_DEBIANS = """gcwatch (0.2.0~git20261123014140) unstable; urgency=medium

  * A point that goes on in a second line.
  * `Another`.

 -- gcwatch developers <gcwatch@localhost>  Mon, 23 Nov 2026 01:41:40 +0000

gcwatch (0.1.0) unstable; urgency=medium

  * The first version.

 -- gcwatch developers <gcwatch@localhost>  Mon, 30 Nov 2026 00:00:00 +0000
"""


def as_debians(changelog):
    """What debian/build makes of a changelog, of a commit at a known time."""
    program = ROOT / "debian" / "changelog.py"
    at = {**os.environ, "SOURCE_DATE_EPOCH": "1795398100"}
    return told(sys.executable, program, input=changelog, env=at)


def test_debians_changelog_is_made_from_ours():
    """What is not released is older than what will be, and younger than the last commit's."""
    assert as_debians(TWO) == AS_DEBIANS


def test_the_changelog_begins_with_this_version():
    """Released on a day, or not yet; Debian's version is made from it."""
    text = (ROOT / "CHANGELOG.md").read_text()
    number, when = re.search(r"^## (\S+), (.+)$", text, re.MULTILINE).groups()
    assert number == PROJECT["version"]
    assert when == "not released yet" or date.fromisoformat(when)
    assert as_debians(text).startswith(f"gcwatch ({number}")
