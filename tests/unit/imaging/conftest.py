"""What several tests of images start from."""

import pytest


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "p1"
    path.mkdir()
    return path
