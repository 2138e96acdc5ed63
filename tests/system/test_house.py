"""What the house of the tests promises, and the rules for sources that no linter checks."""

import ast
import re

import pytest
from support.checkout import ROOT, TESTS

NOQA = re.compile(r"#\s*noqa\b(?::\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?(?P<rest>.*)", re.IGNORECASE)
REASON = re.compile(r"\s+--?\s+[`\w].*\w.*")
PROGRAMS = {path.parent for path in TESTS.glob("*/__main__.py")}
"""Folders of tests that are programs: their modules import each other."""


def own_modules(*folders):
    """Each Python module in these folders of the checkout."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imported_names(module, source):
    """The full name of whatever a module below `tests` imports, or may import."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*module.relative_to(TESTS).parent.parts] if node.level else []
            above = [*base[: len(base) - node.level + 1], *filter(None, [node.module])]
            yield from (".".join([*above, alias.name]) for alias in node.names)


def module_of_tests(name):
    """The file below `tests` that a name is in, or None if it is from elsewhere."""
    parts = name.removeprefix("tests.").split(".")
    paths = [TESTS.joinpath(*parts[:end]).with_suffix(".py") for end in range(1, len(parts) + 1)]
    return next((path for path in paths if path.exists()), None)


def foreign_imports(module, source):
    """The names that a module below `tests` imports from where it must not."""
    for name in imported_names(module, source):
        target = module_of_tests(name)
        if target is None or TESTS / "support" in target.parents or target.stem == "conftest":
            continue
        is_own_program = target.parent == module.parent and target.parent in PROGRAMS
        if not is_own_program or target.stem.startswith("test_"):
            yield name


def noqas_without_reason(source):
    """The number of each line with a `noqa` comment that says nothing else."""
    for number, line in enumerate(source.splitlines(), start=1):
        noqa = NOQA.search(line)
        if noqa and not REASON.fullmatch(noqa["rest"]):
            yield number


def test_no_module_of_tests_imports_a_test_module():
    """What two of them need is in `tests/support`; only programs have modules of their own."""
    assert {
        module.relative_to(ROOT).as_posix(): names
        for module in own_modules("tests")
        if (names := [*foreign_imports(module, module.read_text())])
    } == {}


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("system/test_a.py", "from system.test_init import answer"),
        ("system/test_a.py", "from tests.system.booted import Machine"),
        ("system/test_a.py", "from .test_init import answer"),
        ("unit/core/test_a.py", "from ...system import test_init"),
        ("unit/core/test_a.py", "def f():\n    import proofs.test_crash"),
        ("unit/core/test_a.py", "from bench.figures import Figure"),
        ("bench/marker.py", "from soak.site import Site"),
        ("soak/patients.py", "from soak.test_soak import count"),
    ],
)
def test_each_way_to_import_a_test_module_is_found(module, line):
    """Absolute, relative, late, a module of a package, a program of another folder."""
    assert [*foreign_imports(TESTS / module, line)] != []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("system/test_a.py", "from support.builders import Site"),
        ("system/test_a.py", "import platform, conftest"),
        ("soak/test_soak.py", "from soak.site import Folders"),
        ("bench/marker.py", "from tests.bench.figures import Figure"),
        ("platform/test_a.py", "from gcwatch.platform import client"),
    ],
)
def test_other_imports_are_not_taken_for_test_modules(module, line):
    """Helpers, the standard library, gcwatch's own modules, and a program's."""
    assert [*foreign_imports(TESTS / module, line)] == []


def test_each_noqa_has_a_reason():
    """Whoever reads that a rule does not hold here reads why, on the same line."""
    assert {
        module.relative_to(ROOT).as_posix(): lines
        for module in own_modules("gcwatch", "tests", "debian", "docs")
        if (lines := [*noqas_without_reason(module.read_text())])
    } == {}


@pytest.mark.parametrize(
    ("comment", "is_excused"),
    [
        ("noqa: S311 -- no secret", True),
        ("noqa: S311, PLR0917 - no secret", True),
        ("noqa: S311", False),
        ("noqa", False),
        ("noqa: S311 --", False),
        ("noqa: S311 no secret", False),
    ],
)
def test_a_noqa_without_a_reason_is_found(comment, is_excused):
    """With and without a code; a dash alone is no reason."""
    source = f"import re\n\nx = 1  # {comment}\n"

    assert [*noqas_without_reason(source)] == ([] if is_excused else [3])
