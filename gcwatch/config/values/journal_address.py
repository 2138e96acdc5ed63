"""The address of a journal on PostgreSQL: read from the config, and how to connect to it.

It holds no password, so it may be logged. Who connects gets the password from its file.
"""

import difflib
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl, unquote, urlencode

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from gcwatch.config.named_files import NotUsableError
from gcwatch.config.secret_files import read_secret_file
from gcwatch.config.values.types import absolute_path, is_loopback, value_error
from gcwatch.core.errors import StateError

_PORT: Final = 5432
_MAX_HOSTS: Final = 8
_CONNECT_SECONDS: Final = 5
_MAX_CONNECT_SECONDS: Final = 30

_FILES: Final = ("passfile", "sslcert", "sslkey", "sslrootcert")
_KEYS: Final = ("connect_timeout", "host", *_FILES, "schema", "service", "sslmode")
_MODES: Final = "verify-full verify-ca require prefer allow disable"
_CERTIFICATES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Red Hat
    "/etc/ssl/ca-bundle.pem",  # SUSE
)

_URL: Final = (
    r"postgres(?:ql)?://(?P<server>[^\s#/?]*)(?:/(?P<database>[^\s#/?]*))?(?:\?(?P<query>[^\s#]*))?"
)
_HINT: Final = 'write it as "postgresql://user@host:5432/database"'
_FILE_HINT: Final = (
    "write the password into a file that only its owner may read, and name it in "
    "journal_password_file; or use the systemd credential gcwatch-journal-password, or PGPASSFILE"
)
_TLS_HINT: Final = (
    "remove sslmode; if the server's certificate is not publicly signed, name the file with its "
    "authority: sslrootcert=/path"
)


@dataclass(frozen=True)
class JournalAddress:
    """Where a journal on PostgreSQL is.

    Attributes:
        hosts: Names, addresses or folders of sockets, each with its port: of those, the server
            that can be written is used. Without any, libpq chooses: a socket, or the service's.
        database: Name of the database; "" if the service names it.
        user: Name of the database's user; "" if libpq chooses.
        schema: Where the tables are; "" for the user's search path.
        parameters: What else libpq gets, by its own names.
        password_file: File with the password; without it, libpq has its own ways.
    """

    hosts: tuple[tuple[str, int], ...] = ()
    database: str = ""
    user: str = ""
    schema: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    password_file: Path | None = None

    @property
    def place(self) -> str:
        """Where it is, for people: without user and password."""
        named = {key: value for key, value in self.parameters if key == "service"}
        at = [host if port == _PORT else f"{host}:{port}" for host, port in self.hosts]
        if any(host.startswith("/") for host, _ in self.hosts):
            named, at = {"host": ",".join(at)}, []
        named |= {"schema": self.schema} if self.schema else {}
        query = f"?{urlencode(named, safe='/,:')}" if named else ""
        return f"postgresql://{','.join(at)}/{self.database}{query}"

    def connect_arguments(self, session: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Given settings of the session by their names, return arguments of `psycopg.connect`.

        They may hold the password: they must not be logged.

        Raises:
            StateError: when the file of the password can't be used.
        """
        found = {
            "host": ",".join(host for host, _ in self.hosts),
            "port": ",".join(str(port) for _, port in self.hosts),
            "dbname": self.database,
            "user": self.user,
            "password": self._password(),
            "options": _options(self.schema, session or {}),
        }
        return {
            **{key: value for key, value in found.items() if value},
            "target_session_attrs": "read-write",
            **dict(self.parameters),
            **self._certificates(),
        }

    @property
    def files(self) -> list[Path]:
        """The files that it names: certificates and passwords."""
        named = [Path(value) for key, value in self.parameters if key in _FILES]
        return [each for each in (*named, self.password_file) if each and each.is_absolute()]

    @property
    def is_verified(self) -> bool:
        """Whether the server's certificate is checked."""
        return ("sslmode", "verify-full") in self.parameters

    @property
    def may_need_password(self) -> bool:
        """Whether the address names no other way to log in."""
        ways = {"service", "passfile", "sslkey"}
        return not self.password_file and ways.isdisjoint(key for key, _ in self.parameters)

    def _certificates(self) -> dict[str, str]:
        """Return the authorities of this machine, unless others are named."""
        # A service file may name them.
        is_named = not {"service", "sslrootcert"}.isdisjoint(key for key, _ in self.parameters)
        is_default = self.is_verified and not is_named
        return {"sslrootcert": _system_certificates()} if is_default else {}

    def _password(self) -> str:
        file = self.password_file
        if file is None:
            return ""
        try:
            password = read_secret_file(file).rstrip("\r\n")
        except NotUsableError as error:
            hint = error.hint or _FILE_HINT.capitalize() + "."
            raise StateError(f"The password of the journal: {file} {error}.", hint) from error
        if not password.isprintable() or not password:
            raise StateError(
                f"The password of the journal: {file} holds none.", "Write it there, on one line."
            )
        return password


def parse_journal_address(value: Any, folder: Path) -> JournalAddress:
    """Given a URL and the folder where relative paths start, return the address.

    No message repeats the URL: it may hold a password.
    """
    if isinstance(value, JournalAddress):
        return value
    # Not by urllib: it knows no URL with several hosts.
    parts = re.fullmatch(_URL, value) if isinstance(value, str) else None
    if parts is None:
        raise value_error("must be the address of a database of PostgreSQL", _HINT)
    login, _, at = parts["server"].rpartition("@")
    if ":" in unquote(login):
        raise value_error("must not hold a password", _FILE_HINT)
    query = _query(parts["query"] or "")
    hosts = _hosts(at, query.pop("host", ""))
    schema = query.pop("schema", "")
    user, database = unquote(login), unquote(parts["database"] or "")
    if not (user + database).isprintable():
        raise value_error("names a user or a database that can't be", _HINT)
    _require_target(hosts, database, query)
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}|", schema):
        hint = "use lower-case letters, digits and underscores, such as schema=gcwatch"
        raise value_error("has a schema with an unusual name", hint)
    return JournalAddress(
        hosts=hosts,
        database=database,
        user=user,
        schema=schema,
        parameters=tuple(sorted(_parameters(query, hosts, folder).items())),
    )


def _query(text: str) -> dict[str, str]:
    """Return the keys of the query, which must be known; none may occur twice."""
    found: dict[str, str] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        if "password" in key:
            raise value_error("must not hold a password", _FILE_HINT)
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known names: {', '.join(_KEYS)}"
            # Any text may stand here: it might be a part of a password.
            raise value_error("has an unknown name after the question mark", hint)
        if key in found or not value:
            raise value_error(f"must name {key} once, with a value", _HINT)
        found[key] = value
    return found


def _hosts(netloc: str, named: str) -> tuple[tuple[str, int], ...]:
    """Return the hosts with their ports, of the part before the path or of host=…."""
    if netloc and named:
        raise value_error("names hosts twice", "write them before the name of the database")
    texts = [each for each in (netloc or named).split(",") if each or "," in netloc + named]
    if len(texts) > _MAX_HOSTS:
        raise value_error(f"names more than {_MAX_HOSTS} hosts", _HINT)
    return tuple(_host(each) for each in texts)


def _host(text: str) -> tuple[str, int]:
    """Given a host of the address, return its name without brackets, and its port."""
    found = re.fullmatch(r"(\[[0-9a-fA-F:.%]+\]|[^\[\]:]+)(?::([0-9]{1,5}))?", text)
    port = int(found[2] or _PORT) if found else 0
    name = unquote(found[1]).strip("[]") if found else ""
    is_folder = name.startswith("/") and name.isprintable()
    is_name = re.fullmatch(r"[\w.:%-]+", name, re.ASCII)
    if not (is_folder or is_name) or not 0 < port < 1 << 16:
        raise value_error("names a host or a port that can't be", _HINT)
    return name, port


def _require_target(
    hosts: tuple[tuple[str, int], ...], database: str, query: Mapping[str, str]
) -> None:
    """Refuse an address that leaves open which database is meant, or says it twice."""
    if "service" in query:
        if hosts:
            hint = "write the host into the service file, or write no service"
            raise value_error("names a service, which has its own host", hint)
    elif not database:
        raise value_error("names no database", _HINT)


def _parameters(
    query: Mapping[str, str], hosts: tuple[tuple[str, int], ...], folder: Path
) -> dict[str, str]:
    """Return what libpq gets besides the place: files, waits, and whom it trusts."""
    found = dict(query)
    for key in _FILES:
        if key in query and (key, query[key]) != ("sslrootcert", "system"):
            found[key] = str(absolute_path(query[key], folder))
    waits = query.get("connect_timeout", str(_CONNECT_SECONDS))
    # psycopg waits for at least 2 s.
    if not waits.isdecimal() or not 2 <= int(waits) <= _MAX_CONNECT_SECONDS:
        hint = f"write 2 to {_MAX_CONNECT_SECONDS} seconds: connect_timeout={_CONNECT_SECONDS}"
        raise value_error("has a connect_timeout that can't be", hint)
    return {**found, "connect_timeout": waits, "sslmode": _trust(query, hosts)}


def _trust(query: Mapping[str, str], hosts: tuple[tuple[str, int], ...]) -> str:
    """Return how the server's certificate is checked: always, unless it is this machine."""
    is_here = bool(hosts) and all(
        host.startswith("/") or is_loopback(host.lower()) for host, _ in hosts
    )
    mode = query.get("sslmode", "prefer" if is_here else "verify-full")
    if mode not in _MODES.split():
        raise value_error("has an unknown sslmode", _TLS_HINT)
    if mode != "verify-full" and not is_here:
        raise value_error("must have sslmode=verify-full, except for this machine", _TLS_HINT)
    return mode


def _system_certificates() -> str:
    """Return the file of the authorities that this machine trusts.

    libpq's own word for it, "system", means a file that is nowhere with the wheel of psycopg.
    """
    paths = (ssl.get_default_verify_paths().cafile or "", *_CERTIFICATES)
    return next((each for each in paths if each and Path(each).is_file()), "system")


def _options(schema: str, session: Mapping[str, str]) -> str:
    """Return settings of a session as libpq passes them on to the server."""
    settings = {**session, **({"search_path": schema} if schema else {})}
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def _journal_address(value: Any, info: ValidationInfo) -> JournalAddress:
    return parse_journal_address(value, (info.context or {}).get("folder", Path()))


JournalAt = Annotated[
    JournalAddress,
    PlainValidator(_journal_address),
    WithJsonSchema({"type": "string", "pattern": "^postgres(ql)?://"}),
]
