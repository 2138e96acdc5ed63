"""All kinds of input, in the order of the table in docs/images.md."""

from support.importer.dicom_kinds import DICOM
from support.importer.frame_kinds import FRAMED
from support.importer.header_kinds import HEADERS
from support.importer.meta_kinds import META
from support.importer.mixed_kinds import MIXED
from support.importer.nifti_kinds import NIFTI
from support.importer.nrrd_kinds import NRRD
from support.importer.number_kinds import NUMBERS
from support.importer.packed_kinds import PACKED
from support.importer.picture_kinds import JPEG, PNG, SLIDES, TIFF

_SERIES = (*DICOM, *PACKED, *FRAMED, *MIXED, *NUMBERS, *HEADERS)
KINDS = (*_SERIES, *NIFTI, *META, *NRRD, *TIFF, *SLIDES, *PNG, *JPEG)
