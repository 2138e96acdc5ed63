"""What a folder shows, read by readers that are not panimg's: pydicom, nibabel, tifffile, Pillow.

MetaImage and NRRD are read by SimpleITK, which panimg uses, too.
"""

import gzip
import warnings

import nibabel
import numpy as np
import PIL.Image
import pydicom
import SimpleITK
import tifffile
from pydicom.pixels import apply_color_lut, apply_modality_lut

from support.importer.judge import Picture


def read_truth(folder):
    """Given a folder of one image, return its picture; None if no reader reads it as one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _read_folder(folder)


def _read_folder(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    datasets = [found for path in paths if (found := _read_dicom(path)) is not None]
    try:
        if datasets:
            return _read_series(datasets)
        return _read_file(paths[0])
    except Exception:  # noqa: BLE001 - each reader raises errors of its own at damaged files
        return None


def _read_file(path):
    with path.open("rb") as file:
        head = file.read(26)
    suffix = "".join(path.suffixes[-2:]).lower()
    if suffix.endswith((".nii", ".nii.gz")):
        return _read_nifti(path)
    if suffix.endswith((".mha", ".mhd", ".nrrd")):
        image = SimpleITK.ReadImage(str(path))
        return Picture(SimpleITK.GetArrayFromImage(image), image.GetSpacing()[:3])
    if head[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}:
        return Picture(tifffile.imread(path))
    with PIL.Image.open(path) as image:
        # Pillow reads 16 bits of each colour as 8.
        if image.format not in {"PNG", "JPEG"} or (head[24:26] in {b"\x10\2", b"\x10\6"}):
            return None
        mode = "RGB" if image.mode in {"P", "PA"} else image.mode
        return Picture(np.array(image.convert(mode)))


def _read_nifti(path):
    data = path.read_bytes()
    data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    image = nibabel.Nifti1Image.from_bytes(data)
    stored = np.asanyarray(image.dataobj)
    if stored.dtype.names:
        stored = np.stack([stored[name].T for name in stored.dtype.names], axis=-1)
        return Picture(stored, _in_mm(image))
    voxels = stored.T
    if voxels.ndim == 5 and voxels.shape[1] == 1:
        voxels = np.moveaxis(voxels[:, 0], 0, -1)
    return Picture(voxels, _in_mm(image))


def _in_mm(image):
    unit = {"meter": 1000.0, "micron": 0.001}.get(image.header.get_xyzt_units()[0], 1.0)
    return tuple(float(step) * unit for step in image.header.get_zooms()[:3])


# --- DICOM -------------------------------------------------------------------------------------


def _read_dicom(path):
    try:
        dataset = pydicom.dcmread(path, force=True)
    except Exception:  # noqa: BLE001 - pydicom has no common base for what is wrong with a file
        return None
    return dataset if any(name in dataset for name in ("PixelData", "FloatPixelData")) else None


def _read_series(datasets):
    """Stack slices by their places; all must be of one series and have all their pixels."""
    for dataset in datasets:
        if "TransferSyntaxUID" not in dataset.file_meta:
            dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    if len({dataset.SeriesInstanceUID for dataset in datasets}) > 1:
        return None
    if len(datasets) == 1:
        return Picture(_read_pixels(datasets[0]), _pixel_spacing(datasets[0]))
    if len({dataset.SOPInstanceUID for dataset in datasets}) < len(datasets):
        return None
    directions = {tuple(dataset.get("ImageOrientationPatient") or ()) for dataset in datasets}
    if len(directions) > 1:
        return None
    heights = [_height(dataset) for dataset in datasets]
    if None in heights:
        numbers = [int(dataset.InstanceNumber) for dataset in datasets]
        order = np.argsort(numbers)
        return Picture(_stack(datasets, order), _pixel_spacing(datasets[0]))
    order = np.argsort(heights)
    steps = np.diff(np.array(heights)[order])
    if not np.allclose(steps, steps[0], rtol=0.02) or steps[0] < 1e-6:
        return None
    return Picture(_stack(datasets, order), (*_pixel_spacing(datasets[0]), steps.mean()))


def _stack(datasets, order):
    return np.stack([_read_pixels(datasets[index]) for index in order])


def _height(dataset):
    place, direction = (
        dataset.get("ImagePositionPatient"),
        dataset.get("ImageOrientationPatient"),
    )
    if not place or not direction:
        return None
    rows, columns = np.array(direction[:3], float), np.array(direction[3:], float)
    normal = np.cross(rows, columns)
    # panimg goes along the sum of the three directions.
    way = np.sign(np.dot(normal, rows + columns + normal))
    return float(np.dot(np.array(place, float), normal) * way)


def _pixel_spacing(dataset):
    spacing = dataset.get("PixelSpacing")
    return (float(spacing[1]), float(spacing[0])) if spacing else ()


def _read_pixels(dataset):
    voxels = dataset.pixel_array
    colour = dataset.get("PhotometricInterpretation")
    if colour == "PALETTE COLOR":
        return apply_color_lut(voxels, dataset)
    if colour == "MONOCHROME1":
        voxels = int(voxels.min()) + int(voxels.max()) - voxels.astype("i8")
    if "DoseGridScaling" in dataset:
        return voxels * float(dataset.DoseGridScaling)
    return apply_modality_lut(voxels, dataset)
