"""Where the files of this checkout are."""

from pathlib import Path

TESTS = Path(__file__).parent.parent
ROOT = TESTS.parent
