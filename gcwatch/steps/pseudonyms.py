"""Looks a case's pseudonym up in the table that the hospital keeps."""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gcwatch.config import Route, Settings
from gcwatch.config.named_files import NotUsableError, read_named_file
from gcwatch.core.errors import CannotSend
from gcwatch.core.reasons import Reason
from gcwatch.core.tables.pseudonym_format import Pseudonyms, parse_pseudonyms
from gcwatch.files.key_file import read_key
from gcwatch.files.safe_open import open_unchanged
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.dicom.elements import dicom_errors, read_dataset
from gcwatch.imaging.dicom.headers import could_be_dicom
from gcwatch.inbox.layouts import inbox_of
from gcwatch.journal.read_only import read_only_journal

_MOST_TABLE_BYTES: Final = 16 << 20
_START_BYTES: Final = 512


def find_pseudonym(route: Route, name: str, files: Sequence[SourceFile]) -> str:
    """Given a case's name and files, return its pseudonym; "" if its route has no table.

    Raise CannotSend if the table can't be used (`pseudonym_table`), has no row for this patient
    (`no_pseudonym`), or several pseudonyms for the files (`several_pseudonyms`).
    """
    if route.pseudonyms is None:
        return ""
    table = read_table(route.pseudonyms)
    patient = inbox_of(route).public_name(name)
    asked = {patient} if table.column == "folder" else _patient_ids(files)
    found = {table.find(each) for each in asked}
    if not found or "" in found:
        problem = f"it has no row for this {table.column}" if asked else "no file has a PatientID"
        raise CannotSend(Reason("no_pseudonym", {"problem": problem}, {"folder": patient}))
    if len(found) > 1:
        facts = {"count": len(found)}
        raise CannotSend(Reason("several_pseudonyms", facts, {"folder": patient}))
    return found.pop()


def read_table(path: Path) -> Pseudonyms:
    """Return the table in a file; raise CannotSend (`pseudonym_table`) if it can't be used."""
    try:
        content, _ = read_named_file(path, _MOST_TABLE_BYTES)
        return parse_pseudonyms(content)
    except (NotUsableError, ValueError) as error:
        raise CannotSend(Reason("pseudonym_table", {"problem": str(error)})) from error


def example_key(settings: Settings) -> bytes:
    """Return the secret key; another one as long as gcwatch has made none.

    Raise StateError or JournalUnavailable if it is in a database that can't be read.
    """
    if settings.journal is not None:
        with read_only_journal(settings) as journal:
            shared = journal.shared_key()
        if shared is not None:
            return shared
    return read_key(settings.key_folder or settings.state) or secrets.token_bytes(32)


def _patient_ids(files: Sequence[SourceFile]) -> set[str]:
    """Return the PatientIDs of all DICOM files; what can't be read is refused elsewhere."""
    found = set()
    for file in files:
        with open_unchanged(file) as stream:
            start = stream.read(_START_BYTES)
            if start[128:132] != b"DICM" and not could_be_dicom(start):
                continue
            stream.seek(0)
            try:
                found.add(str(read_dataset(stream, ("PatientID",)).get("PatientID") or "").strip())
            except dicom_errors():
                continue
    return found - {""}
