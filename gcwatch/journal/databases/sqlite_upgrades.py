"""The tables of a journal in SQLite, and its upgrades.

`cases` has a row for each case: its record, and the columns that questions ask for. `events` has
what happened to each, `routes` where each route was last. `VERSIONS` defines them.
"""

from typing import Final

_COUNT: Final = """INSERT INTO counts VALUES ({row}.route, {row}.stage, {step})
    ON CONFLICT DO UPDATE SET number = number + {step};"""
"""Counts a row of `cases` in the table of counts."""

VERSIONS = (
    (
        """CREATE TABLE cases (
            key TEXT PRIMARY KEY, route TEXT NOT NULL, folder BLOB NOT NULL,
            newest BOOLEAN NOT NULL, open BOOLEAN NOT NULL, stage TEXT NOT NULL,
            gone BOOLEAN NOT NULL, stamp INTEGER NOT NULL, due FLOAT, record TEXT NOT NULL)""",
        """CREATE TABLE events (
            id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL REFERENCES cases (key),
            at FLOAT NOT NULL, kind TEXT NOT NULL, record TEXT NOT NULL)""",
        "CREATE INDEX events_key ON events (key)",
        "CREATE INDEX cases_due ON cases (open, due)",
        "CREATE INDEX cases_folder ON cases (route, newest, folder)",
    ),
    (
        "ALTER TABLE cases ADD COLUMN job TEXT",
        "UPDATE cases SET job = record ->> '$.job.pk'",
        "CREATE INDEX cases_job ON cases (job)",
        "CREATE INDEX cases_stage ON cases (stage)",
    ),
    (
        "ALTER TABLE cases RENAME COLUMN job TO submission",
        """UPDATE cases SET record = json_remove(
            json_set(record, '$.submission', json_patch(record -> '$.job',
            json_object('parent', coalesce(record ->> '$.target.api_url', '')))), '$.job')
            WHERE record -> '$.job' IS NOT NULL""",
        """UPDATE events SET record = json_remove(
            json_set(record, '$.pk', record ->> '$.job'), '$.job')
            WHERE kind = 'Submitted'""",
    ),
    (
        "ALTER TABLE cases ADD COLUMN notable BOOLEAN NOT NULL DEFAULT 0",
        """UPDATE cases SET notable = 1 WHERE stage = 'failed'
            OR (stage = 'delivered' AND json_array_length(record, '$.warnings') > 0)""",
        "CREATE INDEX cases_notable ON cases (notable, newest, gone)",
        "CREATE INDEX cases_route_stage ON cases (route, stage)",
    ),
    (
        "CREATE TABLE routes (name TEXT PRIMARY KEY, inbox BLOB NOT NULL, target TEXT NOT NULL)",
        "INSERT INTO routes SELECT DISTINCT route, CAST('' AS BLOB), '' FROM cases",
    ),
    (
        # Up to version 5 the name of an event was the name of its class.
        """UPDATE events SET kind = CASE kind
            WHEN 'Found' THEN 'folder_found'
            WHEN 'Changed' THEN 'folder_changed'
            WHEN 'Settled' THEN 'folder_settled'
            WHEN 'Vanished' THEN 'folder_vanished'
            WHEN 'Planned' THEN 'planned'
            WHEN 'Begun' THEN 'upload_started'
            WHEN 'Resumed' THEN 'upload_resumed'
            WHEN 'Uploaded' THEN 'upload_completed'
            WHEN 'FilesUploaded' THEN 'files_uploaded'
            WHEN 'UploadsExpired' THEN 'uploads_expired'
            WHEN 'Prepared' THEN 'session_created'
            WHEN 'Attempted' THEN 'submission_attempted'
            WHEN 'Submitted' THEN 'submitted'
            WHEN 'Warned' THEN 'warning_found'
            WHEN 'Filled' THEN 'item_filled'
            WHEN 'StillRunning' THEN 'still_running'
            WHEN 'Succeeded' THEN 'succeeded'
            WHEN 'OutputFetched' THEN 'output_fetched'
            WHEN 'Delivered' THEN 'delivered'
            WHEN 'Rejected' THEN 'rejected'
            WHEN 'Reported' THEN 'failure_reported'
            WHEN 'Faltered' THEN 'attempt_failed'
            WHEN 'Postponed' THEN 'postponed'
            WHEN 'Retried' THEN 'retried'
            WHEN 'Withdrawn' THEN 'withdrawn'
            WHEN 'Touched' THEN 'folder_changed_late'
            WHEN 'Left' THEN 'folder_removed'
            WHEN 'Returned' THEN 'folder_returned'
            WHEN 'Renamed' THEN 'route_renamed'
            ELSE kind END""",
    ),
    (
        "ALTER TABLE cases ADD COLUMN listing TEXT",
        "UPDATE cases SET listing = record ->> '$.seen.digest'",
        "CREATE INDEX cases_listing ON cases (listing)",
    ),
    (
        # A closed case may be due, too: a change in its folder has to be reported.
        "DROP INDEX cases_due",
        "CREATE INDEX cases_open ON cases (open)",
        "CREATE INDEX cases_due ON cases (due) WHERE due IS NOT NULL",
    ),
    (
        "ALTER TABLE cases ADD COLUMN content TEXT",
        "CREATE INDEX cases_content ON cases (content)",
    ),
    (
        "ALTER TABLE cases ADD COLUMN touched FLOAT",
        "UPDATE cases SET touched = record ->> '$.touched'",
        "CREATE INDEX cases_ended ON cases (route, stage, touched)",
    ),
    (
        "ALTER TABLE cases ADD COLUMN command BOOLEAN NOT NULL DEFAULT 0",
        "ALTER TABLE cases ADD COLUMN command_failed BOOLEAN NOT NULL DEFAULT 0",
        "CREATE INDEX cases_command ON cases (route, due) WHERE command = 1",
        "CREATE INDEX cases_command_failed ON cases (key) WHERE command_failed = 1",
    ),
    (
        # SQLite does not use an index of some rows for one side of an OR.
        "DROP INDEX cases_command_failed",
        "CREATE INDEX cases_command_failed ON cases (command_failed)",
    ),
    (
        # A million closed cases: each of their columns is in as few indices as can be, and nothing
        # that is asked often reads them. `packed`: see packing.py; then `record` is empty.
        "ALTER TABLE cases ADD COLUMN packed BLOB",
        "DROP INDEX cases_stage",
        "DROP INDEX cases_route_stage",
        "DROP INDEX cases_open",
        "DROP INDEX cases_notable",
        "DROP INDEX cases_command_failed",
        "DROP INDEX cases_content",
        "CREATE INDEX cases_open ON cases (open) WHERE open = 1",
        """CREATE INDEX cases_notable ON cases (notable)
            WHERE notable = 1 AND newest = 1 AND gone = 0""",
        "CREATE INDEX cases_command_failed ON cases (command_failed) WHERE command_failed = 1",
        "CREATE INDEX cases_content ON cases (content) WHERE newest = 1 AND gone = 0",
        "CREATE INDEX cases_current ON cases (route) WHERE newest = 1 AND (gone = 0 OR open = 1)",
        """CREATE INDEX cases_unpacked ON cases (touched)
            WHERE open = 0 AND packed IS NULL AND due IS NULL""",
        """CREATE TABLE counts (
            route TEXT, stage TEXT, number INTEGER NOT NULL, PRIMARY KEY (route, stage)
            ) WITHOUT ROWID""",
        """CREATE TABLE totals (
            route TEXT, what TEXT, reason TEXT, number INTEGER NOT NULL, at FLOAT NOT NULL,
            PRIMARY KEY (route, what, reason)) WITHOUT ROWID""",
        """INSERT INTO totals SELECT route, 'delivered', '', count(*), max(at)
            FROM events JOIN cases ON cases.key = events.key
            WHERE kind = 'delivered' GROUP BY route""",
        """INSERT INTO totals SELECT route, 'failed', coalesce((
                SELECT why.record ->> '$.reason.code' FROM events AS why
                WHERE why.key = events.key AND why.id < events.id
                AND why.kind IN ('rejected', 'attempt_failed') ORDER BY why.id DESC LIMIT 1
            ), '') AS reason, count(*), max(at)
            FROM events JOIN cases ON cases.key = events.key
            WHERE kind = 'failure_reported' GROUP BY route, reason""",
        """INSERT INTO totals SELECT route, 'uploaded', '', sum(size), max(at) FROM (
                SELECT events.key, events.at, began.record ->> '$.upload.size' AS size
                FROM events JOIN events AS began ON began.key = events.key
                WHERE events.kind = 'upload_completed' AND began.kind = 'upload_started'
                AND began.record ->> '$.upload.pk' = events.record ->> '$.pk'
                UNION ALL SELECT events.key, events.at, each.value ->> '$.size'
                FROM events, json_each(events.record, '$.uploads') AS each
                WHERE kind = 'files_uploaded'
            ) AS sent JOIN cases ON cases.key = sent.key GROUP BY route""",
        # What stays of a case that was pruned.
        "CREATE TABLE pruned (key TEXT PRIMARY KEY, submission TEXT) WITHOUT ROWID",
        "CREATE INDEX pruned_submission ON pruned (submission)",
        "INSERT INTO counts SELECT route, stage, count(*) FROM cases GROUP BY route, stage",
        *(
            f"""CREATE TRIGGER count_{name} AFTER {change} BEGIN
                {" ".join(_COUNT.format(row=row, step=step) for row, step in rows)} END"""
            for name, change, rows in (
                ("new", "INSERT ON cases", [("NEW", 1)]),
                (
                    "changed",
                    """UPDATE ON cases
                    WHEN (OLD.route, OLD.stage) IS NOT (NEW.route, NEW.stage)""",
                    [("OLD", -1), ("NEW", 1)],
                ),
                ("dropped", "DELETE ON cases", [("OLD", -1)]),
            )
        ),
    ),
    (
        # Of a packed case it stays unknown, -1.
        "ALTER TABLE cases ADD COLUMN bytes INTEGER NOT NULL DEFAULT -1",
        """UPDATE cases SET bytes = coalesce(
            record ->> '$.late.snapshot.bytes', record ->> '$.seen.bytes', -1)
            WHERE packed IS NULL""",
        "CREATE INDEX cases_bytes ON cases (bytes) WHERE newest = 1 AND gone = 0",
    ),
)
"""The statements that upgrade a journal from version n to n + 1; only ever append to them."""
