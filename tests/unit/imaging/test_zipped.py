"""What gcwatch.imaging.bundles.zipped promises: a size that is right, and bytes that stay."""

import os
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcwatch.imaging.bundles import zipped
from gcwatch.imaging.bundles.zipped import ZipMember, write_zip, zip_bytes

LARGE = zipfile.ZIP64_LIMIT + 1
NAMES = st.text("abc.0123", min_size=1, max_size=20)


def made(stream, contents, original=0):
    """Write the contents by name into a zip; after each, how many bytes are final."""
    members = (ZipMember(n, original, lambda t, d=d: t.write(d)) for n, d in contents.items())
    return list(write_zip(stream, members))


@given(st.dictionaries(NAMES, st.binary(max_size=50), max_size=9), st.booleans())
def test_the_size_of_a_zip_is_known_before(tmp_path_factory, contents, is_large):
    """By its members' names and sizes, also where the originals ask for zip64."""
    path = tmp_path_factory.mktemp("zip") / "x.zip"
    original = zipped._ZIP64_BYTES + 1 if is_large else 0
    with path.open("w+b") as stream:
        assert made(stream, contents, original)[-1] == path.stat().st_size
    sizes = [(name, original, len(content)) for name, content in contents.items()]
    assert zip_bytes(sizes) == path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == contents


def test_what_is_said_to_be_final_stays(tmp_path):
    """Whoever reads so many bytes from the disk after a step reads those of the whole zip."""
    path = tmp_path / "x.zip"
    contents = {f"{n}.dcm": os.urandom(3000 * n) for n in range(1, 5)}
    members = (ZipMember(n, 0, lambda t, d=d: t.write(d)) for n, d in contents.items())
    with path.open("w+b") as stream:
        seen = [path.read_bytes()[:final] for final in write_zip(stream, members)]
    whole = path.read_bytes()
    assert [len(each) for each in seen] == sorted(len(each) for each in seen)
    assert len(seen[2]) > 18_000
    assert all(whole.startswith(each) for each in seen)
    assert seen[-1] == whole


class _Hole:
    """A target that counts, and keeps nothing but the end: 2 GiB take too long to write."""

    def __init__(self, begin):
        self.at = self.size = begin

    def write(self, data):
        self.at += len(data)
        self.size = max(self.size, self.at)
        return len(data)

    def tell(self):
        return self.at

    def seek(self, offset, whence=0):
        self.at = offset + (self.size if whence == 2 else 0)
        return self.at

    def flush(self):
        pass


@pytest.mark.parametrize("count", [1, 3])
def test_behind_2_gib_the_places_take_more_room(count):
    """As zipfile writes them."""
    target = _Hole(LARGE)
    made(target, {f"{n}": b"xyz" for n in range(count)})
    first = [("first", LARGE, LARGE - 30 - 20 - 5)]
    with_first = zip_bytes(first + [(f"{n}", 0, 3) for n in range(count)])
    of_first = 46 + 5  # in the central directory, which the hole has not
    assert target.size == with_first - of_first


def test_many_members_take_a_longer_end(tmp_path):
    """More than 65,535."""
    with (tmp_path / "x.zip").open("w+b") as stream:
        size = made(stream, {f"{n}": b"" for n in range(65_536)})[-1]
    assert zip_bytes((f"{n}", 0, 0) for n in range(65_536)) == size
