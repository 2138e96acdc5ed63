"""Checks of an image against its socket: displacement fields and segmentations (platform 13.12)."""

from array import array

from gcwatch.sandbox import metaimage
from gcwatch.sandbox.content.catalogue import Socket
from gcwatch.sandbox.content.socket_kinds import DISPLACEMENT
from gcwatch.sandbox.metaimage import Volume
from gcwatch.sandbox.model import Image

_MAX_SEGMENTS = 64
_UNKNOWN_SEGMENTS = (
    "Image segments could not be determined, ensure the voxel values are integers and that it "
    f"contains no more than {_MAX_SEGMENTS} segments. Ensure the image has the minimum and "
    "maximum voxel values set as tags if the image is a TIFF file"
)


def find_misfit(socket: Socket, image: Image) -> str | None:
    """Return the platform's message, without full stop, if an image does not fit; else None."""
    if socket.kind == DISPLACEMENT:
        return _find_displacement_misfit(image)
    return _find_segmentation_misfit(socket, image) if socket.segments else None


def _find_displacement_misfit(image: Image) -> str | None:
    if len(image.size) + (image.channels > 1) != 4:
        return "Deformation and displacement must be 4D images"
    if image.channels > 1:
        return "Deformation and displacement fields cannot have a color component"
    if image.size[3] != 3:
        return "Deformation and displacement field's 4th dimension must be a 3-component vector"
    return None


def _find_segmentation_misfit(socket: Socket, image: Image) -> str | None:
    if image.segments is None:
        return _UNKNOWN_SEGMENTS
    # 0 is the background, which a socket need not declare.
    allowed = {0} | {value for value, _ in socket.segments}
    others = set(image.segments) - allowed
    if not others:
        return None
    return (
        f"The valid voxel values for this segmentation are: {allowed}. This segmentation is "
        f"invalid as it contains the voxel values: {others}"
    )


def find_segments(volume: Volume) -> tuple[int, ...] | None:
    """Return the values of a volume's voxels, or None if it cannot be a segmentation.

    A segmentation has 8 bits, one channel and at most 64 values. With a fourth axis it has one
    segment per 3D volume, whose voxels are 0 or 1.
    """
    if volume.typecode not in "bB" or volume.channels > 1 or volume.verbatim:
        return None
    known = b""
    for piece in metaimage.read_pieces(volume.raw):
        known += bytes(set(piece.translate(None, delete=known)))
        if len(known) > _MAX_SEGMENTS:
            return None
    found = set(array(volume.typecode, known))
    if len(volume.size) == 4:
        return tuple(range(1, volume.size[3] + 1)) if found <= {0, 1} else None
    return tuple(sorted(found))
