"""What is wrong between the folder and the platform: network, disk, rights, gcwatch itself."""

from collections.abc import Mapping
from typing import Final

from gcwatch.core.catalogue.entry import ReasonEntry

SURROUNDINGS_REASONS: Final[Mapping[str, ReasonEntry]] = {
    "unreachable": ReasonEntry(
        "The platform can't be reached at the moment.",
        "{call} failed: {error}",
        is_platform_away=True,
    ),
    "untrusted_certificate": ReasonEntry(
        "The platform can't be reached at the moment.",
        "{call} failed: the certificate is not trusted ({problem}).",
        hint="If a proxy of this network inspects TLS, save the certificate of its authority (PEM) "
        "in a file, and name the file: ca_bundle in [platform] of the config, or gcwatch send "
        "--ca-bundle FILE. If the certificate has expired, check this computer's clock.",
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
        needs_person=True,
    ),
    "disk_full": ReasonEntry(
        "There is a problem with this computer's disk; nothing is sent until it is solved.",
        "The journal can't be written; all work is paused, and goes on by itself.",
        hint="Make room on the disk of the state directory, or let gcwatch write there again.",
        needs_person=True,
    ),
    "database_away": ReasonEntry(
        "The database that gcwatch works by does not answer; nothing is sent until it does.",
        "The journal's database does not answer; all work is paused, and goes on by itself.",
        hint="Look after the database, and the network between this computer and it.",
        needs_person=True,
    ),
    "journal_newer": ReasonEntry(
        "The gcwatch on this computer is too old; nothing is sent from here until it is upgraded.",
        "A newer gcwatch on another host has upgraded the journal; all work here is paused.",
        hint="Install the gcwatch of the other hosts here, too.",
        needs_person=True,
    ),
    "result_renamed": ReasonEntry(
        "The results are in {result}: the results folder can't hold the name {folder}.",
        "The file system of the outbox refuses the name; what it refuses is replaced by _.",
        advice="Look for {result} in the results folder.",
        hint="Nothing has to be done. Names without < > : ? * | and quotes are kept as they are.",
    ),
    "command_failed": ReasonEntry(
        "The results are in the results folder, but what should happen with them next failed.",
        "The command of on_delivered {problem}.",
        advice="Tell IT. The results themselves are complete.",
        hint="Correct the command or what it needs, and run gcwatch retry with this case: it runs "
        "the command again and sends nothing.",
        patience=100,
    ),
    "archive_not_found": ReasonEntry(
        "The archive can't be seen; what is already here of it stays.",
        "Archive {slug} does not exist, or this token has no access to it.",
        hint="Check the slug, and ask the archive's editors for access.",
    ),
    "algorithm_not_found": ReasonEntry(
        "The algorithm can't be seen; what is already here of it stays.",
        "Algorithm {slug} does not exist, or this token has no access to it.",
        hint="Check the slug, and ask the algorithm's editors for access.",
    ),
    "reader_study_not_found": ReasonEntry(
        "The reader study can't be seen; what is already here of it stays.",
        "Reader study {slug} does not exist, or this token has no access to it.",
        hint="Check the slug, and ask the study's editors for access.",
    ),
    "answers_not_seen": ReasonEntry(
        "The answers of other readers can't be seen any more; what is already here of them stays.",
        "This account is no editor of reader study {slug}, so it sees only its own answers.",
        hint="Ask the study's editors to make this account an editor again, or use another outbox.",
    ),
    "table_not_written": ReasonEntry(
        "The table {table} is not up to date: somebody has changed it, or has it open.",
        "{table} is not as gcwatch wrote it, or can't be replaced: {error}.",
        hint="Close it in other programs. If it was changed, move it away: gcwatch then writes "
        "it anew.",
    ),
    "mirror_refused": ReasonEntry(
        "The platform refuses a part of what is mirrored; what is already here of it stays.",
        "{call} was answered {status}: {message}",
        hint="If this goes on, ask the editors of the archive or reader study.",
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
