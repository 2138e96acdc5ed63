"""Why a case waits or failed: a catalogue of codes, the only place where they become prose."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Reason:
    """A code of the catalogue with its facts.

    `facts` may be logged. `names` holds file and folder names and other text that could name a
    patient; it is shown only where it stays in the building (status, receipts, failure notes).
    """

    code: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ReasonEntry:
    """The sentences of one code.

    `plain` is for whoever dropped the folder, `detail` for whoever runs gcwatch; both are format
    strings over the reason's facts and names. `patience` is how many tries in a row may end so
    before the case fails; None means for ever.
    """

    plain: str
    detail: str
    hint: str = ""
    patience: int | None = None


@dataclass(frozen=True)
class Explanation:
    """A reason in words."""

    plain: str
    detail: str
    hint: str


CATALOGUE: Mapping[str, ReasonEntry] = {
    # --- the folder itself -----------------------------------------------------------------------
    "inbox_away": ReasonEntry(
        "The inbox can't be reached at the moment; the folder is waiting.",
        "The inbox is missing, empty or unreadable ({error}); a share may be unmounted.",
        "Mount the share again; nothing else is needed.",
    ),
    "waiting_for_marker": ReasonEntry(
        "The folder is not marked as complete yet.",
        "The marker file {marker} is not there.",
        "Put {marker} into the folder when everything is in it.",
    ),
    "being_written": ReasonEntry(
        "A file of this folder is being written at this moment; the folder is waiting.",
        "A file changed while its header was read, so its series can't be told yet.",
    ),
    "file_unreadable": ReasonEntry(
        "A file of this folder can't be read.",
        "Reading {file} failed: {error}.",
        "Give the user that runs gcwatch the right to read it; take away links to nothing.",
        patience=6,
    ),
    "link_outside": ReasonEntry(
        "This folder holds a link to somewhere else, which is not followed.",
        "{file} is a symbolic link that leads out of the inbox.",
        "Copy the files themselves into the folder.",
    ),
    "empty_file": ReasonEntry(
        "A file of this folder is empty.",
        "{file} has 0 bytes; the platform can't import it.",
        "Copy the file again from where it came.",
    ),
    "no_files": ReasonEntry(
        "This folder holds no file that the analysis could use.",
        "No file matches {pattern} for socket {socket}.",
        "Compare the folder with the route's inputs: gcwatch plan.",
    ),
    "no_image": ReasonEntry(
        "This folder holds no image that the analysis could use.",
        "Files match {pattern} for socket {socket}, but none of them is an image.",
        "Export the images again: DICOM, MetaImage, NIfTI, NRRD, TIFF, a slide, PNG or JPEG.",
    ),
    "too_many_files": ReasonEntry(
        "This folder holds more files than the analysis can use.",
        "{count} files match {pattern} for socket {socket}, which takes one.",
        "Leave one of them, or make the route's pattern narrower.",
    ),
    "several_images": ReasonEntry(
        "This folder holds more than one image ({found}); the analysis takes exactly one.",
        "Socket {socket} takes one image; found {found}.",
        "Put each series into a folder of its own, or let the route take each one as a case "
        '(cases = "series"), or name the right one by a narrower glob in the route\'s inputs.',
    ),
    "damaged_image": ReasonEntry(
        "An image of this folder is damaged or incomplete.",
        "{file}: {problem}.",
        "Export the images again and drop them as a new folder.",
    ),
    "detached_header": ReasonEntry(
        "An image of this folder is in two files, in a way that the platform can't read.",
        "{file} is an NRRD header whose data are in another file.",
        "Save it as one file, .nrrd with the header attached, or as MetaImage or NIfTI.",
    ),
    "slice_twice": ReasonEntry(
        "An image of this folder is there twice; the analysis would count it as two.",
        "{file} and {other} are the same instance.",
        "Take one of the two away, and drop the folder anew.",
    ),
    "slices_missing": ReasonEntry(
        "Slices of this image series are missing, so the image would be incomplete.",
        "{count} of {expected} slices are missing, at {where}.",
        "Export the whole series again and drop it as a new folder. If it has to be as it is, "
        'set integrity = "warn" for the route.',
    ),
    "slices_overlap": ReasonEntry(
        "Slices of this image series lie at the same place or overlap.",
        "{count} slices are too close to others, at {where}.",
        "Leave one of them for each place: most likely two exports, or two reconstructions, are "
        'mixed. If it has to be as it is, set integrity = "warn" for the route.',
    ),
    "slices_uneven": ReasonEntry(
        "The slices of this image series do not lie at even distances.",
        "{count} distances are not as the others, at {where}; the platform takes them as even.",
        'If that does no harm to the analysis, set integrity = "warn" for the route.',
    ),
    "slices_unplaced": ReasonEntry(
        "This image series holds pictures that are no slices of it.",
        "{count} of {total} files do not say where they lie, or are localizers.",
        "Take them out of the series, or let a narrower glob leave them out.",
    ),
    "slices_disordered": ReasonEntry(
        "The slices of this image series are not numbered in the order in which they lie.",
        "The platform sorts by InstanceNumber, which does not follow the slices' positions.",
        'Export the series again with numbers in order; integrity = "warn" sends it as it is.',
    ),
    "not_deidentified": ReasonEntry(
        "The patient's name can't be removed from this kind of image, so it is not sent.",
        "De-identification refused {file}: {problem}.",
        "If the route may send this kind as it is, set deidentify = false for the route.",
    ),
    "mixed_dicom_set": ReasonEntry(
        "The images of this folder are not all of one patient, study and series.",
        "Socket {socket} takes files that share {elements}; these do not.",
        "Export the series again on its own, and drop it as a new folder.",
    ),
    "left_out": ReasonEntry(
        "A damaged file of this folder was left out, as the patient's name can't be removed.",
        "{file} was not sent: {problem}.",
        "Look at the result with care; export the images again to have all of them analysed.",
    ),
    "wrong_content": ReasonEntry(
        "A file of this folder is not of the kind that the analysis takes.",
        "{file} for socket {socket}: {problem}.",
        "Replace the file.",
    ),
    "broken_json": ReasonEntry(
        "A JSON file of this folder is damaged or not written as JSON asks.",
        "{file} for socket {socket} is not valid JSON: {problem}.",
        "Have the file written anew by the program that it comes from.",
    ),
    "damaged_file": ReasonEntry(
        "A file of this folder is damaged or incomplete.",
        "{file} for socket {socket}: {problem}.",
        "Copy the file again from where it came, or export it again.",
    ),
    "wrong_value": ReasonEntry(
        "A value for the analysis is not what the analysis takes.",
        "The value for socket {socket} ({kind}): {problem}.",
        "Mend the value where it comes from: the folder's JSON file or the route's inputs.",
    ),
    "unsupported_socket": ReasonEntry(
        "The analysis asks for something that this computer can't send yet.",
        "Socket {socket} is of kind {kind}; {problem}.",
        "Mend the route's inputs: gcwatch check.",
    ),
    "duplicate": ReasonEntry(
        "The platform has already computed exactly this, so it is not sent again.",
        "A job with the same inputs exists for algorithm {algorithm}.",
        "Look for it on the algorithm's page.",
    ),
    "mismatched_inputs": ReasonEntry(
        "The analysis needs other files than those in this folder.",
        "No interface of algorithm {algorithm} takes exactly the sockets {sockets}.",
        "Run gcwatch check and mend the route's inputs.",
    ),
    "mismatched_files": ReasonEntry(
        "The analysis needs other files than those in this folder.",
        "The folder has files for {present}; the algorithm takes {takes}.",
        "Add what is missing, or take away what is too much: gcwatch plan.",
    ),
    "unknown_socket": ReasonEntry(
        "This folder can't be sent: what it is to be sent as does not exist.",
        "The platform knows no socket {socket}.",
        "Mend the route's inputs; the socket's slug stands on the platform's list of sockets.",
    ),
    "no_such_image": ReasonEntry(
        "An image that should be used again is not on the platform.",
        "Socket {socket}: {problem}.",
        "Drop the folder that gcwatch made, with its gcwatch.json; or send the files themselves.",
    ),
    "no_order": ReasonEntry(
        "This folder's name holds no number to sort it by.",
        "order = {template} gives no whole number for this folder.",
        "Name the folder with a number, or take order out of the route.",
    ),
    # --- the platform's answers ------------------------------------------------------------------
    "import_failed": ReasonEntry(
        "The platform could not read the images.",
        "The upload session ended as Failed: {message}",
        "Check the images in a viewer; export them again if they look right there.",
    ),
    "job_failed": ReasonEntry(
        "The analysis did not work for this patient.",
        "The job ended as {status}; the platform gives no reason over its API. Job: {url}",
        "Open the job's page, or ask the algorithm's editors.",
    ),
    "job_lost": ReasonEntry(
        "It is not certain what became of this patient's analysis; somebody has to look.",
        "The job was submitted but can't be located ({problem}).",
        "Look for it on the algorithm's page, and only then decide on gcwatch retry.",
    ),
    "job_stalled": ReasonEntry(
        "The analysis takes much longer than it should; it is still being watched.",
        "The job has been {status} for {hours} hours. Job: {url}",
        "Ask the algorithm's editors or the platform's support.",
    ),
    "import_stalled": ReasonEntry(
        "The platform takes much longer than it should to read the images; it is still watched.",
        "The import has not ended for {hours} hours, and the platform says no more. Case: {url}",
        "Look at the case on the platform; ask the platform's support.",
    ),
    "importing": ReasonEntry(
        "The platform is still reading the images.",
        "The upload session is {status}; its job is looked for.",
    ),
    "in_doubt": ReasonEntry(
        "It is being made sure that nothing is sent twice.",
        "A reply was lost; the platform is given {seconds} s to finish before asking again.",
    ),
    "token_refused": ReasonEntry(
        "All work is paused: the platform does not accept this computer's token.",
        "The platform answers 401, or the token can't be read; it is tried again by itself.",
        "Make a new token on the platform and write it into the token file: gcwatch check.",
    ),
    "not_found": ReasonEntry(
        "The analysis this folder is meant for can't be used at the moment.",
        "{what} {slug} does not exist, or this token has no access to it.",
        "Check the slug, and ask the editors for access.",
    ),
    "no_rights": ReasonEntry(
        "Waiting: this computer may not use what the folder is meant for.",
        "The token sees {what} {slug}, but may not {right}.",
        "Ask its editors to make the token's user {role}.",
    ),
    "title_taken": ReasonEntry(
        "The title that this folder should get is already used by somebody else.",
        "There is another case with the title {title} in {what} {slug}.",
        "Rename the folder and drop it again, or put {{id}} into the route's title.",
    ),
    "title_unclear": ReasonEntry(
        "The platform contradicts itself about this folder.",
        "The title is taken in {what} {slug}, but is not in its list.",
        patience=8,
    ),
    "not_editable": ReasonEntry(
        "The case can't be changed any more: readers have answered it already.",
        "A display set of {what} {slug} with answers can't be changed.",
        "Remove the answers on the platform, or drop the folder again as a new case.",
    ),
    "socket_not_allowed": ReasonEntry(
        "The archive does not take this kind of content.",
        "{what} {slug}: {message}",
        "Mend the route's inputs, or ask the archive's editors.",
    ),
    "item_lost": ReasonEntry(
        "The case was removed on the platform, or access to it was lost.",
        "What was made in {what} {slug} is not there any more.",
        "Ask its editors; gcwatch retry fills it again if it is back.",
    ),
    "leftovers": ReasonEntry(
        "The platform could not read all files of an image: it may be incomplete.",
        "Socket {socket}: {message}",
        "Compare the image on the platform with the original.",
    ),
    "upload_budget": ReasonEntry(
        "Waiting for its turn: it needs {count} uploads, and {taken} of {limit} are taken.",
        "Other large image sets are on their way; an account may hold {limit} uploads at a time.",
    ),
    "set_too_large": ReasonEntry(
        "This image set has more files than the platform takes.",
        "{count} files; an account may hold {limit} uploads at a time.",
        "Send it as an image (a socket of kind Image), which needs one upload.",
    ),
    "refused": ReasonEntry(
        "The platform does not accept this folder.",
        "{call} was answered {status}: {message}",
        "Run gcwatch check; ask the platform's support if it finds nothing.",
    ),
    "unexpected": ReasonEntry(
        "Something unexpected happened with this folder.",
        "{call} was answered {status}: {message}",
        patience=5,
    ),
    "too_many_jobs": ReasonEntry(
        "Held: {limit} jobs are running on the platform, as many as it allows.",
        "The platform runs no more than {limit} jobs of a user at a time.",
    ),
    "too_many_uploads": ReasonEntry(
        "Waiting for its turn: too many uploads were made today.",
        "The platform keeps no more than 2000 uploads of a user; they fade within a day.",
    ),
    "no_space_left": ReasonEntry(
        "Waiting: the platform's storage for this account is full.",
        "The byte quota of this account's uploads is used up.",
        "A verified account has 128 GiB instead of 2 GiB.",
    ),
    "no_credits": ReasonEntry(
        "Waiting: the credits for this analysis are used up.",
        "Algorithm {algorithm}: the account has run out of credits.",
        "Ask the platform for credits, or wait for next month's.",
    ),
    "not_ready": ReasonEntry(
        "Waiting: the analysis is not available at the moment.",
        "Algorithm {algorithm} has no image that is ready to be used.",
        "Ask the algorithm's editors.",
    ),
    "busy": ReasonEntry(
        "Waiting: the platform is busy.",
        "The platform asked to be left alone for {seconds} s ({message}).",
    ),
    "insecure": ReasonEntry(
        "The platform asked for something unsafe; nothing was sent.",
        "The storage address {host} is not https.",
        "Please tell the platform's support.",
        patience=5,
    ),
    # --- the world between -----------------------------------------------------------------------
    "unreachable": ReasonEntry(
        "The platform can't be reached at the moment.",
        "{call} failed: {error}",
    ),
    "server_error": ReasonEntry(
        "The platform has a problem at the moment.",
        "{call} was answered {status}.",
        patience=12,
    ),
    "checksum": ReasonEntry(
        "A transfer was damaged on the way.",
        "{what}: {problem}.",
        patience=8,
    ),
    "download_incomplete": ReasonEntry(
        "The results did not arrive whole.",
        "A download is not whole: {problem}.",
        patience=12,
    ),
    "disk": ReasonEntry(
        "There is a problem with this computer's disk.",
        "{what} failed: {error}.",
        "Make room, or mount the outbox again.",
    ),
    "archive_not_found": ReasonEntry(
        "The archive can't be seen; what is here of it is kept.",
        "Archive {slug} does not exist, or this token has no access to it.",
        "Check the slug, and ask the archive's editors for access.",
    ),
    "mirror_refused": ReasonEntry(
        "The platform does not give out a part of the archive; what is here of it is kept.",
        "{call} was answered {status}: {message}",
        "If it lasts, ask the archive's editors.",
    ),
    "mirror_away": ReasonEntry(
        "The mirror's folder is bare though it was not; nothing is fetched.",
        "{folder} is missing; the share of the mirror's folder may be unmounted.",
        "Mount the share again. If it was emptied on purpose, make that hidden folder in it.",
    ),
    "stopped": ReasonEntry(
        "gcwatch was stopped in the middle; it goes on at the next start.",
        "The step was interrupted by a stop.",
    ),
    "crashed": ReasonEntry(
        "A fault in gcwatch stopped this folder; somebody has to look.",
        "{error} in step {step}.",
        "Please report this with the log of this case.",
        patience=5,
    ),
}


class _Lenient(dict[str, Any]):
    """Facts for a format string; an absent one shows as its name, so prose never crashes."""

    def __missing__(self, key: str) -> str:
        return f"<{key}>"


def explain(reason: Reason) -> Explanation:
    """Given a reason, return it in words, names included: for people in the building only."""
    entry = CATALOGUE[reason.code]
    facts = _Lenient({**reason.facts, **reason.names})
    return Explanation(
        entry.plain.format_map(facts), entry.detail.format_map(facts), entry.hint.format_map(facts)
    )


_FOR_PERSONS = frozenset(
    {
        "inbox_away",
        "waiting_for_marker",
        "not_found",
        "no_rights",
        "no_credits",
        "not_ready",
        "too_many_uploads",
        "no_space_left",
        "job_stalled",
        "import_stalled",
    }
)


def needs_person(reason: Reason) -> bool:
    """Whether waiting for this takes a person, or hours."""
    return reason.code in _FOR_PERSONS
