"""The address of a journal on PostgreSQL: it holds no password, and the server is verified."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic_core import PydanticCustomError

from gcwatch import config
from gcwatch.config.values.journal_address import parse_journal_address
from gcwatch.core.errors import ConfigError, StateError

ROUTE = """
[[route]]
name = "lobes"
inbox = "in"
outbox = "out"
algorithm = "lobe-segmentation"
"""
SOURCE = """
[[route]]
name = "again"
source = { archive = "scans" }
outbox = "out"
algorithm = "lobe-segmentation"
"""
DATABASE = 'journal = "postgresql://gcwatch@db.hospital.example/gcwatch"\n'


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in ("CREDENTIALS_DIRECTORY", "PGPASSWORD", "PGSSLMODE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(name="load")
def _load(tmp_path):
    def load(text):
        (tmp_path / "gcwatch.toml").write_text(text)
        return config.load(tmp_path / "gcwatch.toml")

    return load


@pytest.fixture(name="problem")
def _problem(load):
    def problem(text):
        with pytest.raises(ConfigError) as caught:
            load(text)
        [found] = caught.value.problems
        return found

    return problem


def address(load, url):
    return load(f'journal = "{url}"\n{ROUTE}').journal


def arguments(load, url):
    return address(load, url).connect_arguments()


# --- what libpq gets ------------------------------------------------------------------------------


def test_a_remote_server_is_always_verified(load):
    """Nothing has to be said for it: TLS, the authority and the host's name are checked."""
    found = arguments(load, "postgresql://gcwatch@db.hospital.example/gcwatch")
    assert found.pop("sslrootcert")
    assert found == {
        "host": "db.hospital.example",
        "port": "5432",
        "dbname": "gcwatch",
        "user": "gcwatch",
        "sslmode": "verify-full",
        "connect_timeout": "5",
        "target_session_attrs": "read-write",
    }


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca"])
def test_a_weaker_mode_is_for_this_machine_only(load, problem, mode):
    """No hint says how to switch the check off; each loopback name and a socket may do without."""
    for host in ("localhost", "127.0.0.1", "[::1]", "localhost,127.0.0.1", "%2Frun%2Fpostgresql"):
        assert arguments(load, f"postgresql://{host}/gcwatch?sslmode={mode}")["sslmode"] == mode
    for url in (
        "postgresql://db.hospital.example/gcwatch",
        "postgresql://localhost,db.hospital.example/gcwatch",
        "postgresql://localhost.hospital.example/gcwatch",
        "postgresql:///gcwatch",
        "postgresql:///?service=gcwatch",
    ):
        sign = "&" if "?" in url else "?"
        found = problem(f'journal = "{url}{sign}sslmode={mode}"\n{ROUTE}')
        assert "must have sslmode=verify-full" in found.message
        assert "remove sslmode" in found.hint
        assert "sslrootcert" in found.hint


def test_the_environment_does_not_weaken_it(load, monkeypatch):
    """$PGSSLMODE and a service file are weaker than what gcwatch says."""
    monkeypatch.setenv("PGSSLMODE", "disable")
    for url in ("postgresql://db/gcwatch", "postgresql:///?service=gcwatch"):
        assert arguments(load, url)["sslmode"] == "verify-full"


def test_several_servers_and_all_names_are_passed_on(load, tmp_path):
    """Relative paths start at the config's folder; libpq reads back what was meant."""
    found = address(
        load,
        "postgresql://gc%40watch@db-a,[2001:db8::1]:5433/gc%20watch?schema=gcwatch&sslcert=a.crt"
        "&sslkey=/etc/a.key&sslrootcert=ca.pem&passfile=pass&connect_timeout=10",
    )
    given = found.connect_arguments({"lock_timeout": "20s"})
    assert given["options"] == "-c lock_timeout=20s -c search_path=gcwatch"
    assert (given["host"], given["port"]) == ("db-a,2001:db8::1", "5432,5433")
    assert (given["user"], given["dbname"]) == ("gc@watch", "gc watch")
    assert given["sslcert"] == str(tmp_path / "a.crt")
    assert given["sslrootcert"] == str(tmp_path / "ca.pem")
    assert given["passfile"] == str(tmp_path / "pass")
    assert conninfo_to_dict(make_conninfo(**given)) == given
    assert found.place == "postgresql://db-a,2001:db8::1:5433/gc watch?schema=gcwatch"


def test_a_service_names_everything_else(load):
    """Its file has host, database, user and certificates."""
    found = address(load, "postgresql:///?service=gcwatch")
    assert found.place == "postgresql:///?service=gcwatch"
    assert found.connect_arguments().keys() == {
        *("service", "sslmode", "connect_timeout", "target_session_attrs")
    }


def test_a_socket_is_named_by_its_folder(load):
    for url in (
        "postgresql:///gcwatch?host=/run/postgresql",
        "postgresql://%2Frun%2Fpostgresql/gcwatch",
    ):
        found = address(load, url)
        assert found.connect_arguments()["host"] == "/run/postgresql"
        assert found.place == "postgresql:///gcwatch?host=/run/postgresql"


# --- the password ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://gcwatch:hunter2@db/gcwatch",
        "postgresql://gcwatch:hunt/er2@db/gcwatch",
        "postgresql://gcwatch:hunter2#@db/gcwatch",
        "postgresql://gcwatch:hunter2?@db/gcwatch",
        "postgresql://gcwatch:@db/gcwatch",
        "postgresql://db/gcwatch?password=hunter2",
        "postgresql://db/gcwatch?sslpassword=hunter2",
        "postgresql://db/gcwatch?hunter2",
        "postgresql://db/gcwatch?hunter2=x",
        "postgres://gcwatch:hunter2@",
        "mysql://gcwatch:hunter2@db/gcwatch",
    ],
)
def test_a_password_in_the_address_is_refused_and_not_repeated(problem, url):
    found = problem(f'journal = "{url}"\n{ROUTE}')
    assert found.path == "journal"
    assert "hunt" not in str(found)
    assert "er2" not in str(found).replace("server", "")


@given(st.text(st.sampled_from("5432?/#@:%&=, schema[]"), min_size=6).filter(str.strip))
def test_whatever_a_password_is_it_is_refused_and_not_repeated(secret):
    """Also one that looks like a port, a query or another host."""
    for url in (f"postgresql://me:{secret}@db/gcwatch", f"postgresql://me%3A{secret}@db/gcwatch"):
        with pytest.raises(PydanticCustomError) as error:
            parse_journal_address(url, Path("/"))
        assert secret not in str(error.value.context)


def test_the_hint_names_the_ways_for_a_password(problem):
    hint = problem(f'journal = "postgresql://a:b@db/gcwatch"\n{ROUTE}').hint
    assert "journal_password_file" in hint
    assert "gcwatch-journal-password" in hint
    assert "PGPASSFILE" in hint


def test_the_password_is_read_from_its_file_each_time(load, tmp_path):
    """It may be changed while gcwatch runs; neither the settings nor their text hold it."""
    file = tmp_path / "password"
    settings = load(f'{DATABASE}journal_password_file = "password"\n{ROUTE}')
    for password in ("hunter2", "hünter 3"):
        file.write_text(password + "\n")
        file.chmod(0o600)
        assert settings.journal.connect_arguments()["password"] == password
        assert "nter" not in repr(settings)
        assert "nter" not in settings.journal.place


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        ("hunter2", 0o644, "can be read by others"),
        ("", 0o600, "holds none"),
        ("hun\nter2", 0o600, "holds none"),
        (None, 0o600, "does not exist"),
    ],
)
def test_a_password_file_that_is_not_right_is_refused(load, tmp_path, content, mode, told):
    file = tmp_path / "password"
    settings = load(f'{DATABASE}journal_password_file = "password"\n{ROUTE}')
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    with pytest.raises(StateError, match=told) as error:
        settings.journal.connect_arguments()
    assert error.value.hint
    assert "hun" not in f"{error.value} {error.value.hint}"


def test_the_systemd_credential_is_the_password_without_a_file(load, tmp_path, monkeypatch):
    """As with the token, a file that the config names comes first."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for name in ("gcwatch-journal-password", "other"):
        (tmp_path / name).write_text(f"of {name}\n")
        (tmp_path / name).chmod(0o440)  # systemd protects the folder
    found = load(DATABASE + ROUTE).journal.connect_arguments()
    assert found["password"] == "of gcwatch-journal-password"
    found = load(f'{DATABASE}journal_password_file = "other"\n{ROUTE}').journal.connect_arguments()
    assert found["password"] == "of other"


def test_libpq_has_its_own_ways_for_a_password(load, monkeypatch):
    """Gcwatch neither reads nor passes $PGPASSWORD: libpq takes it if there is nothing else."""
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    settings = load(DATABASE + ROUTE)
    assert "password" not in settings.journal.connect_arguments()
    assert "hunter2" not in repr(settings)


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "told", "hint"),
    [
        ("/var/lib/journal.db", "must be the address of a database", "postgresql://"),
        ("postgresql://db", "names no database", "database"),
        ("postgresql://db/", "names no database", "database"),
        ("postgresql://db/a/b", "must be the address", "database"),
        ("postgresql://db/a%00b", "a database that can't be", "database"),
        ("postgresql://db:0/gcwatch", "a host or a port", "5432"),
        ("postgresql://db:65536/gcwatch", "a host or a port", "5432"),
        ("postgresql://db:x/gcwatch", "a host or a port", "5432"),
        ("postgresql://db,/gcwatch", "a host or a port", "5432"),
        ("postgresql://[::1/gcwatch", "a host or a port", "postgresql://"),
        ("postgresql://d%20b/gcwatch", "a host or a port", "5432"),
        ("postgresql://a,b,c,d,e,f,g,h,i/gcwatch", "more than 8 hosts", "postgresql"),
        ("postgresql://db/gcwatch?host=/run", "names hosts twice", "before the name"),
        ("postgresql://db/gcwatch?service=x", "has its own host", "service file"),
        ("postgresql://db/gcwatch?sslrotcert=/x", "an unknown name", "did you mean sslrootcert?"),
        ("postgresql://db/gcwatch?x=1", "an unknown name", "connect_timeout"),
        ("postgresql://db/gcwatch?sslmode=off", "an unknown sslmode", "remove sslmode"),
        ("postgresql://db/gcwatch?sslkey=", "must name sslkey once", "postgresql"),
        ("postgresql://db/gcwatch?schema=a&schema=b", "must name schema once", "postgresql"),
        ("postgresql://db/gcwatch?schema=A b", "must be the address", "postgresql"),
        ("postgresql://db/gcwatch?schema=a,public", "a schema with an unusual", "lower-case"),
        ("postgresql://db/gcwatch?connect_timeout=0", "a connect_timeout", "2 to 30"),
        ("postgresql://db/gcwatch?connect_timeout=1e9", "a connect_timeout", "2 to 30"),
    ],
)
def test_a_mistake_is_told_with_what_is_right(problem, value, told, hint):
    found = problem(f'journal = "{value}"\n{ROUTE}')
    assert (found.path, found.line) == ("journal", 1)
    assert told in found.message
    assert hint in found.hint


def test_a_password_file_needs_a_database(problem):
    found = problem(f'journal_password_file = "x"\n{ROUTE}')
    assert found.path == "journal_password_file"
    assert "is for a journal in a database" in found.message


# --- hosts ----------------------------------------------------------------------------------------


def test_each_host_has_its_routes_and_mirrors(load):
    """Names are compared without regard to case; without the key, all hosts work on it."""
    text = f'host = "Watch-B"\n{ROUTE}' + SOURCE.replace('"out"', '"other"').replace(
        "source", 'hosts = ["watch-a"]\nsource'
    )
    settings = load(
        f'{text}[[mirror]]\nname = "m"\narchive = "x"\noutbox = "m"\nhosts = ["WATCH-B"]'
    )
    assert settings.host == "watch-b"
    assert [each.name for each in settings.own_routes] == ["lobes"]
    assert [each.name for each in settings.own_mirrors] == ["m"]
    assert [each.name for each in settings.all_mirrors] == ["m", "again"]


@pytest.mark.parametrize(
    ("hosts", "told"),
    [
        ("[]", "names no host"),
        ('["a", "A"]', "names a host twice"),
        ('["a b"]', "is not the name of a host"),
        ('[""]', "is not the name of a host"),
    ],
)
def test_names_of_hosts_are_checked(problem, hosts, told):
    found = problem(f"{ROUTE}hosts = {hosts}")
    assert "hosts" in found.path
    assert told.casefold() in found.message.casefold()


def test_what_lies_in_a_state_directory_needs_one_host(load, problem):
    """Items of an archive are known to one host; a file as journal has one host anyway."""
    assert load(SOURCE).routes
    one = SOURCE.replace("source", 'hosts = ["watch-a"]\nsource')
    assert load(DATABASE + one).routes
    for text in (SOURCE, one.replace('["watch-a"]', '["watch-a", "watch-b"]')):
        found = problem(DATABASE + text)
        assert found.path == "route 'again': hosts"
        assert "must name one host" in found.message
        assert "hosts = [" in found.hint


def test_another_journal_needs_a_restart(load):
    """As with the state directory, open cases would be lost of sight."""
    before = load(ROUTE)
    for text, key in ((DATABASE, "journal"), ('host = "other"\n', "host")):
        with pytest.raises(ConfigError) as error:
            config.require_same_home(before, load(text + ROUTE))
        assert [each.path for each in error.value.problems] == [key]
    config.require_same_home(load(DATABASE + ROUTE), load(DATABASE + ROUTE))
