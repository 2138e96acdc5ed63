"""Kinds of DICOM input whose pixels are compressed: whole, cut, and other than is told."""

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.encaps import encapsulate, generate_frames

from support.importer.dicom_files import picture, random_voxels, slice_dataset, write_dataset
from support.importer.judge import Picture
from support.importer.kinds import NOTHING, RIGHT, UNFOUND, WRONG, Kinds

PACKED = Kinds("DICOM")
_VOXELS = random_voxels(3, 32, 40, dtype="<u2")  # JPEG 2000 needs some pixels for its levels
_DAMAGED = "damaged_image"


def _jpeg_2000(pixels):
    return imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True)


def _rle(pixels):
    dataset = slice_dataset(pixels)
    dataset.compress(uid.RLELossless, generate_instance_uid=False)
    return next(generate_frames(dataset.PixelData))


def _half(frame):
    return frame[: len(frame) // 4 * 2]


def _series(folder, pack, syntax, change=lambda frame: frame):
    """Write compressed slices; `change` is what happens to the last one."""
    for index, pixels in enumerate(_VOXELS):
        frame = pack(pixels)
        frame = change(frame) if index == len(_VOXELS) - 1 else frame
        _write(folder, slice_dataset(pixels, index + 1, (0, 0, 2.0 * index)), [frame], syntax)
    return picture(_VOXELS)


def _write(folder, dataset, frames, syntax, **more):
    dataset.PixelData = encapsulate(frames, **more)
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    write_dataset(folder, dataset)


def _add_codec(name, pack, syntax, cut, cut_closed):
    """Add what may happen to a slice of one compression.

    `cut` is what panimg makes of half a slice, `cut_closed` what gcwatch makes of it with an
    end mark behind.
    """
    small, gray = _VOXELS[0][:16, :20].copy(), np.stack([_VOXELS[0]] * 3, -1)

    PACKED.add(f"compressed with {name}", RIGHT)(lambda folder: _series(folder, pack, syntax))

    @PACKED.add(f"{name}, cut off", cut, _DAMAGED)
    def cut_off(folder):
        _series(folder, pack, syntax, _half)

    @PACKED.add(f"{name}, cut off, with an end mark", cut, cut_closed)
    def closed(folder):
        _series(folder, pack, syntax, lambda frame: _half(frame) + b"\xff\xd9")

    @PACKED.add(f"{name}, a smaller picture than told", NOTHING, _DAMAGED)
    def smaller(folder):
        _series(folder, pack, syntax, lambda _: pack(small))

    @PACKED.add(f"{name}, more bytes behind its end", RIGHT)
    def longer(folder):
        return _series(folder, pack, syntax, lambda frame: frame + frame)

    if name != "lossless JPEG":

        @PACKED.add(f"{name}, in colour and not gray as told", NOTHING, _DAMAGED)
        def coloured(folder):
            _series(folder, pack, syntax, lambda _: pack(gray))


_add_codec("JPEG 2000", _jpeg_2000, uid.JPEG2000Lossless, NOTHING, _DAMAGED)
_add_codec("JPEG-LS", imagecodecs.jpegls_encode, uid.JPEGLSLossless, WRONG, UNFOUND)
_add_codec("lossless JPEG", imagecodecs.ljpeg_encode, uid.JPEGLosslessSV1, WRONG, UNFOUND)
_add_codec("RLE", _rle, uid.RLELossless, NOTHING, _DAMAGED)


@PACKED.add("lossless JPEG of 8 bits where 16 are told", NOTHING, _DAMAGED)
def narrow(folder):
    _series(
        folder,
        imagecodecs.ljpeg_encode,
        uid.JPEGLosslessSV1,
        lambda _: imagecodecs.ljpeg_encode(_VOXELS[2].astype("u1")),
    )


def _film(folder, frames, count, **more):
    dataset = slice_dataset(_VOXELS, NumberOfFrames=count)
    _write(folder, dataset, frames, uid.JPEG2000Lossless, **more)


@PACKED.add("compressed frames", RIGHT)
def frames(folder):
    _film(folder, [*map(_jpeg_2000, _VOXELS)], 3)
    return Picture(_VOXELS, (0.5, 0.5))


@PACKED.add("compressed frames, each in two parts", RIGHT)
def split_frames(folder):
    _film(folder, [*map(_jpeg_2000, _VOXELS)], 3, fragments_per_frame=2)
    return Picture(_VOXELS, (0.5, 0.5))


@PACKED.add("fewer compressed frames than told", NOTHING, _DAMAGED)
def fewer_frames(folder):
    _film(folder, [*map(_jpeg_2000, _VOXELS[:2])], 3, has_bot=False)


@PACKED.add("more compressed frames than told", WRONG, _DAMAGED)
def more_frames(folder):
    _film(folder, [*map(_jpeg_2000, _VOXELS)], 2)


@PACKED.add("compressed frames, the second cut off", NOTHING, _DAMAGED)
def cut_frame(folder):
    first, second, third = map(_jpeg_2000, _VOXELS)
    _film(folder, [first, _half(second), third], 3)
