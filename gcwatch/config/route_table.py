"""A `[[route]]` of the config file; docs/configuration.md is made from docstrings."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
    field_validator,
)

from gcwatch.config.mirror_table import Mirror
from gcwatch.config.values.command import check_command
from gcwatch.config.values.expected import Expect
from gcwatch.config.values.item_source import ItemsOf
from gcwatch.config.values.only import Only
from gcwatch.config.values.types import (
    Area,
    Column,
    Glob,
    JsonFile,
    Location,
    Named,
    Schedule,
    Seconds,
    Slug,
    Source,
    Template,
    _Inside,
    check_file_name,
    check_procedure,
    names_each_case,
    shows_folder_name,
    template_fields,
    value_error,
)
from gcwatch.config.work_table import WorkTable
from gcwatch.core.kinds import KIND_NAMES, Kind
from gcwatch.core.rules.priority import Priority
from gcwatch.core.temporary_names import is_temporary
from gcwatch.core.timing import Pace

Unit = Literal["folders", "files", "series"]
"""What one case of a route is."""

Unscrubbed = Literal["mrxs", "vms", "vmu", "ndpi", "scn", "bif", "philips", "fds", "fda", "e2e"]
"""Formats that may hold a patient's name at places that gcwatch does not know."""


class Route(WorkTable):
    """Joins an inbox to an algorithm, a reader study or an archive, and to an outbox.

    Write one `[[route]]` for each, with exactly one of algorithm, reader_study and archive.
    """

    inbox: Location = Field(default_factory=Path)
    """Folder that gcwatch watches for cases. gcwatch changes nothing in it (except: see after).

    Required, unless the route has a source."""

    source: ItemsOf | None = None
    """Archive on the platform whose items are the cases, in place of an inbox:
    { archive = "slug" }. Each item is taken once, and no image is downloaded or uploaded.

    A socket gets what the item holds in the socket of the same name, or as inputs say:
    { "ct-image" = { socket = "chest-ct" } }. New items are looked for every 10 minutes, or as
    { archive = "slug", every = "1h" } says. docs/folders.md says more."""

    outbox: Location
    """Folder for results: one folder for each case, which appears complete. It may be the inbox of
    another route."""

    algorithm: Slug | None = None
    """Slug of the algorithm (the last part of its page's address): a case becomes a job."""

    reader_study: Slug | None = None
    """Slug of the reader study: a case becomes a display set."""

    archive: Slug | None = None
    """Slug of the archive: a case becomes an archive item."""

    cases: Unit = "folders"
    """What one case is: each folder of the inbox ("folders"), each file in it ("files"), or each
    DICOM series anywhere below one of its folders ("series")."""

    settle: Seconds = Field(default="30s", validate_default=True)
    """A folder is complete when nothing in it has changed for this time."""

    ready: Annotated[str, AfterValidator(check_file_name)] | None = None
    """Name of a marker file such as READY.txt. With this key a folder is complete when the
    marker file is in it, and not before."""

    expect: Expect | None = None
    """How many files a case must have: 300, or a number in a file of its folder:
    { file = "count.txt" }, or { file = "study.json", key = "slices", count = "slices" }.

    The case waits until it has exactly so many, besides settle or ready. The file with the number
    does not count. With count = "slices" the DICOM slices count, and not the files."""

    poll: Schedule = Field(default="60s", validate_default=True)
    """How often gcwatch asks for a job's status: a duration, or a cron expression in this machine's
    time zone.

    Write days of the week as names (0 7 * * mon-fri). If both a day of the month and a day of the
    week are given, both must match."""

    names: Literal["opaque", "keep"] = "opaque"
    """What the platform sees: random keys ("opaque"), or the names of folders and files without
    unusual characters ("keep")."""

    pseudonyms: Location | None = None
    """Table of pseudonyms (CSV) that the hospital keeps: docs/privacy.md has its form. Titles and
    the PatientID in DICOM images come from it; a patient who is not in it is refused.

    It is read for each new case. Without this key, PatientID becomes a hash."""

    cases_table: bool = False
    """Whether a table in the inbox, cases.csv, gives the values of the cases: a row for each
    folder, with the columns that inputs name ({ column = "age" }), and title and order.

    A case waits until the table has its row. cases.status.csv in the outbox says what became of
    each row. docs/folders.md says more."""

    title: Template | None = None
    """Title of the display set or archive item; it may hold {key}, {id} (random) and {route}.

    With a table of pseudonyms also {pseudonym}; the default is then "{pseudonym} {id}".
    With names = "keep" also {folder} and {number}, the last number in the folder's name. Default:
    "{key}", or "{folder} {id}" with names = "keep". Each title can be used only once in a reader
    study or archive."""

    order: Template | None = None
    """Position of the display set in its reader study: a number, or a template such as "{number}"
    that gives one. Default: last."""

    priority: Priority = "normal"
    """Which cases begin first if more are due than can be worked on: those of "urgent" routes, then
    "normal", then "low". Each fourth case that begins is the one that has been due for longest.

    An urgent case also finds one place more than limits.cases."""

    leftovers: Literal["warn", "fail"] = "warn"
    """Whether a case fails ("fail") or has a warning ("warn") if the platform could not read
    all files that were sent."""

    integrity: Literal["refuse", "warn"] = "refuse"
    """Whether a series with missing, doubled or damaged slices is refused ("refuse"), or sent with
    a warning ("warn"). The same holds if the platform makes another image than was sent.

    The platform itself makes an image of what is left and does not warn. Whoever is responsible for
    the analysis should decide."""

    reuse: bool = False
    """Whether images that are already on the platform are used again and not uploaded.

    The folder's gcwatch.json names these images, if the folder is a result or comes from a
    mirror."""

    duplicates: Literal["hold", "send"] = "hold"
    """What gcwatch does with a folder that holds the same images as another folder of this inbox
    that is being sent or was delivered: it is not sent until somebody asks for it ("hold"), or it
    is sent like any other ("send").

    DICOM is compared by SOPInstanceUIDs, everything else by content."""

    after: Literal["keep", "move", "delete"] = "keep"
    """What gcwatch does with the folder in the inbox once its results are delivered."""

    changed: Literal["tell", "send"] = "tell"
    """What gcwatch does if a folder changes after its results were delivered: it says so in
    <folder>.changed.txt beside the results ("tell"), or sends the folder again ("send").

    New results appear beside the old ones, as <folder>.2. Each change that has settled makes a job,
    display set or item of its own."""

    on_delivered: Annotated[
        tuple[str, ...], Field(strict=False), AfterValidator(check_command)
    ] = ()
    """Command that runs once a case's results are in the outbox: its program and arguments, without
    a shell, such as ["/usr/local/bin/to-pacs", "{folder}"].

    {folder} is the full path of the result folder, {key} the case's key, {route} the route's name.
    It runs at least once, and again if it fails: docs/delivery-command.md."""

    done: Location | None = Field(default=None, validate_default=True)
    """Folder to which delivered folders are moved; only with after = "move"."""

    operator_files: bool = False
    """Whether an empty file <folder>.retry or <folder>.withdraw in the outbox does what `gcwatch
    retry` or `gcwatch withdraw` does. gcwatch then removes the file.

    So whoever may write into the outbox may have a folder sent again."""

    report: Location | None = None
    """Status file that gcwatch keeps up to date for people who see only the share: a page for
    browsers (status.html), or a text file (any other name, such as status.txt).

    It says what needs somebody and what to do, what waits and why; the page also what was
    delivered. It holds folder names. Put it beside the inbox and outbox, or directly into one of
    them. Its folder must exist."""

    table: bool = False
    """Whether the outbox holds a table of all its results, for spreadsheets, pandas and R:
    results.csv of an algorithm, with the values of all outputs; items.csv of a reader study or
    archive, with the pk of each item. docs/folders.md has its columns; it holds folder names."""

    pictures: bool = True
    """Whether a page of `report` shows small pictures of what was sent and what came back, as long
    as the share has it.

    Whoever sees the page then sees the images, with names that a device has written into them."""

    ignore: Annotated[tuple[_Inside, ...], Field(strict=False)] = ()
    """Globs of files that are never part of a case, in addition to the usual ones (.DS_Store, *.tmp
    …)."""

    only: Only | None = None
    """Which DICOM series of a folder are taken, by their elements:
    { Modality = "CT", SliceThickness = "<=1.5", SeriesDescription = "/lung/i" }. Without this key:
    all.

    A series must fit all of them. A list means one of several; "!=" not. A series that lacks an
    element is not taken. docs/images.md says more."""

    deidentify: bool = True
    """Whether gcwatch de-identifies images on this machine before it sends anything: DICOM, and the
    headers of MetaImage, NIfTI, NRRD, PNG, JPEG and TIFF."""

    unscrubbed: Annotated[tuple[Unscrubbed, ...], Field(strict=False)] = ()
    """Formats that gcwatch can't de-identify and that it sends as they are: mrxs, vms, vmu, ndpi,
    scn, bif, philips, fds, fda, e2e.

    Their headers and labels may hold a patient's name. A format that is not listed is refused."""

    burned_in: Literal["refuse", "allow"] = "refuse"
    """What happens to DICOM images that may show a name in the picture itself: they are refused
    ("refuse") or sent ("allow").

    These are ultrasound, secondary captures, photographs, screenshots, and all files with
    BurnedInAnnotation = YES. A person must have looked at what this scanner writes into its
    pictures."""

    blank: Annotated[tuple[Area, ...], Field(strict=False)] = ()
    """Regions of DICOM pictures that are blacked out, each "left,top,width,height" in pixels or
    percent: ["0,0,100%,12%"] is the upper 12 percent.

    Only with pixels that are not compressed; other files are refused."""

    procedure: Annotated[Location | None, AfterValidator(check_procedure)] = None
    """A lab's own procedure of de-identification for DICOM images, in the format of the platform's
    procedure (JSON). Its classes come before those that gcwatch knows.

    DICOM Image Set sockets always get the platform's procedure."""

    inputs: dict[Slug, Source] | None = Field(default=None, min_length=1, validate_default=True)
    """What each input socket gets, by the socket's slug: the files that match a glob,
    { json = "volume.json" } for a value from a JSON file of the folder, or { value = 0.5 }.

    With { files = "*.mha", optional = true } the files may be missing. { socket = "ct-image" } is
    the image that the folder's gcwatch.json holds for that socket (needs reuse = true).
    { column = "age" } is the value in that column of cases.csv (needs cases_table = true). Leave
    this key out if the algorithm takes just one image."""

    def with_inbox_below(self, state: Path) -> "Route":
        """Return a route with a source as one whose inbox is a folder of receipts; others as is."""
        if self.source is None:
            return self
        # Not by the route's name: under a new name it must find the cases that it has sent.
        inbox = state / "sources" / self.source.archive / self.kind / self.target
        return self.model_copy(update={"inbox": inbox, "reuse": True, "settle": 0.0})

    def source_mirror(self) -> "Mirror | None":
        """Return the mirror that keeps the receipts of a route's source; None without one."""
        if self.source is None:
            return None
        return Mirror(
            name=self.name,
            hosts=self.hosts,
            archive=self.source.archive,
            outbox=self.inbox,
            every=self.source.every,
            layout="receipts",
        )

    def pace(self, base: Pace) -> Pace:
        """Given the pace where a route leaves it open, return how fast this route's cases go."""
        return replace(base, settle=self.settle, poll=self.poll)

    @property
    def kind(self) -> Kind:
        """The kind of target that a case of this route is sent to."""
        return next((kind for kind in KIND_NAMES if getattr(self, kind) is not None), "algorithm")

    @property
    def target(self) -> str:
        """The slug of the target that a case is sent to."""
        return getattr(self, self.kind) or ""

    @field_validator("done")
    @classmethod
    def _done_goes_with_move(cls, done: Path | None, info: ValidationInfo) -> Path | None:
        if info.data.get("after") == "move" and done is None:
            raise value_error(
                'is needed for after = "move"',
                "name the folder to which delivered folders are moved",
            )
        if info.data.get("after", "move") != "move" and done is not None:
            raise value_error('is for after = "move" only', 'write after = "move", or remove done')
        return done

    @field_validator("pseudonyms")
    @classmethod
    def _pseudonyms_hide_names(cls, table: Path | None, info: ValidationInfo) -> Path | None:
        if table is not None and info.data.get("names") == "keep":
            hint = "remove one of both: names, or pseudonyms"
            raise value_error("would stand beside the folder's own name", hint)
        return table

    @field_validator("deidentify")
    @classmethod
    def _pseudonyms_need_it(cls, value: bool, info: ValidationInfo) -> bool:
        if not value and info.data.get("pseudonyms") is not None:
            hint = "remove deidentify, or remove pseudonyms"
            raise value_error("would leave names beside the pseudonym", hint)
        return value

    @field_validator("ready", "expect")
    @classmethod
    def _needs_a_folder(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("cases") == "files":
            raise value_error("is for folders only", 'remove it, or write cases = "folders"')
        if isinstance(value, str) and is_temporary(value):
            raise value_error(
                "is the name of a file that is still being copied", "write another name: READY.txt"
            )
        return value

    @field_validator("title", "order", "inputs")
    @classmethod
    def _fits_the_rest(cls, value: Any, info: ValidationInfo) -> Any:
        _check_fit(value, info.field_name or "", info.data)
        return value


def _check_fit(value: Any, key: str, others: Mapping[str, Any]) -> None:
    """Refuse a value that is useless or dangerous together with the route's other keys."""
    if key == "inputs":
        _check_inputs(value, others)
    elif value is None:
        return
    elif others.get("algorithm") is not None or (key == "order" and others.get("archive")):
        taker = "a reader study only" if key == "order" else "a reader study or archive"
        raise value_error(f"is for {taker}", "remove it")
    elif key == "title" and others.get("cases") == "series" and not names_each_case(value):
        hint = "put {id} into it: a title can be used only once in a reader study or archive"
        raise value_error("would be the title of all series of a patient", hint)
    elif "pseudonym" in template_fields(value) and others.get("pseudonyms") is None:
        raise value_error(
            "needs a table of pseudonyms", "name it: pseudonyms, or use {key} or {id}"
        )
    elif shows_folder_name(value) and others.get("names") == "opaque":
        hint = "use {key} or {id}; docs/privacy.md says what the platform sees of names"
        raise value_error("would show the platform the folder's name", hint)


def _check_inputs(inputs: Mapping[str, Source] | None, others: Mapping[str, Any]) -> None:
    if inputs is None and (others.get("reader_study") or others.get("archive")):
        raise value_error(
            "is needed for a reader study or archive",
            'write [route.inputs] with the sockets to fill: "ct-image" = "**/*.dcm"',
        )
    has_named = any(isinstance(source, Named) for source in (inputs or {}).values())
    if has_named and not (others.get("reuse") or others.get("source")):
        raise value_error("uses images again", "write reuse = true")
    has_files = any(isinstance(each, Glob | JsonFile) for each in (inputs or {}).values())
    if has_files and others.get("source"):
        raise value_error(
            "names files of a folder, and the items of an archive have none here",
            'name a socket of the items, { socket = "ct-image" }, or a value, { value = 0.5 }',
        )
    has_column = any(isinstance(source, Column) for source in (inputs or {}).values())
    if has_column and not others.get("cases_table"):
        raise value_error("takes values from cases.csv", "write cases_table = true")
