"""What a file is, and whether it is whole, is told from its bytes alone."""

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.whole_files import IMAGES, WHOLE, hdf5, mp4, packed, png

from gcwatch.imaging.checks import signatures, tiff

BY_SUFFIX = {
    "biom": signatures.BIOM,
    "csv": signatures.CSV,
    "gz": signatures.GZIP,
    "jpeg": signatures.JPEG,
    "jpg": signatures.JPEG,
    "mp4": signatures.MP4,
    "newick": signatures.NEWICK,
    "obj": signatures.OBJ,
    "pdf": signatures.PDF,
    "png": signatures.PNG,
    "sqreg": signatures.SQLITE,
    "tif": signatures.TIFF,
    "tiff": signatures.TIFF,
    "zip": signatures.ZIP,
}
FILES = WHOLE | IMAGES


def format_of(name):
    return BY_SUFFIX[name.rpartition(".")[2]]


def damage(name, data):
    return format_of(name).damage(io.BytesIO(data))


@pytest.mark.parametrize("name", FILES)
def test_a_whole_file_is_its_format_and_undamaged(name):
    """Nothing is held against a file that readers open."""
    assert format_of(name).begins(FILES[name][: signatures.START_BYTES])
    assert damage(name, FILES[name]) == ""


@pytest.mark.parametrize("version", [0, 1, 2])
def test_every_version_of_hdf5_tells_its_end(version):
    """BIOM tables are written by old and new libraries."""
    assert damage("t.biom", hdf5(version)) == ""
    assert damage("t.biom", hdf5(version)[:-1]) == tiff.END_MISSING


PROMISES = [name for name in FILES if not name.endswith((".gz", ".obj", ".jpg"))]


@pytest.mark.parametrize("name", PROMISES)
def test_every_cut_that_loses_more_than_the_last_line_is_noticed(name):
    """Wherever a copy breaks off: after the first bytes, in the middle, near the end."""
    data = FILES[name]
    unnoticed = [size for size in range(8, len(data) - 30) if not damage(name, data[:size])]
    assert unnoticed == []


@pytest.mark.parametrize(
    "name", ["thumb.png", "thumb.jpeg", "film.mp4", "slide.sqreg", "table.biom"]
)
def test_a_single_missing_byte_is_noticed(name):
    """Formats that tell their own length, or have a last word."""
    assert damage(name, FILES[name][:-1]) == tiff.END_MISSING


def test_a_chain_of_pages_that_no_image_has_is_not_followed_to_its_end(monkeypatch):
    """Half a million of them took a minute."""
    monkeypatch.setattr(tiff, "_MOST_CHECKED_PAGES", 10)
    chain = [struct.pack("<HL", 0, 8 + 6 * (number + 1)) for number in range(12)]
    told = damage("t.tiff", struct.pack("<2sHL", b"II", 42, 8) + b"".join(chain))
    assert told == "it has more pages than any real image"


@pytest.mark.parametrize("name", ["c.csv", "model.obj", "tree.newick"])
def test_text_that_turns_into_zeros_is_damaged(name):
    """A copy that broke off keeps its length on many file systems."""
    data = WHOLE.get(name, b"a,b\n1,2\n")
    assert damage(name, data + bytes(9000)) == "a part of it is binary zeros"


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("m.obj", b"f 1 2 3\n", "it has no vertex (a line v x y z)"),
        ("t.newick", b"(a,b)", "it does not end in a semicolon"),
        ("t.newick", b"((a,b);", "it has 2 opening brackets and 1 closing bracket"),
        ("f.mp4", mp4()[:20] + b"\0\0\0\x08free", "its index (the box moov) is missing"),
        (
            "z.zip",
            packed().replace(b"PK\3\4", b"....", 1),
            "a member is not where its directory says",
        ),
        (
            "t.biom",
            hdf5(axes=b"observation"),
            "it has no BIOM table (observation and sample)",
        ),
        ("z.zip", packed()[:-10], "its directory is missing or damaged"),
    ],
)
def test_what_is_missing_is_said(name, data, words):
    """One clause for each."""
    assert damage(name, data) == words


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (png(), "a PNG picture"),
        (packed(), "a ZIP or Office file"),
        (b"%PDF-1.4\n", "a PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file"),
        (bytes(128) + b"DICM", "a DICOM file"),
        (b"\n<!DOCTYPE HTML><title>Sign in</title>", "a web page"),
        (b'[{"a": 1}]', "JSON"),
        (b"age,sex\n61,F\n", ""),
        (b"id1,ftyp\n", ""),
        (b"the marker %PDF-1.4 in a text", ""),
        (b"[a],{b}\n", ""),
    ],
)
def test_what_a_file_is_instead_is_said_if_it_is_certain(data, words):
    """Text is nothing special, whatever it speaks of."""
    assert signatures.recognise_format(data) == words


@pytest.mark.parametrize(
    "data", [b"\xe4;b\n", "\ufeffa;b\n".encode(), "a\tb\n".encode("utf-16"), b"x", b"# empty\n"]
)
def test_any_text_is_csv(data):
    """What spreadsheets write: Latin-1, UTF-8 with a BOM, UTF-16."""
    assert signatures.CSV.begins(data)
    assert signatures.CSV.damage(io.BytesIO(data)) == ""


@given(st.sampled_from(sorted(FILES)), st.data())
def test_no_bytes_break_a_check(name, data):
    """Whatever a file tells of itself, the answer is a clause."""
    whole = bytearray(FILES[name])
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, min(len(whole), 400) - 1))
        whole[place] = data.draw(st.sampled_from([0, 1, 0x7F, 0xFF]))
    cut = data.draw(st.integers(0, len(whole)))
    assert isinstance(damage(name, bytes(whole[:cut])), str)


def test_a_png_with_very_many_parts_is_not_read_to_its_end(monkeypatch):
    """Three million empty parts took a minute of a worker."""
    monkeypatch.setattr(signatures, "MOST_PNG_PARTS", 20)
    empty = struct.pack(">L4s", 0, b"tEXt") + zlib.crc32(b"tEXt").to_bytes(4)
    start, end = png()[:33], png()[33:]
    assert damage("x.png", start + empty * 10 + end) == ""
    assert damage("x.png", start + empty * 20 + end) == "it has more than 500,000 parts"


@pytest.mark.parametrize("start", [8, 8 + 25])
def test_a_png_without_its_header_is_damaged(start):
    """Whoever reads its pixels finds width and height there."""
    assert damage("x.png", png()[:8] + png()[start + 1 :]) == "its header is missing"
    assert damage("x.png", png()[:8] + png()[-12:] + bytes(8)) == "its header is missing"
