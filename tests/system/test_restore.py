"""A dump of a shared journal is restored by the commands of docs/two-servers.md."""

import re
import shlex
import subprocess
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from support.checkout import ROOT
from support.journals import open_journal
from support.postgres import SUPERUSER, PostgresServer, missing

from gcwatch.config.values.journal_address import parse_journal_address

COMMAND = re.compile(r"^\$ ((?:pg_dump|dropdb|createdb|pg_restore) .*)$", re.MULTILINE)


@pytest.mark.prove
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_a_dump_is_restored_as_the_page_says(tmp_path):
    """The journal is as it was when it was dumped, and the same role goes on with it."""
    dump, *restore = COMMAND.findall((ROOT / "docs/two-servers.md").read_text())
    assert len(restore) == 3
    with PostgresServer() as server:
        with psycopg.connect(host=str(server.folder), user=SUPERUSER, autocommit=True) as session:
            session.execute("CREATE ROLE gcwatch LOGIN")
            session.execute("CREATE DATABASE gcwatch OWNER gcwatch")
        address = parse_journal_address(
            f"postgresql://gcwatch@/gcwatch?host={server.folder}", Path()
        )
        with closing(open_journal(address)) as journal:
            kept = journal.open_case("lobes", "p1")
            run(dump, server, tmp_path)
            journal.open_case("lobes", "p2")

        for command in restore:
            run(command, server, tmp_path)

        with closing(open_journal(address)) as journal:
            assert list(journal.cases()) == [kept]
            journal.open_case("lobes", "p3")


def run(command, server, folder):
    """Call a program of the server's, as its administrator."""
    name, *options = shlex.split(command)
    environment = {"PGHOST": str(server.folder), "PGUSER": SUPERUSER}
    subprocess.run([server.programs / name, *options], env=environment, cwd=folder, check=True)
