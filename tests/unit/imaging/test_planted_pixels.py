"""No name leaves that is hidden beside or within the pixels of a DICOM file."""

import io
import struct
import zipfile

import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML, ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless
from support.importer.sending import send_folder
from support.planted_dicom import NAME, sent
from support.slices import one_slice, series

from gcwatch.core.errors import CannotSend
from gcwatch.imaging.codestreams.errors import CantScrub
from gcwatch.imaging.codestreams.jpeg_2000 import blank_jpeg_2000

JPIP = "1.2.840.10008.1.2.4.94"


def test_only_pixels_go_out(folder):
    """Bytes behind the last pixel are not sent."""
    one_slice(folder / "1", 1, (0, 0, 0), PixelData=b"12345678" + NAME * 1000)
    assert pydicom.dcmread(io.BytesIO(sent(folder))).PixelData == b"12345678"


def segment(marker, content):
    return bytes((0xFF, marker)) + struct.pack(">H", 2 + len(content)) + content


JFIF = segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\0\0")
FRAME = segment(0xC0, b"\x08\0\x02\0\x02\x01\1\x11\0")
SCAN = segment(0xDA, b"\1\1\0\0\x3f\0") + b"\x12\xff\0\x34\xff\xd0\x56"
JPEG = b"\xff\xd8" + JFIF + segment(0xE1, NAME) + segment(0xFE, NAME) + FRAME + SCAN + b"\xff\xd9"


def compress(path, data, syntax=JPEGBaseline8Bit, **more):
    """Write a slice with these bytes as its compressed pixels."""
    one_slice(path, 1, (0, 0, 0))
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = data
    dataset["PixelData"].is_undefined_length = True
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)


def test_comments_of_compressed_frames_become_zeros(folder):
    """So are application segments but for colours, bytes behind the end, and a false table."""
    data = encapsulate([JPEG + NAME * 3])
    compress(folder / "1", data[:8] + NAME[:4] + data[12:])
    copy = sent(folder)
    assert NAME[:4] not in copy
    assert JFIF in copy
    assert SCAN + b"\xff\xd9" in copy


@pytest.mark.parametrize("frames", [1, 2])
def test_a_frame_in_several_fragments_is_cleaned_as_one(folder, frames):
    """The name is behind an end that is in the last fragment; pieces keep their places."""
    whole = JPEG + NAME * 3 + b"\0" * (len(JPEG) % 2)
    data = encapsulate([whole] * frames, fragments_per_frame=3, has_bot=False)
    compress(folder / "1", data, NumberOfFrames=frames)
    copy = sent(folder)
    assert NAME not in copy
    assert copy[-len(data) - 40 :].count(b"\xfe\xff\x00\xe0") == 1 + 3 * frames


def test_fragments_that_belong_to_no_known_frame_are_refused(folder):
    """Three pieces of two frames, one of which begins as a frame does."""
    compress(folder / "1", encapsulate([JPEG, NAME, NAME]), NumberOfFrames=2)
    assert "pieces" in refusal(folder)


def refusal(folder):
    """Why a file is not sent."""
    with pytest.raises(CannotSend) as caught:
        sent(folder)
    assert caught.value.reason.code == "not_deidentified"
    return caught.value.reason.facts["problem"]


@pytest.mark.parametrize(
    "frame",
    [
        JPEG[:2] + segment(0xDB, bytes(65) + NAME) + JPEG[2:],
        JPEG[:2] + segment(0xC4, b"\0" + bytes(16) + NAME) + JPEG[2:],
        JPEG[:2] + segment(0xDD, NAME) + JPEG[2:],
        JPEG[:2] + segment(0xCC, NAME) + JPEG[2:],
        JPEG[:2] + segment(0xF3, NAME) + JPEG[2:],
        JPEG[:2] + segment(0xF8, b"\2\1\1" + NAME) + JPEG[2:],
        JPEG.replace(FRAME, segment(0xC0, FRAME[4:] + NAME)),
        JPEG.replace(SCAN, segment(0xDA, SCAN[4:10] + NAME)),
        JPEG[:2] + NAME + JPEG[2:],
        JPEG[:-2] + NAME,
        NAME + JPEG,
    ],
)
def test_a_jpeg_with_anything_else_than_its_tables_is_refused(folder, frame):
    """Nobody knows what its bytes are: longer tables, unknown segments, no beginning, no end."""
    compress(folder / "1", encapsulate([frame]))
    assert "JPEG" in refusal(folder)


def change_syntax(path, old, new):
    content = path.read_bytes()
    assert old.encode() in content
    path.write_bytes(content.replace(old.encode(), new.encode().ljust(len(old), b"\0"), 1))


@pytest.mark.parametrize("syntax", [MPEG2MPML, JPIP, ExplicitVRLittleEndian])
def test_videos_and_unknown_compressions_are_refused(folder, syntax):
    """Not all places are known where they hold names; nor if the header says another one."""
    compress(folder / "1", encapsulate([NAME]), MPEG2MPML)
    change_syntax(folder / "1", MPEG2MPML, syntax)
    assert "compressed" in refusal(folder)


def test_compressed_pixels_without_fragments_are_refused(folder):
    """They are no pixels one after the other, although they look so."""
    one_slice(folder / "1", 1, (0, 0, 0), PixelData=encapsulate([JPEG]))
    change_syntax(folder / "1", ExplicitVRLittleEndian + "\0", RLELossless)
    assert "compressed" in refusal(folder)


def test_a_slice_that_only_cleaning_finds_damaged_is_left_out_of_a_series(folder):
    """With integrity = "warn": the others are sent."""
    series(folder, [0, 1, 2])
    for number, path in enumerate(sorted(folder.iterdir())):
        hidden = segment(0xDD, NAME) if number == 1 else b""
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit = 7
        dataset.PixelData = encapsulate([JPEG[:2] + hidden + JPEG[2:]])
        dataset["PixelData"].is_undefined_length = True
        dataset.save_as(path)
    made = send_folder(folder, folder.parent / "spool", integrity="warn")
    assert [reason.code for reason in made.warnings][-1] == "left_out"
    with zipfile.ZipFile(made.file) as archive:
        contents = [archive.read(name) for name in archive.namelist()]
    assert len(contents) == made.files == 2
    assert not any(NAME in each for each in contents)


def run_lengths(*segments, gap=b""):
    """A frame in run lengths."""
    starts, at = [], 64 + len(gap)
    for each in segments:
        starts.append(at)
        at += len(each)
    head = struct.pack("<16L", len(segments), *starts, *[0] * (15 - len(segments)))
    return head + gap + b"".join(segments)


PLANE = b"\x03abcd"
"""Four bytes in run lengths."""


def test_bytes_around_run_lengths_become_zeros(folder):
    """Those behind each segment, before the first one, and unused places of the header."""
    frame = run_lengths(PLANE + NAME, b"\xfdx" + NAME, gap=NAME)
    frame = frame[:12] + NAME + frame[24:]
    compress(folder / "1", encapsulate([frame]), RLELossless)
    copy = sent(folder)
    assert NAME[:8] not in copy
    assert PLANE in copy


@pytest.mark.parametrize(
    "frame",
    [NAME, run_lengths(b"\x03ab"), run_lengths(b"\x04abcde"), run_lengths(), run_lengths(b"\x80")],
)
def test_damaged_run_lengths_are_refused(folder, frame):
    """Too short, too long, without a segment."""
    compress(folder / "1", encapsulate([frame]), RLELossless)
    assert "run-length" in refusal(folder)


def jpeg_2000():
    path = pydicom.data.get_testdata_file("MR_small_jp2klossless.dcm")
    dataset = pydicom.dcmread(path)
    [frame] = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1)
    assert b"Created" in frame or b"Kakadu" in frame
    return bytearray(frame[: frame.rindex(b"\xff\xd9") + 2])


@pytest.mark.parametrize("is_told", [True, False])
def test_comments_of_jpeg_2000_become_zeros(is_told):
    """And what is behind its end, also before a second one; the tile may have no length."""
    frame = jpeg_2000()
    if not is_told:
        tile = frame.index(b"\xff\x90")
        frame[tile + 6 : tile + 10] = bytes(4)
    clean = frame + NAME + b"\xff\xd9"
    blank_jpeg_2000(clean)
    assert not any(word in clean for word in (b"Created", b"Kakadu", NAME))
    assert len(clean) == len(frame + NAME) + 2
    data = frame.index(b"\xff\x93")
    assert clean[data:].startswith(frame[data:])


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: NAME + frame,
        lambda frame: frame[:-2],
        lambda frame: frame[:60],
        lambda frame: frame.replace(b"\xff\x90", b"\xff\x30" + NAME + b"\xff\x90"),
        lambda frame: frame.replace(b"\xff\x64", b"\xff\x6a"),
    ],
)
def test_a_damaged_jpeg_2000_is_refused(change):
    """Cut off, or with something unknown."""
    with pytest.raises(CantScrub):
        blank_jpeg_2000(bytearray(change(bytes(jpeg_2000()))))
