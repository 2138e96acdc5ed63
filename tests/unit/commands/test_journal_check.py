"""What `gcwatch check` says of a journal on PostgreSQL, asked of a real server."""

import re
import secrets
import socket
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
import trustme
from support.checkout import ROOT
from support.databases import PASSWORD, USER
from support.postgres import PASSWORD_USER, SUPERUSER
from support.tls_front import TlsFront

from gcwatch import config
from gcwatch.commands import check
from gcwatch.commands.journal_check import journal_findings
from gcwatch.config.values.journal_address import parse_journal_address
from gcwatch.journal.databases import postgres_facts
from gcwatch.journal.databases.postgres_connection import BoundedConnection
from gcwatch.journal.databases.sqlite import MOVED_FILE
from gcwatch.journal.journal import Journal


def told(url):
    return {each.what: each for each in journal_findings(parse_journal_address(url, Path("/")))}


def wrong(url):
    """What is wrong, but for what the tests' server does without."""
    return [each for each in told(url).values() if not each.is_fine and each.what != "fsync"]


@pytest.fixture(name="empty")
def _empty(postgres):
    """The name of a database without tables."""
    name = postgres.create(is_empty=True)
    yield name
    postgres.drop(name)


@pytest.fixture(name="stranger")
def _stranger(postgres):
    """A user of the server who owns nothing."""
    name = f"Stranger-{secrets.token_hex(4)}"
    postgres.ask(f'CREATE ROLE "{name}" LOGIN')
    yield name
    postgres.ask(f'DROP ROLE "{name}"')


def url_of(postgres, name, user=USER, **more):
    query = "&".join(f"{key}={value}" for key, value in {"host": postgres.folder, **more}.items())
    return f"postgresql://{user}@/{name}?{query}"


def database_of(url):
    return re.search(r"@/(\w+)", url)[1]


def administrator(postgres, url):
    return closing(
        psycopg.connect(
            host=str(postgres.folder), user=SUPERUSER, dbname=database_of(url), autocommit=True
        )
    )


def obey(postgres, url, hint):
    """Run the statements of a hint, as the administrator to whom it is given."""
    with administrator(postgres, url) as connection:
        for statement in re.findall(r"(?:CREATE|GRANT) [^;]+;", hint):
            connection.execute(statement)


def test_a_good_server_is_told_with_numbers(database):
    """All is fine but what would lose records in a power cut, which the tests' server may."""
    found = told(database)
    assert [*found] == [
        *("postgres", "tables", "encryption", "clock", "latency", "fsync", "connections")
    ]
    assert [each.what for each in found.values() if not each.is_fine] == ["fsync"]
    assert re.search(r"PostgreSQL \d+\.\d", found["postgres"].detail)
    assert found["tables"].detail == "in the schema public, version 1"
    assert re.fullmatch(r"the server's clock is 0\.\d s (ahead|behind)", found["clock"].detail)
    assert re.fullmatch(r"an answer takes \d+\.\d ms", found["latency"].detail)
    assert int(found["connections"].detail.split()[0]) > 15


def test_what_the_page_says_to_make_is_fit(postgres):
    """Role and database, by the statements of docs/two-servers.md, and nothing else."""
    page = (ROOT / "docs/two-servers.md").read_text()
    [statements] = re.findall(r"^```sql\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    name = f"test_{secrets.token_hex(6)}"
    for statement in statements.replace("gcwatch", name).splitlines():
        postgres.ask(statement)
    assert wrong(url_of(postgres, name, name)) == []
    postgres.drop(name)
    postgres.ask(f"DROP ROLE {name}")


def test_a_database_without_tables_is_fit_and_stays_empty(postgres, empty):
    """The first start makes them, not the check."""
    for _ in range(2):
        found = told(url_of(postgres, empty))["tables"]
        assert found.is_fine
        assert found.detail == "in the schema public, to be made at the first start"


def test_check_says_it_beside_all_else(tmp_path, database):
    """The state directory still has what is being sent."""
    (tmp_path / "x.toml").write_text(f'journal = "{database}"\nstate = "state"\n')
    settings = config.load(tmp_path / "x.toml", needs_work=False)
    found = [(each.where, each.what) for each in check.check(settings, offline=True)]
    assert found[:3] == [("config", "file"), ("state", "folder"), ("journal", "postgres")]


def test_a_journal_that_is_not_used_any_more_is_told(tmp_path, database):
    """Of the state directory, until it is copied; and afterwards, if the config names none."""
    state = tmp_path / "state"
    Journal(state).close()

    def found(top=""):
        (tmp_path / "x.toml").write_text(f'{top}state = "state"\n')
        settings = config.load(tmp_path / "x.toml", needs_work=False)
        every = [*check.check(settings, offline=True)]
        return [each for each in every if (each.where, each.what) == ("state", "journal")]

    shared = f'journal = "{database}"\n'
    assert found() == []
    [told] = found(shared)
    assert "gcwatch journal copy" in told.hint
    (state / MOVED_FILE).write_text("postgresql://db/gcwatch\n")
    assert found(shared) == []
    [told] = found()
    assert "postgresql://db/gcwatch" in told.detail


@pytest.mark.parametrize("schema", ["", "own"])
def test_the_hint_gives_the_right_to_make_tables(postgres, stranger, empty, schema):
    """Its statement can be copied, also for a name that has to be quoted."""
    url = url_of(postgres, empty, stranger, **({"schema": schema} if schema else {}))
    [found] = wrong(url)
    assert (found.what, "can't make tables" in found.detail) == ("tables", True)
    obey(postgres, url, found.hint)
    assert wrong(url) == []
    assert told(url)["tables"].detail.startswith(f"in the schema {schema or stranger},")


def test_the_hints_give_the_right_to_use_and_upgrade_tables(postgres, stranger, database):
    """First to read and write them, then to change them."""
    url = url_of(postgres, database_of(database), stranger)
    [found] = wrong(url)
    assert "can't read and write" in found.detail
    obey(postgres, url, found.hint)
    [found] = wrong(url)
    assert f"belong to {USER}" in found.detail
    obey(postgres, url, found.hint)
    assert wrong(url) == []


@pytest.mark.parametrize(
    ("statement", "what", "detail"),
    [
        ("UPDATE meta SET value = '99' WHERE name = 'version'", "tables", "of a newer gcwatch"),
        ("INSERT INTO meta VALUES ('moved', '/var/lib/gcwatch')", "tables", "was moved to /var"),
        ("ALTER DATABASE {} SET default_transaction_read_only = on", "postgres", "a standby"),
        ("ALTER DATABASE {} CONNECTION LIMIT 9", "connections", "left"),
    ],
)
def test_what_is_not_fit_is_told_with_a_remedy(postgres, database, statement, what, detail):
    with administrator(postgres, database) as connection:
        connection.execute(statement.format(database_of(database)))
    [found] = wrong(database)
    assert found.what == what
    assert detail in found.detail
    assert found.hint


def test_a_database_that_holds_not_every_text_is_refused(postgres):
    """Names of folders may be in any script."""
    name = f"test_{secrets.token_hex(6)}"
    postgres.ask(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 OWNER {USER}")
    [found] = wrong(url_of(postgres, name))
    postgres.drop(name)
    assert "SQL_ASCII" in found.detail
    assert "ENCODING 'UTF8'" in found.hint


@pytest.mark.parametrize(("ahead", "is_fine"), [(1.5, True), (2.5, False), (-90.0, False)])
def test_clocks_that_differ_by_more_than_two_seconds_are_wrong(
    monkeypatch, database, ahead, is_fine
):
    clock = SimpleNamespace(time=lambda: time.time() - ahead, monotonic=time.monotonic)
    monkeypatch.setattr(postgres_facts, "time", clock)
    found = told(database)["clock"]
    assert found.is_fine == is_fine
    assert f"{abs(ahead)} s {'ahead' if ahead > 0 else 'behind'}" in found.detail


def test_a_server_that_is_far_away_is_told(monkeypatch, database):
    """A remark, as all works, but slower."""
    clock = SimpleNamespace(time=time.time, monotonic=iter(range(99)).__next__)
    monkeypatch.setattr(postgres_facts, "time", clock)
    found = told(database)["latency"]
    assert found.is_fine
    assert "1000.0 ms" in found.detail
    assert found.hint


def test_a_server_that_never_answers_is_cut_off(database):
    """A frozen server neither answers nor closes the connection."""
    with closing(BoundedConnection.connect(database)) as connection:
        connection.longest_seconds = 0.02
        with pytest.raises(psycopg.OperationalError, match=r"has not answered for 0\.02 s"):
            connection.execute("SELECT pg_sleep(600)")


def test_no_server_is_told_with_what_to_look_at():
    """A port at which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        [found] = wrong(f"postgresql://127.0.0.1:{unused.getsockname()[1]}/gcwatch")
    assert "refused" in found.detail
    assert "Is the server running" in found.hint


@pytest.fixture(name="front")
def _front(postgres, tmp_path):
    """A port with TLS before the server, by a certificate for localhost from ca.pem."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    with TlsFront(postgres.folder, authority.issue_cert("localhost")) as front:
        yield front


@pytest.fixture(name="ask")
def _ask(postgres, front, empty, tmp_path):
    """Check a database at that port, as the user who needs a password."""
    postgres.ask(f"ALTER DATABASE {empty} OWNER TO {PASSWORD_USER}")

    def ask(host="localhost", certificates="ca.pem", password=PASSWORD):
        (tmp_path / "password").touch(0o600)
        (tmp_path / "password").write_text(f"{password}\n")
        at = f"{PASSWORD_USER}@{host}:{front.port}/{empty}"
        (tmp_path / "x.toml").write_text(
            f'journal = "postgresql://{at}?sslmode=verify-full&sslrootcert={certificates}"\n'
            'journal_password_file = "password"\n'
        )
        settings = config.load(tmp_path / "x.toml", needs_work=False)
        return {each.what: each for each in journal_findings(settings.journal)}

    return ask


@pytest.mark.parametrize(
    ("how", "hint"),
    [
        ({"certificates": "other.pem"}, "sslrootcert"),
        ({"certificates": "system"}, "sslrootcert"),
        ({"host": "127.0.0.1"}, "the name that is in its certificate"),
        ({"password": "hunter2"}, "the password"),
    ],
)
def test_a_wrong_certificate_name_or_password_is_refused(ask, how, hint):
    """By libpq, as the wheel of psycopg has it; what helps is said, and no secret."""
    [found] = ask(**how).values()
    assert not found.is_fine
    assert hint in found.hint
    assert "hunter2" not in found.detail


def test_a_server_on_the_network_is_fit_with_certificate_and_password(ask):
    """Encryption is told as what the client sees."""
    found = ask()
    assert found["postgres"].is_fine
    assert found["tables"].is_fine
    assert found["encryption"].detail == "TLS, by a certificate that is checked"


def test_a_service_file_does_not_switch_the_check_off(front, tmp_path, monkeypatch):
    """Nor does anything that is said of it advise to do so, as libpq's own words do."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    (tmp_path / "services").write_text(
        f"[here]\nhost=localhost\nport={front.port}\ndbname=x\nsslmode=disable\n"
    )
    [found] = wrong("postgresql:///?service=here")
    assert "root certificate" in found.detail
    assert "disable" not in found.detail
    assert "sslrootcert" in found.hint
