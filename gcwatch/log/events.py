"""The catalogue of events: all that gcwatch ever writes into its log."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from gcwatch.core.kinds import PRODUCT_KEYS
from gcwatch.log import journald


@dataclass(frozen=True)
class EventSpec:
    """One event: its level, what it means in a sentence, and the fields that it may carry."""

    level: str
    meaning: str
    fields: tuple[str, ...] = ()


def _debug(meaning: str, *fields: str) -> EventSpec:
    return EventSpec("debug", meaning, fields)


def _info(meaning: str, *fields: str) -> EventSpec:
    return EventSpec("info", meaning, fields)


def _warning(meaning: str, *fields: str) -> EventSpec:
    return EventSpec("warning", meaning, fields)


def _error(meaning: str, *fields: str) -> EventSpec:
    return EventSpec("error", meaning, fields)


_ITEM = tuple(key for key in PRODUCT_KEYS if key != "job")


CATALOGUE: Mapping[str, EventSpec] = {
    # --- the daemon and what carries it ----------------------------------------------------------
    "daemon.started": _info("The daemon works from now on.", "version", "routes", "pid"),
    "daemon.stopping": _info("A signal asked for the end; running steps are let out.", "signal"),
    "daemon.cut_short": _warning(
        "What was under way at a stop took too long and is cut; the next start goes on from there.",
        "seconds",
    ),
    "daemon.stopped": _info("Everything is put down; the next start goes on from here."),
    "config.loaded": _info("The config file was read and holds no mistake.", "file", "routes"),
    "config.reloaded": _info(
        "The config file was read anew and is followed from now on; nothing under way was cut off.",
        *("file", "added", "changed", "removed", "tables"),
    ),
    "config.refused": _error(
        "The config file was read anew and is refused; the one before is followed. Mend it, and"
        " reload again.",
        *("file", "problems"),
    ),
    "route.renamed": _info("A route has another name; its cases go on under it.", "old"),
    "journal.upgraded": _info("The journal was brought to a newer schema.", "old", "new"),
    "journal.full": _error("The journal can't be written; nothing new is begun.", "error"),
    "scheduler.job_failed": _error("A scheduled task ended in an error.", "job", "error", "frames"),
    "scheduler.job_missed": _warning("A scheduled task did not run at its time.", "job"),
    "watchdog.silent": _error(
        "Something hangs or is dead: systemd gets no sign of life until it goes on.",
        *("who", "seconds"),
    ),
    # --- watching --------------------------------------------------------------------------------
    "watch.started": _info("New folders are noticed at once.", "folders"),
    "watch.overflowed": _warning(
        "Too much changed at once; the next survey finds what was missed."
    ),
    "watch.failed": _warning(
        "Changes are not noticed at once; the survey still finds them.", "error"
    ),
    "inbox.away": _warning("An inbox is missing, empty or unreadable; its cases wait.", "error"),
    "inbox.returned": _info("An inbox that was away is back."),
    "inbox.on_network_file_system": _warning(
        "An inbox lies on a network file system; new folders are found by the survey only.",
        "file_system",
    ),
    "inbox.loose_files_ignored": _info(
        "Files lie beside the folders of an inbox; only folders are cases.", "files"
    ),
    "inbox.folders_ignored": _info(
        "Folders stand in an inbox whose files are the cases; they are left alone.", "folders"
    ),
    "report.failed": _warning(
        "A route's report can't be written, or another file stands in its place.", "error"
    ),
    "report.returned": _info("A route's report is kept up to date again."),
    "inbox.links_ignored": _warning("Symbolic links of an inbox are not followed.", "links"),
    # --- the platform ----------------------------------------------------------------------------
    "platform.token_refused": _error(
        "The platform refused the token; all work pauses and is tried again.", "seconds"
    ),
    "platform.token_accepted": _info("The platform accepts the token again; work goes on."),
    "platform.unreachable": _warning("The platform can't be reached; it is tried again.", "error"),
    "platform.reachable": _info("The platform can be reached again."),
    "platform.unknown_status": _warning(
        "The platform named a status that gcwatch does not know; it counts as running.", "status"
    ),
    # --- a case on its way -----------------------------------------------------------------------
    "case.found": _info("A new folder stands in an inbox."),
    "case.changed": _info("The folder changed; it has to settle (again).", "files", "bytes"),
    "case.settled": _info(
        "The folder is complete; it was watched for so many seconds.", "files", "bytes", "seconds"
    ),
    "case.vanished": _warning("The folder was taken away before everything was sent."),
    "case.planned": _info(
        "The folder's files are matched to the target's inputs.", "inputs", "why"
    ),
    "upload.begun": _info(
        "An upload begins; files that the input does not ask for are left out.",
        *("socket", "upload", "bytes", "files", "left_out"),
    ),
    "upload.resumed": _info(
        "An upload goes on after a cut; the platform has all but the missing parts.",
        "upload",
    ),
    "upload.completed": _info(
        "The platform has every byte of an upload.", "socket", "upload", "bytes", "seconds"
    ),
    "upload.files_completed": _info(
        "The platform has every byte of some files of a DICOM image set.",
        *("socket", "files", "bytes"),
    ),
    "uploads.expired": _warning("The platform dropped the uploads unused; they are sent again."),
    "session.prepared": _info("The platform is ready to read an image.", "socket", "session"),
    "case.submitting": _info("The job, display set or archive item is about to be asked for."),
    "case.submitted": _info("The job, display set or archive item exists.", *PRODUCT_KEYS, "url"),
    "case.filled": _info("The platform took what the item is to hold, and imports it.", *_ITEM),
    "case.warned": _warning(
        "Something is odd about what was sent; the case goes on.", "reason", "plain", "detail"
    ),
    "import.status_changed": _info("The import's status is another.", *_ITEM, "status"),
    "import.stalled": _warning(
        "The import takes longer than can be right; it is still watched.",
        *(*_ITEM, "status", "hours"),
    ),
    "import.succeeded": _info("Everything is attached.", *_ITEM, "images", "seconds"),
    "job.status_changed": _info("The job's status is another than before.", "job", "status"),
    "job.stalled": _warning(
        "The job takes longer than can be right; it is still watched.", "job", "status", "hours"
    ),
    "job.succeeded": _info("The job is done and holds results.", "job", "outputs", "seconds"),
    "output.fetched": _info("One output is here, whole and checked.", "output", "files", "bytes"),
    "case.delivered": _info(
        "The results stand in the outbox; the source was kept, moved or deleted, or has changed.",
        *("files", "bytes", "seconds", "source"),
    ),
    # --- a case that does not move ---------------------------------------------------------------
    "case.failed": _error("The case is given up for this reason.", "reason", "plain", "detail"),
    "case.explained": _info("The failure's explanation stands in the outbox."),
    "case.faltered": _warning(
        "A step did not work out; it is tried again, later each time.",
        *("step", "attempt", "reason", "plain", "detail"),
    ),
    "case.postponed": _info(
        "It is not this case's turn for so many seconds; this costs no attempt.",
        *("step", "reason", "plain", "detail", "seconds"),
    ),
    "case.orphaned": _warning(
        "The config has no such route any more; the case rests as it is until the route is back."
    ),
    "case.retried": _info("The operator wants the case tried again."),
    "case.withdrawn": _info("The operator took the case back."),
    "case.changed_late": _warning("The folder changed after it was sent; nothing is sent again."),
    "case.left": _debug("The folder of a closed case is no longer in the inbox."),
    "case.returned": _debug("The folder of a closed case is back as it was."),
    "step.crashed": _error("A fault in gcwatch stopped a step.", "step", "error", "frames"),
    # --- mirrors ---------------------------------------------------------------------------------
    "mirror.started": _info(
        "The archive was listed, and is compared with what is held of it.",
        *("mirror", "items", "held", "new", "changed"),
    ),
    "mirror.listing_empty": _warning(
        "The archive lists no item though some are held; nothing held is touched.",
        *("mirror", "held"),
    ),
    "mirror.item_fetched": _info(
        "An item stands in the mirror.", "mirror", "item", "files", "bytes", "seconds"
    ),
    "mirror.item_changed": _info(
        "An item was brought to what the archive has of it now.",
        *("mirror", "item", "files", "bytes", "seconds"),
    ),
    "mirror.item_gone": _warning(
        "An item left the archive; here it is kept, or moved away.", "mirror", "item", "gone"
    ),
    "mirror.item_returned": _info("An item that had left the archive is back.", "mirror", "item"),
    "mirror.item_failed": _warning(
        "An item can't be had for now; the next run tries again.",
        *("mirror", "item", "reason", "plain", "detail"),
    ),
    "mirror.finished": _info(
        "The mirror's run has come to its end.",
        *("mirror", "items", "fetched", "changed", "unchanged", "gone", "failed"),
        *("bytes", "seconds"),
    ),
    "mirror.failed": _warning(
        "A mirror's run did not work out; it is tried again after so many seconds.",
        *("mirror", "reason", "plain", "detail", "seconds"),
    ),
    # --- everything else -------------------------------------------------------------------------
    "library.message": _warning(
        "A library says something; the message never holds its arguments.",
        *("logger", "message", "error", "frames"),
    ),
}


COMMON_FIELDS = ("route", "case")


def reference() -> str:
    """Return the catalogue as docs/events.md."""
    return "\n".join([_INTRODUCTION, *_tables()]) + "\n"


_INTRODUCTION = """# Events

<!-- Generated from gcwatch/log/events.py: `make docs`. -->

One line an event: JSON on a pipe and in `[log] file`; coloured on a terminal.
Every line has `time` (ISO 8601, UTC), `level` and `event`, then `route` and `case` (the key) where
it is about one. With `[log] folder_names = true`, `case.*` events also have `folder`.
In systemd's journal an event is an entry: `MESSAGE` says it in a sentence, `PRIORITY` is its level
(error 3, warning 4, info 6, debug 7), `MESSAGE_ID` is its kind as below, and each field has a name
like `GCWATCH_EVENT`, `GCWATCH_CASE` or `GCWATCH_BYTES`; a list has a line for each of its values.
`bytes` are sizes, `seconds` and `hours` durations; `reason` is a code, said in words for a nurse in
`plain` and for an engineer in `detail`.
An `error` is the name of its type; `frames` are `module:function:line`, without any values."""


_HEAD = "| event | level | meaning | fields | MESSAGE_ID |\n|---|---|---|---|---|"


def _tables() -> Iterator[str]:
    grouped = sorted(CATALOGUE.items(), key=lambda item: item[0].partition(".")[0])
    for group, events in groupby(grouped, key=lambda item: item[0].partition(".")[0]):
        yield f"\n## {group}\n\n{_HEAD}"
        for name, spec in events:
            fields = ", ".join(f"`{field}`" for field in spec.fields)
            kind = journald.message_id(name)
            yield f"| `{name}` | {spec.level} | {spec.meaning} | {fields} | `{kind}` |"
