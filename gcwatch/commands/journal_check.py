"""`gcwatch check`: whether a database of PostgreSQL is fit for a journal that hosts share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from gcwatch.commands.finding import Cause, Finding
from gcwatch.config import JournalAddress
from gcwatch.core.errors import JournalUnavailable, StateError
from gcwatch.core.text import count_noun
from gcwatch.journal.databases.opening import require_libraries
from gcwatch.journal.databases.postgres_upgrades import VERSIONS

if TYPE_CHECKING:
    from gcwatch.journal.databases.postgres_facts import ServerFacts

_NEWEST: Final = 18
_CLOCK_SECONDS: Final = 2.0
_LATENCY_SECONDS: Final = 0.05
_CONNECTIONS: Final = 15
"""What one host may open."""

_WHERE: Final = "journal"
_TRUST_HINT: Final = (
    "Name the file with the authority of the server's certificate: sslrootcert=/path; and the "
    "server by the name that is in its certificate."
)
_AWAY_HINTS: Final = {
    "password": "Correct the password, or who may log in (pg_hba.conf of the server).",
    "certificate": _TRUST_HINT,
    "pg_hba.conf": "Let this host in, with TLS: a hostssl line in pg_hba.conf of the server.",
    "SSL": "The server must offer TLS: ssl = on in its postgresql.conf.",
    "does not exist": "Make the database, as its administrator: CREATE DATABASE name OWNER user;",
}


def journal_findings(address: JournalAddress) -> Iterator[Finding]:
    """Given the address of a journal, check its server; all waits have an end."""
    try:
        require_libraries()
        from gcwatch.journal.databases.postgres_facts import (  # noqa: PLC0415 -- they are an extra
            read_server_facts,
        )

        facts = read_server_facts(address)
    except StateError as error:
        yield _wrong("postgres", str(error), error.hint)
    except JournalUnavailable as error:
        hint = "Is the server running, and may this host reach it?"
        hint = next((each for word, each in _AWAY_HINTS.items() if word in str(error)), hint)
        yield _wrong("postgres", f"{address.place}: {error}", hint)
    else:
        yield _server(address, facts)
        yield from _rights(address, facts)
        yield _encryption(address, facts)
        yield _clock(facts)
        yield _latency(facts)
        yield from _settings(facts)


def _wrong(what: str, detail: str, hint: str, cause: Cause = "config") -> Finding:
    return Finding(_WHERE, what, detail, cause, hint)


def _server(address: JournalAddress, facts: ServerFacts) -> Finding:
    told = f"{address.place}: PostgreSQL {facts.release}"
    if facts.major < facts.oldest:
        return _wrong("postgres", told, f"gcwatch needs PostgreSQL {facts.oldest} or newer.")
    if facts.is_read_only:
        hint = "Name the server that can be written, or all of them: postgresql://user@a,b/database"
        return _wrong("postgres", f"{told}, a standby that can't be written", hint)
    if facts.encoding != "UTF8":
        hint = (
            "Make a database that can hold all texts: CREATE DATABASE gcwatch ENCODING 'UTF8' "
            "TEMPLATE template0;"
        )
        return _wrong("postgres", f"{told}, but the database is in {facts.encoding}", hint)
    hint = f"gcwatch is tested with {facts.oldest} to {_NEWEST}." if facts.major > _NEWEST else ""
    return Finding(_WHERE, "postgres", told, hint=hint)


def _rights(address: JournalAddress, facts: ServerFacts) -> Iterator[Finding]:
    """Say whether the tables are there, or can be made, and can be used and upgraded."""
    user, schema = _name(facts.user), facts.schema
    if schema is None or not (facts.version != 0 or facts.may_create):
        own = _name(address.schema or facts.user)
        hint = f"As administrator of the database: CREATE SCHEMA {own} AUTHORIZATION {user};"
        place = f"the schema {schema}" if schema else "a schema that is not there"
        yield _wrong("tables", f"{facts.user} can't make tables in {place}", hint)
    elif facts.denied:
        tables = ", ".join(f"{_name(schema)}.{each}" for each in facts.denied)
        hint = (
            f"As their owner: GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {user}; "
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {_name(schema)} TO {user};"
        )
        yield _wrong("tables", f"{facts.user} can't read and write {tables}", hint)
    elif facts.owner is not None:
        hint = f"GRANT {_name(facts.owner)} TO {user};"
        told = f"belong to {facts.owner}: {facts.user} could not upgrade them"
        yield _wrong("tables", told, hint)
    else:
        yield _version(schema, facts)


def _version(schema: str, facts: ServerFacts) -> Finding:
    version = facts.version or 0
    if facts.moved:
        hint = "Take journal = … out of the config, or name another database."
        return _wrong("tables", f"the journal was moved to {facts.moved}", hint)
    if version > len(VERSIONS):
        told = f"in the schema {schema}, of a newer gcwatch (version {version})"
        return _wrong("tables", told, "Install that gcwatch here, too.")
    if version in {0, len(VERSIONS)}:
        what = f"version {version}" if version else "to be made at the first start"
        return Finding(_WHERE, "tables", f"in the schema {schema}, {what}")
    told = f"version {version}, which becomes {len(VERSIONS)} when this gcwatch starts"
    return Finding(_WHERE, "tables", f"in the schema {schema}, {told}")


def _encryption(address: JournalAddress, facts: ServerFacts) -> Finding:
    told = facts.encryption or "none: the server is this machine"
    if facts.encryption == "TLS" and address.is_verified:
        told += ", by a certificate that is checked"
    return Finding(_WHERE, "encryption", told)


def _clock(facts: ServerFacts) -> Finding:
    ahead = facts.ahead_seconds
    told = f"the server's clock is {abs(ahead):.1f} s {'ahead' if ahead > 0 else 'behind'}"
    if abs(ahead) > _CLOCK_SECONDS:
        hint = "Set both clocks, and let them be kept: timedatectl set-ntp true."
        return _wrong("clock", told, hint)
    return Finding(_WHERE, "clock", told)


def _latency(facts: ServerFacts) -> Finding:
    told = f"an answer takes {facts.latency_seconds * 1000:.1f} ms"
    hint = "" if facts.latency_seconds <= _LATENCY_SECONDS else "Use a server that is nearer."
    return Finding(_WHERE, "latency", told, hint=hint)


def _settings(facts: ServerFacts) -> Iterator[Finding]:
    """Say what of the server's settings puts records in danger."""
    settings = {"fsync": facts.syncs, "full_page_writes": facts.writes_full_pages}
    for name in (name for name, is_on in settings.items() if not is_on):
        hint = f"In postgresql.conf: {name} = on. Without it a power cut damages the journal."
        yield _wrong(name, "is off", hint)
    left = count_noun(max(facts.connections_left, 0), "connection")
    hint = f"One host takes up to {_CONNECTIONS}: raise max_connections, or the limit of the user."
    if facts.connections_left < _CONNECTIONS:
        yield _wrong("connections", f"{left} left", hint)
    else:
        yield Finding(_WHERE, "connections", f"{left} left")
    if facts.standbys and not facts.waits_for_standby:
        hint = (
            "If one of them takes over, the last records may be missing, and what they tell of may "
            "be sent again: set synchronous_standby_names."
        )
        told = f"{count_noun(facts.standbys, 'server')} may be behind this one"
        yield Finding(_WHERE, "standbys", told, hint=hint)


def _name(text: str) -> str:
    """Return a name as SQL needs it, so that the statement can be copied."""
    quoted = text.replace('"', '""')
    return text if text.isidentifier() and text.islower() else f'"{quoted}"'
