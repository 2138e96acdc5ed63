"""The table of a route in its outbox: results.csv or items.csv, made from the receipts there."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pydantic_core import from_json

from gcwatch.core.kinds import Kind
from gcwatch.core.tables.result_rows import (
    TABLE_NAMES,
    Columns,
    ResultRow,
    SocketCell,
    fixed_cells,
    fixed_columns,
    listed_sockets,
    value_of_socket,
)
from gcwatch.core.tables.table_cells import BYTE_ORDER_MARK, csv_line, text_cell
from gcwatch.core.text import readable_name
from gcwatch.files.atomic import error_text
from gcwatch.files.beneath import SharePath
from gcwatch.files.receipt_file import read_receipt
from gcwatch.files.safe_open import read_small_file
from gcwatch.outbox.row_store import RowStore
from gcwatch.outbox.table_file import replace_table, store_of

_LONGEST_VALUE_BYTES: Final = 1024 * 1024
"""A longer value fits into no cell, whatever it is."""

_CHUNK_FOLDERS: Final = 200
"""Folders whose rows are kept at a time: a kill loses no more reading than that."""


def table_file(outbox: Path, kind: Kind) -> SharePath:
    """Return where the table of an outbox is."""
    return SharePath(outbox) / TABLE_NAMES[kind]


@dataclass(frozen=True)
class TablePlace:
    """Where the table of a route is, and the private folder for a file with its rows."""

    outbox: Path
    kind: Kind
    stores: Path

    @property
    def file(self) -> SharePath:
        """The table."""
        return table_file(self.outbox, self.kind)

    @property
    def store(self) -> Path:
        """The file with the rows: another one for another outbox, or another kind of target."""
        return store_of(self.stores, self.outbox, self.kind)


def update_table(table: TablePlace, is_current: bool = False) -> str:
    """Bring a table up to date with the receipts in its outbox; return what it lacks, or "".

    Without results no table is made. With *is_current*, the table is as the last update left it,
    unless results came or went, or it was removed. Raise OSError if it can't be read or written,
    NotOurTable if another file has its name.
    """
    with RowStore(table.store) as store:
        has_changed, problem = _read_new_receipts(table, store)
        if (has_changed or not is_current or not table.file.exists()) and _has_content(
            store, table
        ):
            columns = _columns(table.kind, store)
            problem = problem or ("there are too many columns" if columns.is_full else "")
            replace_table(
                table.file, fixed_columns(table.kind), lambda: _lines(store, columns), store
            )
        return problem


def _has_content(store: RowStore, table: TablePlace) -> bool:
    # An empty outbox may be the mount point of a share that is not there.
    return store.count_seen() > 0 or table.file.exists()


# --- rows ----------------------------------------------------------------------------------------


def _read_new_receipts(table: TablePlace, store: RowStore) -> tuple[bool, str]:
    """Read the receipts of folders that are new; return whether rows differ, and what failed."""
    reader = _Reader(table.kind, store)
    found = _folders(SharePath(table.outbox))
    while chunk := list(islice(found, _CHUNK_FOLDERS)):
        with store.change():
            for place, stamp in chunk:
                reader.visit(place, stamp, may_be_patient=True)
    if not _has_content(store, table):
        return False, reader.problem
    gone = store.forget_unseen()
    return bool(reader.new or gone), reader.problem


class _Reader:
    """Reads the receipts of folders; `new` counts them, `problem` says what can't be read."""

    def __init__(self, kind: Kind, store: RowStore) -> None:
        self._kind, self._store = kind, store
        self._delivered = fixed_columns(kind).index("delivered_utc")
        self.new, self.problem = 0, ""

    def visit(self, place: SharePath, stamp: int, *, may_be_patient: bool) -> None:
        """Read a result folder, or those of a patient's series, unless that was done before."""
        if self._store.has_seen(place.below, stamp):
            return
        try:
            receipt = read_receipt(place)
            row = _read_row(place, receipt, self._kind)
            if not receipt and may_be_patient:
                for series, stamp_of_series in list(_folders(place)):
                    self.visit(series, stamp_of_series, may_be_patient=False)
        except OSError as error:
            self.problem = f"a result can't be read: {error_text(error)}"
            return
        if receipt:
            self._store.keep(place.below, stamp, row.fixed[self._delivered] if row else "", row)
            self.new += 1


def _folders(above: SharePath) -> Iterator[tuple[SharePath, int]]:
    """Yield the folders in a folder that people see, with the time of their last change.

    A result appears by one rename, with all that is in it; so one that has not changed is known.
    """
    with above.scan() as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                try:
                    stamp = entry.stat(follow_symlinks=False).st_mtime_ns
                except FileNotFoundError:
                    continue
                yield above.entry(entry.name), stamp


def _read_row(place: SharePath, receipt: Mapping[str, Any], kind: Kind) -> ResultRow | None:
    """Given a folder and its receipt, return its row; None if it is of another kind of target."""
    fixed = fixed_cells(receipt, kind, readable_name(place.below))
    if fixed is None:
        return None
    if kind == "algorithm":
        cells = [_output_cell(place, each) for each in listed_sockets(receipt, "outputs")]
    else:
        cells = [_input_cell(each) for each in listed_sockets(receipt, "inputs")]
    return ResultRow(fixed, cells)


def _output_cell(place: SharePath, output: Mapping[str, Any]) -> SocketCell:
    """Return a value, or the path of a file; of several files, that of the folder they are in."""
    socket, paths = output["socket"], _paths(output)
    if output.get("carrier") == "value" and len(paths) == 1:
        with suppress(ValueError):  # a path that leads elsewhere, or text that is no JSON
            content = read_small_file(place / paths[0], _LONGEST_VALUE_BYTES)
            if content is not None:
                file = f"{place.below}/{paths[0]}"
                return value_of_socket(socket, from_json(content), readable_name(file))
    above = PurePosixPath(os.path.commonpath(paths)) if paths else None
    where = text_cell(readable_name(f"{place.below}/{above}")) if above else ""
    return SocketCell(socket, where, {})


def _paths(output: Mapping[str, Any]) -> list[str]:
    files = output.get("files")
    entries = files if isinstance(files, list) else []
    paths = [each.get("path") for each in entries if isinstance(each, dict)]
    return [path for path in paths if isinstance(path, str) and path and path[0] != "/"]


def _input_cell(item: Mapping[str, Any]) -> SocketCell:
    """Return the pk of an image on the platform, a value, or the name under which a file went."""
    socket, image = item["socket"], item.get("image")
    if isinstance(image, str):
        return value_of_socket(socket, image.rstrip("/").rpartition("/")[2])
    if "value" in item:
        return value_of_socket(socket, item["value"])
    return value_of_socket(socket, str(item.get("sent_as", "")))


# --- the file ------------------------------------------------------------------------------------


def _columns(kind: Kind, store: RowStore) -> Columns:
    columns = Columns(kind)
    for row in store.rows():
        columns.add(row)
    return columns


def _lines(store: RowStore, columns: Columns) -> Iterator[bytes]:
    yield BYTE_ORDER_MARK + csv_line(columns.head())
    for cells in columns.lay_out(store.rows()):
        yield csv_line(cells)
