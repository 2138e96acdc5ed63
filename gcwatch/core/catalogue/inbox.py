"""What lies beside the folders of an inbox and becomes no case."""

from collections.abc import Mapping
from typing import Final

from gcwatch.core.catalogue.entry import ReasonEntry

INBOX_REASONS: Final[Mapping[str, ReasonEntry]] = {
    "empty_folders": ReasonEntry(
        "Folders without files are in the inbox; they are not sent.",
        "{count} empty {count:folder|folders}: {entries}.",
        advice="Put the files of each patient into the folder, or remove it.",
    ),
    "empty_items": ReasonEntry(
        "Cases of the archive hold nothing yet; they are not taken.",
        "{count} {count:item|items}: {entries}.",
        advice="Nothing has to be done: a case is taken when it is filled.",
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
    "series_not_taken": ReasonEntry(
        "Series that are not wanted here are not sent.",
        "{count} series not taken: {series}.",
        advice="Nothing. If one of these is wanted, tell IT which.",
        hint="The key only of the route says which series are taken.",
        is_normal=True,
    ),
    "loose_folders": ReasonEntry(
        "Folders are in the inbox, which takes single files; they are not sent.",
        "{count} {count:folder|folders}: {entries}.",
        advice="Move the files out of the folders, directly into the inbox.",
    ),
}
