"""The catalogue of log events: gcwatch writes no others."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from gcwatch.core.kinds import PRODUCT_KEYS
from gcwatch.log import journald


@dataclass(frozen=True)
class EventSpec:
    """One event: its level, its meaning, and the fields that it may carry.

    `sentence` says the event with its facts, as `text.fill_sentence` fills them; where a reason
    belongs to the event, the reason's plain words follow it. `later` is the sentence in a case's
    history, if `sentence` says what was true only when the event happened.
    """

    level: str
    meaning: str
    fields: tuple[str, ...] = ()
    sentence: str = ""
    later: str = ""


def _debug(meaning: str, *fields: str) -> EventSpec:
    return EventSpec("debug", meaning, fields)


def _info(meaning: str, *fields: str, sentence: str = "") -> EventSpec:
    return EventSpec("info", meaning, fields, sentence)


def _warning(meaning: str, *fields: str, sentence: str = "", later: str = "") -> EventSpec:
    return EventSpec("warning", meaning, fields, sentence, later)


def _error(meaning: str, *fields: str, sentence: str = "") -> EventSpec:
    return EventSpec("error", meaning, fields, sentence)


_ITEM = tuple(key for key in PRODUCT_KEYS if key != "job")


CATALOGUE: Mapping[str, EventSpec] = {
    # --- the daemon and what it depends on -------------------------------------------------------
    "daemon.started": _info("The daemon has started.", "version", "routes", "pid"),
    "daemon.stopping": _info(
        "The daemon got a signal to stop; it lets running steps finish.", "signal"
    ),
    "daemon.cut_short": _warning(
        "Running work took too long to finish and was interrupted; the next start continues it.",
        "seconds",
    ),
    "daemon.stopped": _info("The daemon has stopped; the next start continues from here."),
    "config.loaded": _info("The config file was read and has no mistake.", "file", "routes"),
    "config.reloaded": _info(
        "The config file was read again and is in use from now on; running work was not"
        " interrupted.",
        *("file", "added", "changed", "removed", "tables"),
    ),
    "config.refused": _error(
        "The config file was read again and has mistakes; the previous one stays in use. Correct"
        " the config and reload again.",
        *("file", "problems"),
    ),
    "route.renamed": _info("A route has a new name; its cases continue under that name.", "old"),
    "route.elsewhere": _info(
        "This host does not work on a route or mirror: its key hosts names others.",
        *("host", "hosts"),
    ),
    "route.unknown": _error(
        "The config of another host gives this route another name; here nothing more is sent.",
    ),
    "inbox.taken_over": _warning(
        "Inboxes of another gcwatch belong to this one from now on.", "host", "state"
    ),
    "journal.upgraded": _info("The journal was upgraded to a newer schema.", "old", "new"),
    "journal.full": _error("The journal can't be written; no new work is started.", "error"),
    "journal.away": _error(
        "The journal's database does not answer; all work waits for it.", "error"
    ),
    "journal.newer": _error(
        "A newer gcwatch has upgraded the journal; this one does nothing until it is upgraded.",
        "error",
    ),
    "journal.returned": _info("The journal can be used again; work goes on."),
    "lease.lost": _warning(
        "Another host has taken over this work, as this one was too slow; here it ends.", "name"
    ),
    "spool.kept": _warning(
        "What is not needed any more in the spool can't be removed; tried again in an hour.",
        "error",
    ),
    "log.failed": _warning(
        "The log file can't be written; it is tried again with each line.", "error"
    ),
    "clock.set": _warning(
        "The clock of this machine was set, by negative seconds if back; waiting cases are checked "
        "again.",
        "seconds",
        sentence="The clock of this machine was set by {seconds} s.",
    ),
    "clock.unlikely": _warning(
        "The clock of this machine shows a time that can't be right; certificates, schedules and "
        "the times in receipts depend on it. Set it.",
        "shown",
        sentence="The clock of this machine shows {shown}, which can't be right.",
    ),
    "scheduler.job_failed": _error("A scheduled task ended in an error.", "job", "error", "frames"),
    "scheduler.job_missed": _warning("A scheduled task did not run at its time.", "job"),
    "watchdog.silent": _error(
        "A part of gcwatch makes no progress; systemd gets no sign of life until it continues.",
        *("who", "seconds"),
    ),
    # --- watching --------------------------------------------------------------------------------
    "watch.started": _info("New folders are noticed immediately.", "folders"),
    "watch.overflowed": _warning(
        "Too many changes at once; the next scan of the inbox finds those that were missed."
    ),
    "watch.failed": _warning(
        "Changes are not noticed immediately; the regular scan still finds them.", "error"
    ),
    "inbox.away": _warning("An inbox is missing, empty or unreadable; its cases wait.", "error"),
    "inbox.too_full": _warning(
        "An inbox has too many entries; nothing new is taken from it.", "limit"
    ),
    "inbox.returned": _info("An inbox can be reached again."),
    "inbox.on_network_file_system": _warning(
        "An inbox lies on a network file system; only the regular scan finds new folders.",
        "file_system",
    ),
    "inbox.loose_files_ignored": _info(
        "Files beside the folders of an inbox are ignored; only folders are cases.", "files"
    ),
    "inbox.folders_ignored": _info(
        "Folders in an inbox whose files are the cases are ignored.", "folders"
    ),
    "report.failed": _warning(
        "The status file of a route can't be written, or another file has its name.", "error"
    ),
    "report.returned": _info("The status file of a route is up to date again."),
    "table.failed": _warning(
        "The table of a route is not up to date: it can't be written, or another file has its "
        "name.",
        "table",
        "error",
    ),
    "table.returned": _info("The table of a route is up to date again.", "table"),
    "alert.sent": _info("An alert was delivered to all who are to get it.", "alerts"),
    "alert.failed": _warning(
        "An alert can't be delivered; it is tried again, and cases do not wait for it.", "error"
    ),
    "metrics.failed": _warning("The file of metrics can't be written.", "error"),
    "metrics.returned": _info("The file of metrics is up to date again."),
    "inbox.links_ignored": _warning("Symbolic links in an inbox are ignored.", "links"),
    # --- the platform ----------------------------------------------------------------------------
    "platform.token_refused": _error(
        "The platform refused the token; all work is paused.",
        "seconds",
        sentence="The platform refused the token; all work is paused. Next try in {seconds:span}.",
    ),
    "platform.token_accepted": _info("The platform accepts the token again; work continues."),
    "platform.busy": _info(
        "The platform asked for a pause: no host of this journal begins with a case.",
        "seconds",
        sentence="The platform asked for a pause of {seconds:span}: no host of this journal begins "
        "with a case.",
    ),
    "platform.unreachable": _warning(
        "The platform can't be reached; gcwatch tries again.", "error"
    ),
    "platform.reachable": _info("The platform can be reached again."),
    "platform.unknown_status": _warning(
        "The platform gave a job status that gcwatch does not know; the job counts as running.",
        "status",
    ),
    # --- a case on its way -----------------------------------------------------------------------
    "case.found": _info("A new folder is in an inbox."),
    "case.changed": _info(
        "The folder changed; gcwatch waits until it is complete.", "files", "bytes"
    ),
    "case.settled": _info(
        "The folder is complete: unchanged for the settle time, or marked as ready.",
        *("files", "bytes", "seconds", "unchanged_seconds"),
        sentence="Folder complete: unchanged for {unchanged_seconds:span} ({files} "
        "{files:file|files}, {bytes:size}).",
    ),
    "case.vanished": _warning("The folder was removed before everything was sent."),
    "case.planned": _info(
        "The folder's files are matched to the target's inputs.", "inputs", "why"
    ),
    "upload.begun": _info(
        "An upload starts; files that the input does not use are left out.",
        *("socket", "upload", "bytes", "files", "left_out"),
    ),
    "upload.resumed": _info(
        "An interrupted upload continues with the parts that the platform does not have yet.",
        "upload",
    ),
    "upload.completed": _info(
        "The platform has every byte of an upload.", "socket", "upload", "bytes", "seconds"
    ),
    "upload.files_completed": _info(
        "The platform has every byte of some files of a DICOM image set.",
        *("socket", "files", "bytes"),
    ),
    "uploads.expired": _warning(
        "The platform dropped the uploads before they were used; they are sent again."
    ),
    "session.prepared": _info("The platform is ready to read an image.", "socket", "session"),
    "case.submitting": _info("gcwatch is about to make the job, display set or archive item."),
    "case.submitted": _info("The job, display set or archive item exists.", *PRODUCT_KEYS, "url"),
    "case.filled": _info("The platform accepted the content of the item and imports it.", *_ITEM),
    "case.warned": _warning(
        "Something is odd about what was sent or came back; the case continues.",
        *("reason", "plain", "detail"),
        sentence="Warning; the case continues:",
    ),
    "import.status_changed": _info(
        "The status of the import changed.",
        *(*_ITEM, "status"),
        sentence="Import status is now {status}.",
    ),
    "import.stalled": _warning(
        "The import takes much longer than it should; gcwatch still watches it.",
        *(*_ITEM, "status", "hours"),
    ),
    "import.succeeded": _info(
        "The item holds everything that was sent.", *_ITEM, "images", "seconds"
    ),
    "job.status_changed": _info(
        "The status of the job changed.", "job", "status", sentence="Job status is now {status}."
    ),
    "job.stalled": _warning(
        "The job takes much longer than it should; gcwatch still watches it.",
        *("job", "status", "hours"),
    ),
    "job.succeeded": _info("The job is done and has results.", "job", "outputs", "seconds"),
    "output.fetched": _info(
        "One output is downloaded, complete and checked.", "output", "files", "bytes"
    ),
    "case.delivered": _info(
        "The results are in the outbox; source says what gcwatch did with the folder in the inbox.",
        *("files", "bytes", "seconds", "source"),
        sentence="The results are in the outbox, {seconds:span} after the folder was found "
        "({files} {files:file|files}, {bytes:size}); the folder in the inbox: {source}.",
    ),
    "case.adopted": _warning(
        "The outbox already holds the results of this folder; nothing is sent. The journal is "
        "older than the outbox.",
        *("receipt", *PRODUCT_KEYS),
    ),
    "command.completed": _info(
        "The command after the delivery (on_delivered) has run.",
        "seconds",
        sentence="The command after the delivery ended well after {seconds:span}.",
    ),
    "command.failed": _warning(
        "The command after the delivery (on_delivered) failed; gcwatch tries again, with growing "
        "pauses.",
        *("attempt", "reason", "plain", "detail"),
        sentence="The command after the delivery failed (attempt {attempt}):",
    ),
    "command.given_up": _error(
        "The command after the delivery (on_delivered) failed too often; gcwatch retry runs it "
        "again.",
        *("attempt", "reason", "plain", "detail"),
        sentence="The command after the delivery failed {attempt} times and is not tried again:",
    ),
    "command.dropped": _info(
        "The route has no command (on_delivered) any more; none runs for this case."
    ),
    # --- a case that does not move ---------------------------------------------------------------
    "case.failed": _error(
        "The case failed for this reason.",
        *("reason", "plain", "detail"),
        sentence="The case failed:",
    ),
    "case.explained": _info("The failure note is in the outbox."),
    "case.faltered": _warning(
        "A step failed; gcwatch tries again, with growing pauses.",
        *("step", "attempt", "seconds", "reason", "plain", "detail"),
        sentence="{step} failed (attempt {attempt}); next try in {seconds:span}:",
        later="{step} failed (attempt {attempt}):",
    ),
    "case.postponed": _info(
        "The case has to wait; this costs no attempt.",
        *("step", "reason", "plain", "detail", "seconds"),
        sentence="Next try in {seconds:span}:",
    ),
    "case.copy_stopped": _warning(
        "A copy into the folder has not gone on for an hour; the case waits until somebody looks.",
        *("reason", "plain", "detail"),
        sentence="Waiting for somebody to look:",
    ),
    "case.orphaned": _warning(
        "The config no longer has this route; the case waits until the route is back."
    ),
    "case.retried": _info("The operator asked for another try of this case."),
    "case.withdrawn": _info("The operator withdrew the case; gcwatch leaves it alone."),
    "case.changed_late": _warning(
        "The folder changed after it was delivered; a note in the outbox says so.",
        *("files", "bytes", "changed"),
    ),
    "case.sent_again": _info(
        "The folder changed after it was delivered; another case sends it as it is now.", "next"
    ),
    "case.as_sent_again": _info(
        "The folder is again as it was sent; the note in the outbox is removed."
    ),
    "case.corrected": _info(
        "The folder of a failed case changed; the case is tried again once the folder has settled.",
        *("files", "bytes"),
    ),
    "case.left": _debug("The folder of a closed case is no longer in the inbox."),
    "case.renamed": _warning(
        "The folder has another name; it is the same case and is not sent again."
    ),
    "case.returned": _debug("The folder of a closed case is back, unchanged."),
    "operator_file.refused": _warning(
        "An operator file asks for a verb that can't be done; the file says why.", "verb"
    ),
    "operator_file.stuck": _warning(
        "An operator file can't be removed; its verb is done only once.",
        "error",
    ),
    "step.crashed": _error("A fault in gcwatch stopped a step.", "step", "error", "frames"),
    # --- mirrors ---------------------------------------------------------------------------------
    "mirror.started": _info(
        "The archive or reader study was listed and compared with the mirror.",
        *("mirror", "items", "held", "new", "changed"),
    ),
    "mirror.listing_empty": _warning(
        "No items are listed although the mirror has some; the mirror stays as it is.",
        *("mirror", "held"),
    ),
    "mirror.item_fetched": _info(
        "A new item is in the mirror.", "mirror", "item", "files", "bytes", "seconds"
    ),
    "mirror.item_changed": _info(
        "An item in the mirror was updated to its state on the platform.",
        *("mirror", "item", "files", "bytes", "seconds"),
    ),
    "mirror.item_gone": _warning(
        "An item is no longer on the platform; here it was kept or moved away.",
        *("mirror", "item", "gone"),
    ),
    "mirror.item_returned": _info("An item that had left the platform is back.", "mirror", "item"),
    "mirror.item_failed": _warning(
        "An item could not be fetched; the next run tries again.",
        *("mirror", "item", "reason", "plain", "detail"),
    ),
    "mirror.finished": _info(
        "The run of the mirror is complete.",
        *("mirror", "items", "fetched", "changed", "unchanged", "gone", "failed"),
        *("bytes", "seconds", "answers", "masks_missing"),
    ),
    "mirror.failed": _warning(
        "The run of a mirror failed.",
        *("mirror", "reason", "plain", "detail", "seconds"),
        sentence="The run of mirror {mirror} failed; next try in {seconds:span}:",
    ),
    # --- everything else -------------------------------------------------------------------------
    "library.message": _warning(
        "A message of a library; it never holds the message's arguments.",
        *("logger", "message", "error", "frames"),
    ),
}


COMMON_FIELDS = ("route", "case")


def reference() -> str:
    """Return the text of docs/events.md."""
    return "\n".join([_INTRODUCTION, *_tables()]) + "\n"


_INTRODUCTION = """# Events

<!-- Generated from gcwatch/log/events.py: `make docs`. -->

Each event is one line: JSON on a pipe and in `[log] file`, coloured text on a terminal.
Every line has `time` (ISO 8601, UTC), `level` and `event`; then `host` if several share the
journal,
and `route` and `case` (the key) if it concerns one. With `[log] folder_names = true`, `case.*`
events also have `folder`.
In journald an event is one entry: `MESSAGE` is a sentence, `PRIORITY` the level (error 3, warning
4, info 6, debug 7), `MESSAGE_ID` the kind of event as in the tables below. Each field has a name
such as `GCWATCH_EVENT`, `GCWATCH_CASE` or `GCWATCH_BYTES`; a list has one line for each value.
`bytes` are sizes; `seconds` and `hours` are durations. `reason` is a code; `plain` explains it to
whoever dropped the folder, `detail` to IT ([all reasons](troubleshooting.md#all-reasons)).
`error` is the type of an error; `frames` are `module:function:line`, without any values."""


_HEAD = "| event | level | meaning | fields | MESSAGE_ID |\n|---|---|---|---|---|"


def _tables() -> Iterator[str]:
    grouped = sorted(CATALOGUE.items(), key=lambda item: item[0].partition(".")[0])
    for group, events in groupby(grouped, key=lambda item: item[0].partition(".")[0]):
        yield f"\n## {group}\n\n{_HEAD}"
        for name, spec in events:
            fields = ", ".join(f"`{field}`" for field in spec.fields)
            kind = journald.message_id(name)
            yield f"| `{name}` | {spec.level} | {spec.meaning} | {fields} | `{kind}` |"
