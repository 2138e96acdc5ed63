"""SECURITY.md: each promise is held by a test that exists under the name that the page gives."""

import re

from support.checkout import ROOT

PAGE = (ROOT / "SECURITY.md").read_text()
NAMES = re.compile(r"`(?:tests/[\w/]+/)?(test_\w+)(\.py)?`")


def test_every_test_that_the_page_names_exists():
    """A test that is renamed or removed leaves a promise that nobody holds."""
    files = {path.stem: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    functions = set(re.findall(r"^def (test_\w+)", "\n".join(files.values()), re.MULTILINE))
    named = NAMES.findall(PAGE)
    assert len(named) > 40
    missing = [name for name, is_file in named if name not in (files if is_file else functions)]
    assert missing == []


def test_every_promise_of_the_page_names_its_test():
    """Each row of both tables."""
    rows = re.findall(r"^\| (?!---|against |promise )(.+) \|$", PAGE, re.MULTILINE)
    assert rows
    assert [row for row in rows if not NAMES.search(row)] == []
