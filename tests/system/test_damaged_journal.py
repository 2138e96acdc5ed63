"""Whatever became of the journal: every command says so in words, with an exit code of its own."""

import os
import shutil
import sqlite3
from contextlib import closing

import pytest
from support.builders import Site

from gcwatch.cli import main
from gcwatch.sandbox import Sandbox

COMMANDS = [
    ("status",),
    ("audit",),
    ("once",),
    ("run",),
    ("plan",),
    ("check",),
    ("show", "lobes/p1"),
    ("retry", "lobes/p1"),
    ("withdraw", "lobes/p1"),
]


def sql(statement):
    def change(path):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(statement)

    return change


def bytes_at(place, content):
    def change(path):
        with path.open("r+b") as file:
            file.seek(place)
            file.write(content)

    return change


def instead(make):
    def change(path):
        path.unlink()
        make(path)

    return change


DAMAGES = {
    "noise": lambda path: path.write_bytes(bytes(range(1, 256)) * 200),
    "a text": lambda path: path.write_text("hello\n"),
    "half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "the header": lambda path: os.truncate(path, 100),
    "noise in pages": bytes_at(4096, bytes(range(256)) * 64),
    "a folder": instead(os.mkdir),
    "a pipe": instead(os.mkfifo),
    "a device": instead(lambda path: path.symlink_to("/dev/zero")),
    "its log a folder": lambda path: path.with_name(f"{path.name}-wal").mkdir(),
    "a negative version": sql("PRAGMA user_version = -3"),
    "half a case": sql("""UPDATE cases SET record = '{"key": '"""),
    "a case that is null": sql("UPDATE cases SET record = 'null'"),
    "a case that is empty": sql("UPDATE cases SET record = '{}'"),
    "a case that is a number": sql("UPDATE cases SET record = 7"),
    "half an event": sql("UPDATE events SET record = '{'"),
    "a deep event": sql("UPDATE events SET record = replace(hex(zeroblob(50000)), '0', '[')"),
    "an unknown event": sql("UPDATE events SET kind = 'Unknown'"),
    "an event at no time": sql("UPDATE events SET at = 'never'"),
    "an event at an endless time": sql("UPDATE events SET at = 1e300"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A site with one delivered case, and a copy of its state."""
    folder = tmp_path_factory.mktemp("damaged")
    with Sandbox(folder / "sandbox") as sandbox:
        site = Site(folder, sandbox)
        site.drop()
        site.run_once()
        shutil.copytree(site.state, site.folder / "whole")
        yield site


def outcome(site, command, capsys):
    """Run a command; return its exit code and what it said."""
    with pytest.raises(SystemExit) as end:
        main([*command, "--config", str(site.file)])
    told = capsys.readouterr()
    return end.value.code, told.out + told.err


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_journal_is_told_as_that_by_every_command(site, capsys, damage):
    """Exit code 65 (78 of check), no traceback, no fault of gcwatch, and nothing is sent."""
    found = {}
    for command in COMMANDS:
        shutil.rmtree(site.state)
        shutil.copytree(site.folder / "whole", site.state)
        DAMAGES[damage](site.state / "journal.sqlite")
        if command == ("run",) and "event" in damage:
            continue  # the daemon reads no history, so it would run
        code, told = outcome(site, command, capsys)
        is_told = "is damaged" in told and code == (78 if command == ("check",) else 65)
        # A run that has nothing to do may end before it reads a case that is delivered.
        may_end = command == ("once",) and "a case" in damage
        may_miss = "event" in damage or command in {("check",), ("status",)} or may_end
        if not is_told and not (may_miss and code in {0, 3}):
            found[command] = (code, told[-300:])
    assert found == {}
    assert len(site.jobs()) == 1
