"""Parsers of bytes from outside meet files that are drawn to reach each of their lines."""

import pytest

from tests.fuzz.run import PARSER_NAMES, fuzz

RUNS = 4000


@pytest.mark.prove
@pytest.mark.parametrize("name", PARSER_NAMES)
def test_no_drawn_file_breaks_a_parser(tmp_path, name):
    """Refused in words, or sent clean; in seconds, and with little memory."""
    pytest.importorskip("atheris", reason="atheris has no wheel for this Python")
    done = fuzz(name, tmp_path / "found", f"-runs={RUNS}", "-seed=20261128")
    assert done.returncode == 0, done.told
    assert done.runs >= RUNS
