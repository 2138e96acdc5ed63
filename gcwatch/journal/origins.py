"""From which folders the display sets of a reader study came, as far as the journal knows."""

from collections.abc import Mapping

from gcwatch.config import Settings
from gcwatch.core.text import readable_name
from gcwatch.journal.reader import JournalReader


def folders_of_display_sets(
    journal: JournalReader, settings: Settings, reader_study: str
) -> Mapping[str, str]:
    """Given a reader study's slug, return the folder names of display sets that gcwatch made.

    Keys are the pks of the display sets. Only routes of the config file count.
    """
    routes = (each.name for each in settings.routes if each.reader_study == reader_study)
    return {
        pk: readable_name(folder)
        for route in routes
        for pk, folder in journal.submissions(route).items()
    }
