"""What is wrong with the images of a folder: they would arrive as others, or not at all."""

from collections.abc import Mapping
from typing import Final

from gcwatch.core.catalogue.entry import ReasonEntry

_ASK = "If this series is correct as it is, ask IT to allow it."

IMAGE_REASONS: Final[Mapping[str, ReasonEntry]] = {
    "no_image": ReasonEntry(
        "This folder contains no image that can be used.",
        "Files match {pattern} for socket {socket}, but none of them is an image.",
        advice="Export the images again: DICOM, MetaImage, NIfTI, NRRD, TIFF, a slide, PNG or "
        "JPEG.",
    ),
    "unreadable_format": ReasonEntry(
        "The image of this folder is of a format that the platform can't read.",
        "{file} is {what}.",
        advice="Convert it to {wanted}.",
    ),
    "no_pixels": ReasonEntry(
        "This folder contains DICOM files, but no image: reports, spectra, plans or an index.",
        "{file} is {what}; no file matches a DICOM image class.",
        advice="Export the images themselves into the folder.",
    ),
    "several_images": ReasonEntry(
        "This folder contains more than one image ({found}); exactly one can be sent.",
        "Socket {socket} takes one image; found {found}.",
        advice="Put each series into a folder of its own.",
        hint='A route can also take each series as a case (cases = "series"). A narrower glob in '
        "the inputs (in the route, or --input) can name the right one.",
    ),
    "damaged_image": ReasonEntry(
        "An image of this folder is damaged or incomplete.",
        "{file}: {problem}.",
        advice="Export the images again.",
    ),
    "detached_header": ReasonEntry(
        "An image of this folder is split into two files, which the platform can't read.",
        "{file} is an NRRD header whose data are in another file.",
        advice="Save the image as one file: .nrrd with the header attached, MetaImage or NIfTI.",
    ),
    "slice_twice": ReasonEntry(
        "An image of this folder is there twice; it would count as two.",
        "{file} and {other} are the same instance.",
        advice="Remove one of the two files.",
    ),
    "slices_missing": ReasonEntry(
        "Slices of this image series are missing, so the image would be incomplete.",
        "{count} of {expected} slices {count:is|are} missing, at {where}.",
        advice=f"Export the whole series again. {_ASK}",
    ),
    "slices_overlap": ReasonEntry(
        "Slices of this image series lie at the same place or overlap.",
        "{count} {count:slice is|slices are} too close to others, at {where}.",
        advice="Most likely two exports or two reconstructions are mixed: keep one slice for each "
        f"place. {_ASK}",
    ),
    "slices_uneven": ReasonEntry(
        "The slices of this image series are not evenly spaced.",
        "{count} {count:distance differs|distances differ} from the others, at {where}; the "
        "platform treats all as even.",
        advice=f"Export the whole series again. {_ASK}",
    ),
    "slices_unplaced": ReasonEntry(
        "This image series contains images that are not slices of it.",
        "{count} of {total} files {count:has no position or is a localizer|have no position or are "
        "localizers}.",
        advice="Remove localizers, scout images and screenshots from the series.",
        hint="A narrower glob in the inputs (in the route, or --input) can leave them out.",
    ),
    "slices_disordered": ReasonEntry(
        "The slices of this image series are not numbered in the order of their positions.",
        "The platform sorts by InstanceNumber, which does not follow the slices' positions.",
        advice=f"Export the series again with its slices numbered in order. {_ASK}",
    ),
    "several_patients": ReasonEntry(
        "The images of this series do not all belong to one patient.",
        "The files of one series have different values of {elements}.",
        advice="Export the series of each patient again, each into a folder of its own.",
    ),
    "several_multiframe": ReasonEntry(
        "This image series contains several files of many pictures each, or one such file and "
        "other pictures.",
        "{count} of {total} files {count:is|are} multi-frame; the platform reads only one such "
        "file of a series.",
        advice="Put each of these images into a folder of its own.",
    ),
    "frames_removed": ReasonEntry(
        "This image holds many pictures in one file; only the first would arrive.",
        "The file has {count} frames; de-identification removes NumberOfFrames.",
        advice="Export the image again with one file for each slice.",
    ),
    "stack_removed": ReasonEntry(
        "The image in this folder is made of several series, which would be taken apart.",
        "One StackID joins {count} series; de-identification removes it, so the platform makes "
        "{count} images.",
        advice="Export the image again as one series.",
    ),
    "sizes_differ": ReasonEntry(
        "The images of this series are of different sizes or types.",
        "{count} kinds of Rows, Columns, SamplesPerPixel, BitsAllocated, PixelRepresentation and "
        "PhotometricInterpretation are in one series; the platform takes one for all.",
        advice="Put the images of each size and type into a folder of their own.",
    ),
    "spacings_differ": ReasonEntry(
        "The pixels of this image series are not all of the same size.",
        "PixelSpacing differs between the slices; the platform takes one for all.",
        advice=f"Put the images of each pixel size into a folder of their own. {_ASK}",
    ),
    "pixels_oblong": ReasonEntry(
        "The pixels of this image are not square; their width and height would be exchanged.",
        "The two numbers of PixelSpacing differ; the platform takes the first as the width.",
        advice=f"Export the image again with square pixels, or as NIfTI or MetaImage. {_ASK}",
    ),
    "references_differ": ReasonEntry(
        "The slices of this image series were not all taken in the same position of the patient.",
        "{count} different FrameOfReferenceUIDs are in one series; their positions can't be "
        "compared.",
        advice=f"Put the slices of each scan into a folder of their own. {_ASK}",
    ),
    "slopes_removed": ReasonEntry(
        "The brightness of the slices of this series could not be compared after sending.",
        "{count} pairs of RescaleSlope and RescaleIntercept are in one MR series; "
        "de-identification removes them.",
        advice="Export the series again with the same scale for all slices.",
    ),
    "values_differ": ReasonEntry(
        "The values or colours of this image would not arrive as they are meant.",
        "The platform gets only the stored numbers: {problem}.",
        advice=f"Export the image again with its final values in the pixels. {_ASK}",
    ),
    "times_uneven": ReasonEntry(
        "This series was taken at several times. The files do not say clearly which slice belongs "
        "to which time, so the platform would mix the times.",
        "The series has {times} different TemporalPositionIndex, but {count} "
        "{count:slice|slices} at each position; the platform makes {times} volumes.",
        advice=f"Export the whole series again. {_ASK}",
    ),
    "times_removed": ReasonEntry(
        "This series shows every place several times; the times would be mixed into one volume.",
        "{count} slices lie at each position; de-identification removes the "
        "TemporalPositionIndex that tells them apart.",
        advice=f"Put the slices of each time into a folder of their own. {_ASK}",
    ),
    "places_shared": ReasonEntry(
        "Several slices of this image series lie at each place, and nothing tells them apart.",
        "{count} slices lie at each position without a TemporalPositionIndex for each; the "
        "platform makes one volume of all.",
        advice=f"Put the slices of each kind or time into a folder of their own. {_ASK}",
    ),
    "pictures_differ": ReasonEntry(
        "This image series contains pictures of different kinds, which would become one volume.",
        "The slices differ in {elements}, and each lies at a place of its own.",
        advice=f"Put the pictures of each kind into a folder of their own. {_ASK}",
    ),
    "planes_differ": ReasonEntry(
        "The slices of this image series are not parallel.",
        "{count} different orientations are in one series; the platform takes one for all.",
        advice=f"Put the slices of each plane into a folder of their own. {_ASK}",
    ),
    "slices_tilted": ReasonEntry(
        "The slices of this image series are shifted sideways, so the image would be sheared.",
        "A slice lies {shift} mm beside the normal of the first one, at a height of {height} mm "
        "(gantry tilt).",
        advice=f"Export the series again after a correction of the tilt. {_ASK}",
    ),
    "burned_in": ReasonEntry(
        "The picture itself may show the patient's name, so it is not sent.",
        "A name may be burnt into the pixels of {file}: {problem}.",
        advice="Export the images again without names in the picture. If that is not possible, "
        "ask IT.",
        hint="docs/privacy.md says what a route can do about names in pictures (burned_in, blank).",
    ),
    "not_blanked": ReasonEntry(
        "The part of the picture that may show the patient's name can't be blacked out, so it is "
        "not sent.",
        "The regions of blank can't be applied to {file}: its pixels are compressed or incomplete.",
        advice="Export the images again without compression.",
    ),
    "not_deidentified": ReasonEntry(
        "The patient's name can't be removed from this kind of image, so it is not sent.",
        "De-identification refused {file}: {problem}.",
        advice="If this image is not needed, remove it from the folder. If it is, ask IT.",
        hint="A narrower glob in the inputs (in the route, or --input) can leave such files out. "
        "If the image is "
        "needed: export it in another format, or write a procedure of your own for its class "
        "(docs/privacy.md, procedure).",
    ),
    "sent_unscrubbed": ReasonEntry(
        "This image was sent with everything that its file says beside the picture.",
        "{file} is a file of the format {format}, whose headers and labels can't be removed; the "
        "route's unscrubbed names this format.",
        advice="If that is not wanted, tell IT.",
    ),
    "mixed_dicom_set": ReasonEntry(
        "The images of this folder do not all belong to one patient, study and series.",
        "Socket {socket} takes files that share {elements}; these do not.",
        advice="Export the series again on its own.",
    ),
    "no_series_fits": ReasonEntry(
        "This folder contains no series that is wanted here.",
        "None of its {count} {count:series|series} fits: {series}.",
        advice="Put the wanted series into the folder. If one of these is wanted, tell IT which.",
        hint="Look at the key only of the route.",
    ),
    "left_out": ReasonEntry(
        "A damaged file was left out, as the patient's name can't be removed from it.",
        "{file} was not sent: {problem}.",
        advice="Use the result with care. Export the images again to have all of them analysed.",
    ),
}
