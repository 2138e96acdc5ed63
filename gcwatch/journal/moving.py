"""A journal moves from the state directory to a database that several hosts share, or back.

The one that is left stays as it is, but can't be used by mistake: who worked by it again would send
everything a second time.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gcwatch.config import Settings
from gcwatch.core.errors import Misused, StateError
from gcwatch.files.atomic import write_atomically
from gcwatch.files.key_file import KEY_FILE, read_or_make_key
from gcwatch.journal.copying import copy_journal
from gcwatch.journal.databases.opening import open_shared
from gcwatch.journal.databases.sqlite import JOURNAL_FILE, MOVED_FILE, SqliteDatabase
from gcwatch.journal.hosts.ownership import IDENTITY_FILE, this_owner
from gcwatch.journal.hosts.presence import only_daemon

if TYPE_CHECKING:
    from gcwatch.journal.databases.postgres import PostgresDatabase


def move_to_database(
    settings: Settings, clock: Callable[[], float], copied: Callable[[int], None]
) -> int:
    """Copy the journal of the state directory to the database of the config; return its cases.

    The inboxes belong to the database's journal then, and the secret key is there, too.

    Raises:
        Misused: when the config names no database.
        StateError: when a gcwatch works by one of the journals, or the database has cases.
        JournalUnavailable: when one of them can't be used at the moment; nothing has changed then.
    """
    state = settings.state
    with _alone(settings, clock) as shared, closing(SqliteDatabase(state, clock)) as old:
        key = read_or_make_key(settings.key_folder or state)
        once = {"identity": this_owner(state).identity, "key": key.hex()}
        count = copy_journal(old, shared, copied, lambda new: shared.set_meta(new, once))
        # Last: until here the state directory is used as before.
        write_atomically(state / MOVED_FILE, f"{shared.place}\n".encode())
        # This host gets another one: its old identity is that of the journal now.
        (state / IDENTITY_FILE).unlink()
    return count


def move_to_state_directory(
    settings: Settings, clock: Callable[[], float], copied: Callable[[int], None]
) -> int:
    """Copy the journal of the database to the state directory; return its cases.

    Raise as `move_to_database` does.
    """
    state = settings.state
    with (
        _alone(settings, clock) as shared,
        tempfile.TemporaryDirectory(prefix="copy-", dir=state) as aside,
    ):
        with closing(SqliteDatabase(Path(aside), clock)) as new:
            count = copy_journal(shared, new, copied, lambda _: None)
        write_atomically(state / IDENTITY_FILE, shared.meta("identity").encode())
        folder = settings.key_folder or state
        write_atomically(folder / KEY_FILE, bytes.fromhex(shared.meta("key")))
        with shared.writing() as connection:
            shared.set_meta(connection, {"moved": str(state)})
        Path(aside, JOURNAL_FILE).replace(state / JOURNAL_FILE)
        (state / MOVED_FILE).unlink(missing_ok=True)
    return count


@contextmanager
def _alone(settings: Settings, clock: Callable[[], float]) -> Iterator["PostgresDatabase"]:
    """Open the database of the config; nobody works by it or in the state directory meanwhile."""
    if settings.journal is None:
        raise Misused(
            "The config names no database for the journal.",
            'Add journal = "postgresql://…" to it, and copy then.',
        )
    with only_daemon(settings.state), closing(open_shared(settings.journal, clock)) as shared:
        if at_work := shared.hosts_at_work():
            raise StateError(
                f"gcwatch works by {shared.place} on {', '.join(at_work)}.", "Stop it there first."
            )
        yield shared
