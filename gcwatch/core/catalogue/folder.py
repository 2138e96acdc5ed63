"""What is wrong with a folder that was dropped, or with its images."""

from collections.abc import Mapping
from typing import Final

from gcwatch.core.catalogue.entry import ReasonEntry

_ASK = "If this series is correct as it is, ask IT to allow it."

FOLDER_REASONS: Final[Mapping[str, ReasonEntry]] = {
    "changed_late": ReasonEntry(
        "The folder has changed since it was sent: {difference}. The results are of the folder as "
        "it was before.",
        "When it was sent it had {sent_files} {sent_files:file|files} ({sent_bytes:size}), now it "
        "has {files} ({bytes:size}). Nothing was sent again.",
        advice="If the change belongs to this patient, take the folder out of the inbox, wait two "
        "minutes, and drop it again: new results then appear beside the old ones. If it does not, "
        "put the folder back as it was.",
        hint='With changed = "send" such a folder is sent again by itself.',
    ),
    "inbox_away": ReasonEntry(
        "The inbox can't be reached at the moment; the folder waits.",
        "The inbox is missing, empty or unreadable ({error}); a share may be unmounted.",
        hint="Mount the share again; nothing else is needed.",
        needs_person=True,
    ),
    "inbox_too_full": ReasonEntry(
        "There is too much in the inbox: nothing new is taken from it until there is less.",
        "The inbox has more than {limit} entries; gcwatch does not list more.",
        advice="Take out of the inbox what is done.",
        hint='Move what is done out of it; after = "move" does that after each delivery.',
        needs_person=True,
    ),
    "waiting_for_marker": ReasonEntry(
        "The folder is not marked as complete yet.",
        "The marker file {marker} is not there.",
        advice="Put {marker} into the folder when everything is in it.",
        needs_person=True,
    ),
    "settling": ReasonEntry(
        "Complete when nothing has changed for {settle:span}.",
        "gcwatch counts real seconds, also if the clock of this machine is set.",
    ),
    "copy_under_way": ReasonEntry(
        "A copy into this folder is under way: gcwatch has waited for {file} since {since}.",
        "The folder has had a temporary file since {since}: {file}. It is never sent.",
        needs_person=True,
    ),
    "copy_stopped": ReasonEntry(
        "A copy into this folder has stopped: {file} is not complete, and nothing has changed "
        "since {since}.",
        "A temporary file of a copy is in the folder, unchanged since {since}: {file}.",
        advice="Copy the folder again. If everything is there, delete {file}.",
        needs_person=True,
    ),
    "files_missing": ReasonEntry(
        "{found} of {wanted} {what} are here; the folder waits for the rest.",
        "The route expects {wanted} {what}, and the folder has {found}.",
        advice="Copy the missing {what} into the folder.",
        needs_person=True,
    ),
    "files_unexpected": ReasonEntry(
        "This folder has {found} {what}, but {wanted} are expected; nothing is sent.",
        "The route expects {wanted} {what}, and the folder has {found}.",
        advice="Take out what does not belong to this case. If all of it does, ask IT.",
        hint="Correct expect in the route, or the number in the file that it names.",
        needs_person=True,
    ),
    "number_missing": ReasonEntry(
        "The file {file}, which says how many {what} belong to this folder, is not here yet.",
        "The route's expect reads the number of {what} from {file}.",
        advice="Copy {file} into the folder.",
        needs_person=True,
    ),
    "number_unreadable": ReasonEntry(
        "The file {file} does not say how many {what} belong to this folder.",
        "{file} must hold a whole number from 1 to {most}, in JSON under the key in expect.",
        advice="Correct {file}, or ask IT.",
        hint="Compare {file} with the route's expect.",
        needs_person=True,
    ),
    "being_written": ReasonEntry(
        "A file of this folder is still being written; the folder waits.",
        "A file changed while gcwatch read its header; its series is not known yet.",
    ),
    "file_unreadable": ReasonEntry(
        "A file of this folder can't be read.",
        "Reading {file} failed: {error}.",
        advice="Copy the file into the folder again. If that does not help, ask IT.",
        hint="Give the user that runs gcwatch the right to read it; remove broken links.",
        patience=6,
    ),
    "too_deep": ReasonEntry(
        "This folder holds folders within folders, more than {limit} levels deep.",
        "The folders are nested more than {limit} levels deep; no image is looked for there.",
        advice="Put the images into the folder itself, and drop it again.",
    ),
    "folder_too_full": ReasonEntry(
        "This folder holds more than {limit} files and folders; nothing of it is sent.",
        "There are more than {limit} entries below the folder; gcwatch does not look at more.",
        advice="Drop one examination at a time, each in a folder of its own.",
    ),
    "name_too_long": ReasonEntry(
        "A file of this folder has a name that is too long, with the folders around it.",
        "The path of a file below the folder has more than {limit} bytes.",
        advice="Give the folders shorter names, or put the images into the folder itself.",
    ),
    "link_outside": ReasonEntry(
        "This folder holds a link to another place; gcwatch does not follow it.",
        "{file} is a symbolic link that leads out of its folder.",
        advice="Copy the files themselves into the folder.",
    ),
    "empty_file": ReasonEntry(
        "A file of this folder is empty.",
        "{file} has 0 bytes; the platform can't import it.",
        advice="Copy the file again from its original location.",
    ),
    "no_files": ReasonEntry(
        "This folder holds no file that can be used.",
        "No file matches {pattern} for socket {socket}.",
        advice="Check that this is the right folder. If it is, ask IT.",
        hint="Compare the folder with the route's inputs: gcwatch plan.",
    ),
    "missing_file": ReasonEntry(
        "A file is missing in this folder: {pattern}.",
        "No file matches {pattern} for socket {socket}.",
        advice="Add the file to the folder. If none belongs there, ask IT.",
        hint="Compare the folder with the route's inputs: gcwatch plan.",
    ),
    "missing_value": ReasonEntry(
        "A file is missing in this folder: {pattern}.",
        "No file matches {pattern} for the value of socket {socket}.",
        advice="Add the file to the folder. If none belongs there, ask IT.",
        hint="If {pattern} is no file but the value itself, write it as JSON, a text in quotes: "
        '--input \'{socket}="{pattern}"\', or {socket} = {{ value = "{pattern}" }} in the config.',
    ),
    "no_image": ReasonEntry(
        "This folder holds no image that can be used.",
        "Files match {pattern} for socket {socket}, but none of them is an image.",
        advice="Export the images again: DICOM, MetaImage, NIfTI, NRRD, TIFF, a slide, PNG or "
        "JPEG.",
    ),
    "packed_images": ReasonEntry(
        "The images of this folder are packed in an archive, which has to be unpacked first.",
        "{file} is {what}; nothing in it can be checked or de-identified.",
        advice="Unpack it into the folder, and remove it.",
    ),
    "unreadable_format": ReasonEntry(
        "The image of this folder is of a format that the platform can't read.",
        "{file} is {what}.",
        advice="Convert it to {wanted}.",
    ),
    "no_pixels": ReasonEntry(
        "This folder holds DICOM files, but no image: reports, spectra, plans or an index.",
        "{file} is {what}; no file matches a DICOM image class.",
        advice="Export the images themselves into the folder.",
    ),
    "too_many_files": ReasonEntry(
        "This folder holds more files than can be used.",
        "{count} files match {pattern} for socket {socket}, which takes one.",
        advice="Leave only the file that is needed in the folder.",
        hint="If the folder is as it should be, make the route's pattern narrower.",
    ),
    "several_images": ReasonEntry(
        "This folder holds more than one image ({found}); exactly one can be sent.",
        "Socket {socket} takes one image; found {found}.",
        advice="Put each series into a folder of its own.",
        hint='The route can also take each series as a case (cases = "series"), or name the right '
        "one by a narrower glob in its inputs.",
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
        "This image series holds images that are not slices of it.",
        "{count} of {total} files {count:has no position or is a localizer|have no position or are "
        "localizers}.",
        advice="Remove localizers, scout images and screenshots from the series.",
        hint="A narrower glob in the route's inputs can leave them out.",
    ),
    "slices_disordered": ReasonEntry(
        "The slices of this image series are not numbered in the order of their positions.",
        "The platform sorts by InstanceNumber, which does not follow the slices' positions.",
        advice=f"Export the series again with its slices numbered in order. {_ASK}",
    ),
    "several_patients": ReasonEntry(
        "The images of this series do not all belong to one patient.",
        "The files of one series hold {count} different pairs of PatientID and PatientName.",
        advice="Export the series of each patient again, each into a folder of its own.",
    ),
    "several_multiframe": ReasonEntry(
        "This image series holds several files of many pictures each, or one such file and other "
        "pictures.",
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
        "This series shows the same places at several times, but its slices do not say clearly "
        "which belongs to which time: they would be mixed.",
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
    "not_deidentified": ReasonEntry(
        "The patient's name can't be removed from this kind of image, so it is not sent.",
        "De-identification refused {file}: {problem}.",
        advice="If this image is not needed, remove it from the folder. If it is, ask IT.",
        hint="A narrower glob in the route's inputs can leave such files out. An image that "
        "is needed must come in a format that can be de-identified: ask the scanner's "
        "vendor, or the platform's support.",
    ),
    "mixed_dicom_set": ReasonEntry(
        "The images of this folder do not all belong to one patient, study and series.",
        "Socket {socket} takes files that share {elements}; these do not.",
        advice="Export the series again on its own.",
    ),
    "left_out": ReasonEntry(
        "A damaged file was left out, as the patient's name can't be removed from it.",
        "{file} was not sent: {problem}.",
        advice="Use the result with care. Export the images again to have all of them analysed.",
    ),
    "wrong_content": ReasonEntry(
        "A file of this folder is not of the kind that is needed.",
        "{file} for socket {socket}: {problem}.",
        advice="Replace the file.",
    ),
    "broken_json": ReasonEntry(
        "A JSON file of this folder is damaged or is not valid JSON.",
        "{file} for socket {socket} is not valid JSON: {problem}.",
        advice="Make the file again with the program that it comes from.",
    ),
    "damaged_file": ReasonEntry(
        "A file of this folder is damaged or incomplete.",
        "{file} for socket {socket}: {problem}.",
        advice="Copy the file again from its original location, or export it again.",
    ),
    "wrong_value": ReasonEntry(
        "A value that belongs to this folder is not what is needed.",
        "The value for socket {socket} ({kind}): {problem}.",
        hint="Correct the value where it comes from: the folder's JSON file or the route's inputs.",
    ),
    "unsupported_socket": ReasonEntry(
        "Something is needed that this computer can't send yet.",
        "Socket {socket} is of kind {kind}; {problem}.",
        hint="Correct the route's inputs: gcwatch check.",
    ),
    "duplicate": ReasonEntry(
        "The platform has a job for exactly this already, so it is not sent again.",
        "A job with the same inputs exists for algorithm {algorithm}. It may be another user's, "
        "which this token can't see, or one that failed or was cancelled.",
        hint="Look for it on the algorithm's page, or ask the algorithm's editors for its results.",
    ),
    "same_images": ReasonEntry(
        "This folder holds the same images as {folder}, delivered on {date}; it is held and not "
        "sent.",
        "What would be sent is equal to what case {case} sent (DICOM: the same SOPInstanceUIDs).",
        advice="If one of the two folders is a mistake, take it out of the inbox. If both are "
        "right, ask IT to send this one as well.",
        hint="gcwatch retry sends it.",
    ),
    "same_images_under_way": ReasonEntry(
        "This folder holds the same images as {folder}, which is being sent; it waits for that.",
        "What would be sent is equal to what case {case} sends. If that is delivered, this folder "
        "is held; if not, it is sent.",
        advice="If one of the two folders is a mistake, take it out of the inbox.",
        hint="gcwatch retry sends it at once.",
    ),
    "mismatched_inputs": ReasonEntry(
        "The analysis needs other files than those in this folder.",
        "No interface of algorithm {algorithm} takes exactly the sockets {sockets}.",
        hint="Run gcwatch check and correct the route's inputs.",
    ),
    "mismatched_files": ReasonEntry(
        "The analysis needs other files than those in this folder.",
        "The folder has files for {present}; the algorithm takes {takes}.",
        advice="Add the files that are missing, or remove those that are too many.",
        hint="gcwatch plan shows which files match which input.",
    ),
    "unknown_socket": ReasonEntry(
        "This folder can't be sent: the platform does not know this kind of input.",
        "The platform knows no socket {socket}.",
        hint="Correct the route's inputs; the platform's list of sockets shows each slug.",
    ),
    "no_such_image": ReasonEntry(
        "An image that is to be used again is not on the platform.",
        "Socket {socket}: {problem}.",
        advice="Drop the whole folder that gcwatch made, with its gcwatch.json, or drop the image "
        "files themselves.",
    ),
    "no_order": ReasonEntry(
        "This folder's name holds no number to sort it by.",
        "order = {template} gives no whole number for this folder.",
        advice="Put a number into the folder's name.",
        hint="Or remove order from the route.",
    ),
    "folder_renamed": ReasonEntry(
        "This folder had another name before; it is the same case and is not sent again.",
        "{folder} was called {before} when it was {ending} ({date}); its files are the same, so "
        "nothing is sent again.",
        advice="If it has to be sent again under its new name, ask IT.",
        hint="gcwatch retry sends it again.",
    ),
}
