"""What is wrong with a folder that was dropped, or with one of its files."""

from collections.abc import Mapping
from typing import Final

from gcwatch.core.catalogue.entry import ReasonEntry

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
    "item_changed": ReasonEntry(
        "This case of the archive has changed since it was taken. The results are of what it held "
        "before.",
        "The item holds other content in a socket that was taken: {item}. Nothing was sent again.",
        advice="Use the results only for what the case held before. If they are needed for what it "
        "holds now, ask IT.",
        hint="gcwatch retry takes the item as it is now.",
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
        advice="Move folders that are done out of the inbox.",
        hint='With after = "move", gcwatch moves each folder away after its delivery.',
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
        "A copy into this folder has not ended yet. It has been going on since {since}: {file} is "
        "not complete.",
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
        "This folder contains folders within folders, more than {limit} levels deep.",
        "The folders are nested more than {limit} levels deep; gcwatch does not look there.",
        advice="Put the images into the folder itself, and drop it again.",
    ),
    "folder_too_full": ReasonEntry(
        "This folder contains more than {limit} files and folders; nothing of it is sent.",
        "There are more than {limit} entries below the folder; gcwatch does not look at more.",
        advice="Drop one examination at a time, each in a folder of its own.",
    ),
    "name_too_long": ReasonEntry(
        "A file of this folder has a name that is too long, with the folders around it.",
        "The path of a file below the folder has more than {limit} bytes.",
        advice="Give the folders shorter names, or put the images into the folder itself.",
    ),
    "link_outside": ReasonEntry(
        "This folder contains a link to another place; gcwatch does not follow it.",
        "{file} is a symbolic link that leads out of its folder.",
        advice="Copy the files themselves into the folder.",
    ),
    "empty_file": ReasonEntry(
        "A file of this folder is empty.",
        "{file} has 0 bytes; the platform can't import it.",
        advice="Copy the file again from its original location.",
    ),
    "no_files": ReasonEntry(
        "This folder contains no file that can be used.",
        "No file matches {pattern} for socket {socket}.",
        advice="Check that this is the right folder. If it is, ask IT.",
        hint="Compare the folder with the inputs (in the route, or --input): gcwatch plan.",
    ),
    "cases_table_missing": ReasonEntry(
        "The table cases.csv is not in the inbox yet, so nothing is sent.",
        "The route takes values from cases.csv, directly in the inbox.",
        advice="Put cases.csv into the inbox, with a row for this folder.",
        needs_person=True,
    ),
    "cases_table_wrong": ReasonEntry(
        "The table cases.csv can't be used, so nothing is sent.",
        "cases.csv {problem}.",
        advice="Correct cases.csv in the inbox. The cases then go on by themselves.",
        needs_person=True,
    ),
    "cases_table_changing": ReasonEntry(
        "The table cases.csv has just changed; it is used when it is complete.",
        "cases.csv must not have changed for {settle:span}.",
    ),
    "no_table_row": ReasonEntry(
        "The table cases.csv does not say what to send for this folder.",
        "cases.csv {problem} ({folder}).",
        advice="Correct the row of this folder in cases.csv in the inbox. The case then goes on by "
        "itself.",
        needs_person=True,
    ),
    "pseudonym_table": ReasonEntry(
        "The list of pseudonyms can't be used, so nothing is sent.",
        "The table of pseudonyms {problem}.",
        advice="Ask IT to correct the list of pseudonyms.",
        hint="Correct the file that the route's pseudonyms names (docs/privacy.md), then gcwatch "
        "retry.",
    ),
    "no_pseudonym": ReasonEntry(
        "This patient has no pseudonym yet, so nothing is sent.",
        "The table of pseudonyms does not fit {folder}: {problem}.",
        advice="Ask whoever keeps the list of pseudonyms to add this patient, then ask IT to try "
        "again.",
        hint="Add a row to the file that the route's pseudonyms names, then gcwatch retry.",
    ),
    "several_pseudonyms": ReasonEntry(
        "The images in this folder belong to several patients, so nothing is sent.",
        "The table of pseudonyms has {count} pseudonyms for the PatientIDs in {folder}.",
        advice="Put the images of each patient into a folder of their own.",
    ),
    "missing_file": ReasonEntry(
        "A file is missing in this folder: {pattern}.",
        "No file matches {pattern} for socket {socket}.",
        advice="Add the file to the folder. If none belongs there, ask IT.",
        hint="Compare the folder with the inputs (in the route, or --input): gcwatch plan. "
        "A pattern without ** matches only files directly in the folder.",
    ),
    "missing_value": ReasonEntry(
        "A file is missing in this folder: {pattern}.",
        "No file matches {pattern} for the value of socket {socket}.",
        advice="Add the file to the folder. If none belongs there, ask IT.",
        hint="If {pattern} is no file but the value itself, write it as JSON, a text in quotes: "
        '--input \'{socket}="{pattern}"\', or {socket} = {{ value = "{pattern}" }} in the config.',
    ),
    "packed_images": ReasonEntry(
        "The images of this folder are packed in an archive, which has to be unpacked first.",
        "{file} is {what}; nothing in it can be checked or de-identified.",
        advice="Unpack it into the folder, and remove it.",
    ),
    "too_many_files": ReasonEntry(
        "This folder contains more files than can be used.",
        "{count} files match {pattern} for socket {socket}, which takes one.",
        advice="Leave only the file that is needed in the folder.",
        hint="If the folder is as it should be, make the route's pattern narrower.",
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
        hint="Correct the value where it comes from: the folder's JSON file or the inputs (in the "
        "route, or --input).",
    ),
    "unsupported_socket": ReasonEntry(
        "Something is needed that this computer can't send yet.",
        "Socket {socket} is of kind {kind}; {problem}.",
        hint="Correct the inputs (in the route, or --input).",
    ),
    "no_such_value": ReasonEntry(
        "A value that should be used again is not on the platform.",
        "Socket {socket}: {problem}.",
        hint="Look at the case on the platform, and at the token's rights.",
    ),
    "item_incomplete": ReasonEntry(
        "Waiting: this case of the archive lacks something that is needed.",
        "The item has {held}, and needed is {wanted}. It is taken when it has that.",
        hint="Fill the item on the platform, or let inputs of the route name the socket to take. "
        "gcwatch withdraw leaves the item alone.",
        needs_person=True,
    ),
    "duplicate": ReasonEntry(
        "The platform tried exactly this before, without a result; it does not try it again.",
        "An earlier job of algorithm {algorithm} with the same inputs ended as {status}, and the "
        "platform takes no second one: {url}",
        hint="Ask the algorithm's editors. After a new version of the algorithm, gcwatch retry "
        "starts a new job.",
    ),
    "duplicate_hidden": ReasonEntry(
        "The platform computed exactly this for somebody else; the results can't be seen from "
        "here.",
        "A job with the same inputs exists for algorithm {algorithm}, and this token can't see it: "
        "it is another user's, in whatever state.",
        hint="Ask the users of the algorithm for its results, or that its owner gives the token's "
        "user the right to view the job; then gcwatch retry delivers them.",
    ),
    "earlier_job": ReasonEntry(
        "The results were computed{when} by an earlier job with the same inputs; nothing was "
        "computed again.",
        "Computed{when} by an earlier job of algorithm {algorithm} with the same inputs: {url}",
        hint="Nothing has to be done. If the algorithm was changed since, compare the version on "
        "the job's page.",
        is_normal=True,
    ),
    "same_images": ReasonEntry(
        "This folder contains the same images as {folder}, delivered on {date}; gcwatch holds it "
        "back and does not send it.",
        "What would be sent is equal to what case {case} sent (DICOM: the same SOPInstanceUIDs).",
        advice="If one of the two folders is a mistake, take it out of the inbox. If both are "
        "right, ask IT to send this one as well.",
        hint="gcwatch retry sends it.",
    ),
    "same_images_under_way": ReasonEntry(
        "This folder contains the same images as {folder}, which is being sent; it waits for that.",
        "What would be sent is equal to what case {case} sends. If that is delivered, this folder "
        "is held back; if not, it is sent.",
        advice="If one of the two folders is a mistake, take it out of the inbox.",
        hint="gcwatch retry sends it at once.",
    ),
    "mismatched_inputs": ReasonEntry(
        "The analysis needs other files than those in this folder.",
        "No interface of algorithm {algorithm} takes exactly the sockets {sockets}.",
        hint="Correct the inputs (in the route, or --input).",
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
        hint="Correct the inputs (in the route, or --input); gcwatch list sockets shows each slug.",
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
