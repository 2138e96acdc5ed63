"""Finds, reads and checks the config file."""

import os
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from gcwatch.config.cross_checks import find_clashes
from gcwatch.config.messages import Mistake, describe_error, locate_problems
from gcwatch.config.model import Document, Settings, state_folder
from gcwatch.config.secret_files import credentials_folder
from gcwatch.config.toml_lines import number_lines
from gcwatch.config.values.journal_address import JournalAddress
from gcwatch.config.work_table import this_host
from gcwatch.core.errors import ConfigError, Problem

CREDENTIAL: Final = "gcwatch-journal-password"
"""The systemd credential with the password of a journal in a database."""


def find(explicit: Path | None = None) -> Path:
    """Return the config file to use: the explicit one, $GCWATCH_CONFIG, or one in a usual place.

    Raises:
        ConfigError: There is none; the problem names the places.
    """
    if explicit is not None:
        return explicit
    if chosen := os.environ.get("GCWATCH_CONFIG"):
        return Path(chosen)
    usual = (Path("gcwatch.toml"), Path("/etc/gcwatch/gcwatch.toml"))
    for file in usual:
        if file.is_file():
            return file.absolute()
    message = "no config file: $GCWATCH_CONFIG is not set, and there is none at " + " or ".join(
        str(file.absolute()) for file in usual
    )
    hint = "Name it: gcwatch --config FILE. An example: config/gcwatch.toml in the sources."
    raise ConfigError(usual[0].name, [Problem("", message, hint)])


def load(file: Path, *, needs_work: bool = True) -> Settings:
    """Given a config file, return its settings.

    With *needs_work* it must have a route or a mirror; `send` and `check` do without.

    Raises:
        ConfigError: With all problems of the file.
    """
    return parse(file, _read(file), needs_work=needs_work)


def parse(file: Path, text: str, *, needs_work: bool = True) -> Settings:
    """Given the text and the path of a config file, which need not exist, return its settings.

    Raises:
        ConfigError: With all problems of the text.
    """
    data = _parse(file, text)
    folder = file.absolute().parent
    document, mistakes = _validate(data, folder)
    mistakes += find_clashes(data, folder, needs_work=needs_work)
    if document is None or mistakes:
        raise ConfigError(str(file), locate_problems(mistakes, data, number_lines(text)))
    state = state_folder(document.state)
    routes = tuple(route.with_inbox_below(state) for route in document.route)
    return Settings(
        file=file.absolute(),
        state=state,
        journal=_journal(document),
        host=document.host or this_host(),
        routes=routes,
        mirrors=document.mirror,
        sources=tuple(each for route in routes if (each := route.source_mirror())),
        platform=document.platform,
        limits=document.limits,
        log=document.log,
        metrics=document.metrics,
        alerts=document.alerts,
    )


def _journal(document: Document) -> JournalAddress | None:
    """Return the address of a shared journal, with the file of its password if there is one."""
    if document.journal is None:
        return None
    credential = credentials_folder() / CREDENTIAL
    file = document.journal_password_file or (credential if credential.is_file() else None)
    return replace(document.journal, password_file=file)


def _read(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        problem = Problem("", f"can't be read: {error.strerror}", "Name it with --config FILE.")
        raise ConfigError(str(file), [problem]) from error
    try:
        # Some editors start the file with a byte-order mark.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = Problem("", "is not UTF-8", "Save it as UTF-8.", line)
        raise ConfigError(str(file), [problem]) from error


def _parse(file: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).rpartition(" (at ")
        line = re.match("line ([0-9]+)", place)
        hint = "Put strings into quotes; write each key once; see config/gcwatch.toml."
        number = int(line[1]) if line else text.rstrip().count("\n") + 1
        problem = Problem("", f"is not valid TOML: {message}", hint, number)
        raise ConfigError(str(file), [problem]) from error


def _validate(data: Any, folder: Path) -> tuple[Document | None, list[Mistake]]:
    try:
        return Document.model_validate(data, context={"folder": folder}), []
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        return None, [describe_error(each) for each in found]
