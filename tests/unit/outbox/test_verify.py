"""Fetched files are checked by their own structure, and server's names stay where they belong."""

import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import whole_files
from support.builders import Site
from support.sandbox_user import mha

from gcwatch.core.errors import TryAgain
from gcwatch.files.beneath import SharePath
from gcwatch.files.names import safe_relative_path
from gcwatch.outbox import verify
from gcwatch.outbox.outputs import image_name
from gcwatch.platform.models import Image, ImageFile
from gcwatch.sandbox import Algorithm, Catalogue, Interface, Sandbox, Socket


def compressed_mha():
    data = zlib.compress(bytes(100))
    return (
        f"NDims = 3\nDimSize = 100 1 1\nCompressedData = True\nCompressedDataSize = {len(data)}\n"
        "ElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    ).encode() + data


UNTOUCHED = {
    **whole_files.WHOLE,
    **whole_files.IMAGES,
    "a.mha": mha(1, 2, 3),
    "z.mha": compressed_mha(),
    "upper.MHA": mha(1, 2, 3),
    "a.json": b'{"a": [1, 2]}',
    "a.csv": b"anything\0at all",
}
CUT = {
    **{name: data[: len(data) // 2] for name, data in whole_files.WHOLE.items()},
    **{name: data[: len(data) // 2] for name, data in whole_files.IMAGES.items()},
    "model.obj": b"# made by hand",
    "thumb.jpg": whole_files.jpeg()[:-2],
    "volume.nii.gz": b"<html>Forbidden</html>",
    "a.mha": mha(1, 2, 3)[:-1],
    "long.mha": mha(1, 2, 3) + b"x",
    "header.mha": mha(1, 2, 3)[:30],
    "z.mha": compressed_mha()[:-1],
    "empty.mha": b"",
    "a.json": b'{"a": [1, 2',
    "empty.json": b"",
    "bytes.json": b'"\xff\xfe"',
    "deep.json": b"[" * 200_000,
    "html.png": b"<html>Forbidden</html>",
    "html.tif": b"<html>Forbidden</html>",
    "html.pdf": b"<html>Forbidden</html>",
}


@pytest.mark.parametrize("name", UNTOUCHED)
def test_whole_file_is_accepted(tmp_path, name):
    """What is in order is left as it is."""
    path = tmp_path / name
    path.write_bytes(UNTOUCHED[name])
    verify.require_whole(SharePath.of(path), "socket")
    assert path.read_bytes() == UNTOUCHED[name]


@pytest.mark.parametrize("name", CUT)
def test_cut_file_is_removed_and_fetched_again(tmp_path, name):
    """What its own structure betrays is no result: it goes, and the reason names the socket."""
    path = tmp_path / name
    path.write_bytes(CUT[name])
    with pytest.raises(TryAgain) as error:
        verify.require_whole(SharePath.of(path), "segmentation")
    assert not path.exists()
    assert error.value.reason.code == "download_incomplete"
    assert error.value.reason.facts["socket"] == "segmentation"


@pytest.mark.parametrize("line", ["ElementNumberOfChannels = many", "DimSize = 3 x 1", "DimSize ="])
def test_header_that_promises_nothing_is_no_fault(tmp_path, line):
    """A header that can't be counted by is left to whoever reads the image."""
    path = tmp_path / "a.mha"
    path.write_bytes(
        f"DimSize = 3 1 1\nElementType = MET_UCHAR\n{line}\nElementDataFile = LOCAL\nabc".encode()
    )
    verify.require_whole(SharePath.of(path), "socket")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.sampled_from(["mha", "json", "png", "jpg", "tif", "zip", "pdf", "mp4"]),
    st.binary(max_size=300),
)
def test_no_bytes_break_the_check(tmp_path, suffix, content):
    """Whatever came, the answer is yes or try again."""
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(content)
    try:
        verify.require_whole(SharePath.of(path), "socket")
    except TryAgain:
        assert not path.exists()


HOSTILE = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        ["..", "../../etc/passwd", "/etc/passwd", "a/../../b", "..\\..\\x", "\0", "CON", "a/", "~"]
    ),
)


@given(HOSTILE, HOSTILE)
def test_image_names_never_leave_the_folder(pk, tail):
    """Whatever pk and file URL the server gives, the file is one plain name."""
    # Unchecked: the models refuse most of these before, and the name must be safe all the same.
    image = Image.model_construct(pk=pk, files=())
    url = f"https://host/media/{tail}"
    file = ImageFile.model_construct(pk="1", file=url, image_type="MHD")
    name = image_name(image, file)
    assert "\0" not in name
    assert name not in {"", ".", ".."}
    assert not name.startswith("/")
    assert ".." not in name.split("/")


@given(HOSTILE)
def test_socket_paths_never_leave_the_outbox(path):
    """The same for the relative path of a socket."""
    place = safe_relative_path(path, fallback="socket")
    assert not place.is_absolute()
    assert place.parts
    assert ".." not in place.parts
    assert "\0" not in str(place)


def test_suffix_is_the_servers_only_if_it_is_plain():
    """`<image pk>.mha`, as the official client names it; the signature is no part of it."""
    image = Image(pk="c0ffee", files=())
    url = "https://host/media/images/c0/ff/c0ffee/1/x.mha?X-Amz-Signature=1.exe"
    assert image_name(image, ImageFile(pk="1", file=url, image_type="MHD")) == "c0ffee.mha"


TABLE = Socket(90, "Table", "table", "CSV file", "File", "table.csv")
MISNAMED = Socket(91, "Misnamed", "misnamed", "Anything", "File", "misnamed.json")
ODD = Catalogue((TABLE, MISNAMED), (Algorithm("odd", (Interface((TABLE,), (MISNAMED,)),)),))


def test_an_odd_file_that_comes_again_and_again_is_delivered_as_it_is(tmp_path):
    """An algorithm may write what it likes: no result is lost for it, and the receipt tells."""
    with Sandbox(tmp_path / "sandbox", catalogue=ODD) as sandbox:
        site = Site(tmp_path / "site", sandbox, algorithm="odd", inputs={"table": "*.csv"})
        site.drop(files={"table.csv": b"age,sex\n61,F\n"})

        site.run_once()

        assert (site.outbox / "p1" / "misnamed.json").read_bytes() == b"age,sex\n61,F\n"
        (output,) = site.receipt()["outputs"]
        assert output["files"][0]["odd"] == "it is not valid JSON"
