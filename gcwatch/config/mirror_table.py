"""The table [[mirror]] of the config file; docs/configuration.md is made from docstrings."""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from gcwatch.config.values.types import Location, Schedule, Slug, value_error
from gcwatch.config.work_table import WorkTable
from gcwatch.core.kinds import KIND_NAMES, Kind


class Mirror(WorkTable):
    """A local folder with all of an archive, a reader study's answers, or an algorithm's results.

    Write one `[[mirror]]` for each, with one of archive, reader_study and algorithm.
    """

    archive: Slug | None = None
    """Slug of the archive (the last part of its page's address)."""

    reader_study: Slug | None = None
    """Slug of the reader study. Its answers are in answers.csv, its questions in questions.json.

    Each display set with masks or annotations has a folder with them. An editor's token gets the
    answers of all readers, a reader's token only its own."""

    algorithm: Slug | None = None
    """Slug of the algorithm: the results of all jobs that succeeded and that the token can see,
    also of those that gcwatch did not start. Each job has a folder, named by its pk."""

    outbox: Location
    """Folder for the copy. It may be the inbox of a route with after = "keep"."""

    every: Schedule = Field(default="6h", validate_default=True)
    """How often gcwatch updates the copy: a duration, or a cron expression in this machine's time
    zone.

    With a duration it also does so at every start."""

    layout: Literal["items", "flat", "receipts"] = "items"
    """One folder for each item, like a result folder ("items"), or all images in one ("flat"). With
    "receipts" nothing is downloaded: an item's folder says what the platform has, in item.json.

    Answers of a reader study have one folder for each display set. The folder of an item without
    values holds only its receipt, gcwatch.json."""

    folders: Literal["title", "pk"] = "title"
    """What gives the folder of an item or display set its name: its title or its number ("pk").
    The name stays, even if the title changes."""

    gone: Literal["keep", "move"] = "keep"
    """What gcwatch does with an item that is no longer on the platform. It is logged once."""

    gone_to: Location | None = Field(default=None, validate_default=True)
    """Folder to which such items are moved; only with gone = "move"."""

    @property
    def kind(self) -> Kind:
        """What it is a copy of."""
        return next((kind for kind in KIND_NAMES if getattr(self, kind) is not None), "archive")

    @property
    def slug(self) -> str:
        """The slug of what it is a copy of."""
        return getattr(self, self.kind) or ""

    @field_validator("gone_to")
    @classmethod
    def _gone_to_goes_with_move(cls, gone_to: Path | None, info: ValidationInfo) -> Path | None:
        if info.data.get("gone") == "move" and gone_to is None:
            raise value_error(
                'is needed for gone = "move"', "name the folder for items that left the platform"
            )
        if info.data.get("gone", "move") != "move" and gone_to is not None:
            raise value_error('is for gone = "move" only', 'write gone = "move", or remove gone_to')
        return gone_to
