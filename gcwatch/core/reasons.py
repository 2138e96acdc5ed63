"""Why a case waits or has failed: all reason codes with their sentences."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gcwatch.core.text import fill_sentence


@dataclass(frozen=True)
class Reason:
    """A code of the catalogue with its facts.

    `facts` may be logged. `names` holds file and folder names and other text that may name a
    patient; it appears only where it stays in the building (status, receipts, failure notes).
    """

    code: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ReasonEntry:
    """The sentences of one code, as `text.fill_sentence` fills them with facts and names.

    `plain` (what is wrong) and `advice` (what to do) are for whoever dropped the folder, without
    jargon and commands. `detail` and `hint` say the same to whoever runs gcwatch; without a hint
    the advice is for both. No sentence advises to switch a protection off. `patience` is the number
    of tries in a row after which the case fails; None: gcwatch tries for ever. `needs_person`:
    it takes a person, or hours, until the reason is gone, so `gcwatch once` does not wait for that.
    `is_platform_away`: the platform does not answer as it should (exit code 69).
    """

    plain: str
    detail: str
    advice: str = ""
    hint: str = ""
    patience: int | None = None
    needs_person: bool = False
    is_platform_away: bool = False


@dataclass(frozen=True)
class Explanation:
    """A reason in words; `hint` is the advice where the reason has no hint of its own."""

    plain: str
    detail: str
    hint: str
    advice: str = ""


_ASK = "If this series is correct as it is, ask IT to allow it."

CATALOGUE: Mapping[str, ReasonEntry] = {
    # --- the folder itself -----------------------------------------------------------------------
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
        "A temporary file is in the folder since {since}; {file} is never sent.",
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
        "The times that this series tells do not fit its places, so it would be cut up wrongly.",
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
    # --- beside the folders of an inbox ----------------------------------------------------------
    "empty_folders": ReasonEntry(
        "Folders without files are in the inbox; they are not sent.",
        "{count} empty {count:folder|folders}: {entries}.",
        advice="Put the files of each patient into the folder, or remove it.",
    ),
    "archives": ReasonEntry(
        "Archives are in the inbox; gcwatch does not unpack them.",
        "{count} {count:archive|archives}: {entries}.",
        advice="Unpack each archive into a folder of its own in the inbox, and remove the archive.",
    ),
    "loose_files": ReasonEntry(
        "Files lie in the inbox outside any folder; they are not sent.",
        "{count} {count:file|files}: {entries}.",
        advice="Put the files of each patient into a folder of their own in the inbox.",
    ),
    "loose_folders": ReasonEntry(
        "Folders are in the inbox, which takes single files; they are not sent.",
        "{count} {count:folder|folders}: {entries}.",
        advice="Move the files out of the folders, directly into the inbox.",
    ),
    # --- the platform's answers ------------------------------------------------------------------
    "import_failed": ReasonEntry(
        "The platform could not read the images.",
        "The upload session ended as Failed: {message}",
        advice="Open the images in a viewer, and export them again. If that does not help, ask IT.",
    ),
    "item_import_failed": ReasonEntry(
        "The platform could not read the images. The platform shows an incomplete case.",
        "The upload session ended as Failed: {message} The {product} stays, without its images: "
        "{url}",
        advice="Open the images in a viewer, and export them again. If that does not help, ask IT.",
        hint="gcwatch retry fills the same {product}. To remove it, delete it on the platform.",
    ),
    "job_failed": ReasonEntry(
        "The analysis did not work for this patient.",
        "The job ended as {status}; the platform's API gives no reason. Job: {url}",
        hint="Open the job's page, or ask the algorithm's editors.",
    ),
    "job_lost": ReasonEntry(
        "It is not certain whether this patient's analysis was started; somebody has to look.",
        "The job was submitted but can't be found ({problem}).",
        hint="Look for it on the algorithm's page before you decide on gcwatch retry.",
    ),
    "job_stalled": ReasonEntry(
        "The analysis takes much longer than it should; gcwatch still watches it.",
        "The job has been {status} for {hours} {hours:hour|hours}. Job: {url}",
        hint="Ask the algorithm's editors or the platform's support.",
        needs_person=True,
    ),
    "import_stalled": ReasonEntry(
        "The platform takes much longer than it should to read the images; gcwatch still watches.",
        "The import has not ended for {hours} {hours:hour|hours}; the platform gives no reason. "
        "Case: {url}",
        hint="Look at the case on the platform; ask the platform's support.",
        needs_person=True,
    ),
    "importing": ReasonEntry(
        "The platform is still reading the images.",
        "The upload session is {status}; gcwatch looks for its job.",
    ),
    "in_doubt": ReasonEntry(
        "gcwatch makes sure that nothing is sent twice.",
        "A reply was lost; the platform gets {seconds} s to finish before gcwatch asks again.",
    ),
    "token_refused": ReasonEntry(
        "All work is paused: the platform does not accept this computer's token.",
        "The platform answers 401, or the token can't be read; gcwatch tries again by itself.",
        hint="Make a new token on the platform and write it into the token file: gcwatch check.",
    ),
    "not_found": ReasonEntry(
        "The place on the platform that this folder goes to can't be used at the moment.",
        "{what} {slug} does not exist, or this token has no access to it.",
        hint="Check the slug, and ask the editors for access.",
        needs_person=True,
    ),
    "no_rights": ReasonEntry(
        "Waiting: this computer may not use the place on the platform that this folder goes to.",
        "The token sees {what} {slug}, but may not {right}.",
        hint="Ask its editors to give the token's user this role: {role}.",
        needs_person=True,
    ),
    "title_taken": ReasonEntry(
        "The title for this folder is already used by somebody else.",
        "There is another case with the title {title} in {what} {slug}.",
        advice="Give the folder another name.",
        hint="Or put {{id}} into the route's title.",
    ),
    "title_unclear": ReasonEntry(
        "The platform gives contradictory answers about this folder.",
        "The title is taken in {what} {slug}, but is not in its list.",
        patience=8,
    ),
    "not_editable": ReasonEntry(
        "The case can't be changed any more: readers have answered it already.",
        "A display set of {what} {slug} with answers can't be changed.",
        hint="Remove the answers on the platform, or drop the folder again as a new case.",
    ),
    "socket_not_allowed": ReasonEntry(
        "The archive does not take this kind of content.",
        "{what} {slug}: {message}",
        hint="Correct the route's inputs, or ask the archive's editors.",
    ),
    "item_lost": ReasonEntry(
        "The case was removed on the platform, or this computer may not see it any more.",
        "What was made in {what} {slug} is not there any more.",
        hint="Ask its editors. If it is back, gcwatch retry fills it again.",
    ),
    "other_object": ReasonEntry(
        "The platform gave an answer that belongs to something else; somebody has to look.",
        "Asked for {wanted}, the platform answered with {found} ({what}). Nothing was published.",
        hint="A cache or proxy may mix answers up. Compare the job or case with the platform's "
        "page, and ask the platform's support before gcwatch retry.",
        patience=3,
    ),
    "leftovers": ReasonEntry(
        "The platform could not read all files of an image: the image may be incomplete.",
        "Socket {socket}: {message}",
        advice="Compare the image on the platform with the original.",
    ),
    "other_image": ReasonEntry(
        "The platform made another image than the one that was sent.",
        "Socket {socket}: the platform made another image than was sent: {found} instead of "
        "{expected}.",
        advice="Use neither this image nor its results. Export the images again; if that does not "
        "help, ask IT.",
        hint="The image is on the platform all the same: remove it there. Compare it with the "
        "original, or send it in another format; ask the platform's support why it differs.",
    ),
    "upload_budget": ReasonEntry(
        "Waiting for its turn: it needs {count} uploads, and {taken} of {limit} are in use.",
        "Other large image sets are being sent; an account may hold {limit} uploads at a time.",
    ),
    "set_too_large": ReasonEntry(
        "This image set has more files than the platform takes.",
        "{count} files; an account may hold {limit} uploads at a time.",
        hint="Send it as an image (a socket of kind Image), which needs one upload.",
    ),
    "refused": ReasonEntry(
        "The platform does not accept this folder.",
        "{call} was answered {status}: {message}",
        hint="Run gcwatch check; ask the platform's support if it finds nothing.",
    ),
    "unexpected": ReasonEntry(
        "Something unexpected happened with this folder.",
        "{call} was answered {status}: {message}",
        patience=5,
    ),
    "too_many_jobs": ReasonEntry(
        "Waiting: the platform allows {limit} jobs at a time.",
        "As many jobs of this user as the platform allows ({limit}) are running.",
    ),
    "too_many_uploads": ReasonEntry(
        "Waiting for its turn: too many uploads were made today.",
        "The platform keeps at most 2000 uploads of a user, and removes each within a day.",
        needs_person=True,
    ),
    "no_space_left": ReasonEntry(
        "Waiting: the platform's storage for this account is full.",
        "The uploads of this account have used up its storage quota.",
        hint="A verified account has 128 GiB instead of 2 GiB.",
        needs_person=True,
    ),
    "no_credits": ReasonEntry(
        "Waiting: the credits for this analysis are used up.",
        "Algorithm {algorithm}: the account has run out of credits.",
        hint="Ask the platform for credits, or wait for next month's.",
        needs_person=True,
    ),
    "not_ready": ReasonEntry(
        "Waiting: the analysis is not available at the moment.",
        "Algorithm {algorithm} has no container image that is ready.",
        hint="Ask the algorithm's editors.",
        needs_person=True,
    ),
    "busy": ReasonEntry(
        "Waiting: the platform is busy.",
        "The platform asked for a pause of {seconds} s ({message}).",
    ),
    "busy_long": ReasonEntry(
        "Waiting: the platform is busy.",
        "The platform asked us to wait {asked}; next try in {seconds:span}.",
        hint="Ask the platform's support if this goes on.",
        needs_person=True,
    ),
    "insecure": ReasonEntry(
        "The platform asked for something unsafe; nothing was sent.",
        "The storage address {host} is not https.",
        hint="Please report this to the platform's support.",
        patience=5,
    ),
    # --- network and disk ------------------------------------------------------------------------
    "unreachable": ReasonEntry(
        "The platform can't be reached at the moment.",
        "{call} failed: {error}",
        is_platform_away=True,
    ),
    "untrusted_certificate": ReasonEntry(
        "The platform can't be reached at the moment.",
        "{call} failed: the certificate is not trusted ({problem}).",
        hint="If this network inspects TLS, ask IT for the file with its certificates, and name "
        "it: ca_bundle in [platform] of the config, or gcwatch send --ca-bundle FILE. If the "
        "certificate has expired, check this computer's clock.",
        is_platform_away=True,
    ),
    "server_error": ReasonEntry(
        "The platform has a problem at the moment.",
        "{call} was answered {status}.",
        patience=12,
        is_platform_away=True,
    ),
    "wrong_answer": ReasonEntry(
        "The platform has a problem at the moment.",
        "{call} got an answer that is not the platform's: {problem}.",
        hint="Open the platform's address in a browser: there may be maintenance, or a proxy that "
        "answers instead.",
        patience=12,
        is_platform_away=True,
    ),
    "checksum": ReasonEntry(
        "A transfer was damaged on the way.",
        "{what}: {problem}.",
        patience=8,
    ),
    "download_incomplete": ReasonEntry(
        "The results did not arrive completely.",
        "A download is incomplete: {problem}.",
        patience=12,
    ),
    "disk": ReasonEntry(
        "There is a problem with this computer's disk.",
        "{what} failed: {error}.",
        hint="Free some disk space, or mount the outbox again.",
    ),
    "archive_not_found": ReasonEntry(
        "The archive can't be seen; what is already here of it stays.",
        "Archive {slug} does not exist, or this token has no access to it.",
        hint="Check the slug, and ask the archive's editors for access.",
    ),
    "mirror_refused": ReasonEntry(
        "The platform refuses a part of the archive; what is already here of it stays.",
        "{call} was answered {status}: {message}",
        hint="If this goes on, ask the archive's editors.",
    ),
    "mirror_away": ReasonEntry(
        "The mirror's folder is empty though it was not before; nothing is fetched.",
        "{folder} is missing; the share of the mirror's folder may be unmounted.",
        hint="Mount the share again. If the folder was emptied on purpose, make that hidden folder "
        "in it.",
    ),
    "stopped": ReasonEntry(
        "gcwatch was stopped during this step; it continues at the next start.",
        "The step was interrupted by a stop.",
    ),
    "crashed": ReasonEntry(
        "A fault in gcwatch stopped this folder; somebody has to look.",
        "{error} in step {step}.",
        hint="Please report this with the log of this case.",
        patience=5,
    ),
}


def needs_person(reason: Reason) -> bool:
    """Return whether waiting for this takes a person, or hours."""
    return CATALOGUE[reason.code].needs_person


def is_platform_away(code: str) -> bool:
    """Return whether a code means that the platform is away; False for what is no code at all."""
    entry = CATALOGUE.get(code)
    return entry is not None and entry.is_platform_away


def explain(reason: Reason) -> Explanation:
    """Given a reason, return it in words, names included: for people in the building only."""
    entry = CATALOGUE[reason.code]
    facts = {**reason.facts, **reason.names}
    plain, detail, advice, hint = (
        fill_sentence(each, facts)
        for each in (entry.plain, entry.detail, entry.advice, entry.hint or entry.advice)
    )
    return Explanation(plain, detail, hint, advice)
