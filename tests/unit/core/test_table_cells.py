"""Cells and columns of results.csv: what spreadsheets, pandas and R make of values."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcwatch.core.tables import table_cells
from gcwatch.core.tables.result_rows import MOST_COLUMNS, Columns, ResultRow, value_of_socket
from gcwatch.core.tables.table_cells import csv_line, flat_cells, value_cell

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def cells_of(line):
    """What a reader of CSV makes of a line."""
    return list(csv.reader(io.StringIO(line.decode(), newline=""), strict=True))


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (True, "TRUE"),
        (-3, "-3"),
        (-0.5, "-0.5"),
        (1e-7, "1e-07"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Inf"),
        (2**70, str(2**70)),
        ("benign", "benign"),
        ("-3.5", "-3.5"),
        ("+1e5", "+1e5"),
        ("=1+1", "'=1+1"),
        ("-cmd", "'-cmd"),
        ("+49 30 1", "'+49 30 1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "\n'=1"),
        ("\uff1d1", "'\uff1d1"),
        ("a;=1+1", "a;'=1+1"),
        ("a\n=1+1", "a\n'=1+1"),
        ("two\r\nlines", "two\nlines"),
        ("nul\0", "nul\ufffd"),
        ([-1, 2], "[-1,2]"),
        ({"a": "\n=1"}, '{"a":"\\n=1"}'),
    ],
)
def test_a_value_becomes_one_cell_that_is_no_formula(value, cell):
    """Numbers stay numbers, also below zero; text that a spreadsheet would compute is marked."""
    assert value_cell(value) == cell


def test_an_object_becomes_a_cell_for_each_name():
    """Within objects the names are joined; lists and empty objects are JSON text."""
    value = {"volume": 1.5, "lobes": {"left": 2, "right": {}}, "boxes": [{"x": 1}]}
    cells = {"volume": "1.5", "lobes.left": "2", "lobes.right": "{}", "boxes": '[{"x":1}]'}
    assert flat_cells(value) == cells


@pytest.mark.parametrize(
    "value",
    [
        [1, 2],
        "text",
        {},
        {"a.b": 1, "a": {"b": 2}},
        {str(n): n for n in range(101)},
        {"x" * 201: 1},
        {"line\nbreak": 1},
        {"": 1},
    ],
)
def test_what_can_not_be_columns_stays_one_cell(value):
    """No two values in one column, no thousands of columns, no unreadable names."""
    assert flat_cells(value) == {}


@given(JSON)
def test_no_value_makes_a_row_that_is_read_otherwise(value):
    """Every reader gets one row back with the same cells, and none begins a formula."""
    cells = [value_cell(value), *flat_cells(value).values()]
    cells = [cell.encode("utf-8", "replace").decode() for cell in cells]
    assert cells_of(csv_line(["p1", *cells])) == [["p1", *cells]]
    for cell in cells:
        is_number = cell in {"NaN", "Inf", "-Inf"} or table_cells._NUMBER.fullmatch(cell)
        assert is_number or not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_a_long_value_gives_way_to_its_file():
    """A cell of a spreadsheet has an end; the file beside it does not."""
    said = value_of_socket("findings", "x" * 33_000, "p1/findings.json")
    assert (said.cell, said.leaves) == ("p1/findings.json", {})
    assert value_of_socket("f", "\U0001f600" * 16_001, "p1/f.json").cell == "p1/f.json"


def table(*values, socket="score"):
    rows = [ResultRow(("x",) * 11, [value_of_socket(socket, value)]) for value in values]
    columns = Columns("algorithm")
    for row in rows:
        columns.add(row)
    return columns.head()[11:], [cells[11:] for cells in columns.lay_out(rows)]


def test_new_names_become_columns_at_the_end():
    """A formula of a spreadsheet that points at a column still points at it tomorrow."""
    head, cells = table({"b": 1}, {"a": 2, "b": 3}, 4)
    assert head == ["score.b", "score.a", "score"]
    assert cells == [["1", "", ""], ["3", "2", ""], ["", "", "4"]]


def test_names_that_are_data_are_no_columns():
    """An object with other names in each case would fill the table with empty columns."""
    head, cells = table(*({f"lesion-{n}": n} for n in range(101)))
    assert head == ["score"]
    assert cells[7] == ['{"lesion-7":7}']


def test_no_two_columns_have_one_name():
    """A socket may be called as a column that each table has."""
    head, _ = table(1, socket="folder")
    assert head == ["output.folder"]


def test_the_number_of_columns_has_an_end():
    """Whoever can write receipts can't fill the memory."""
    columns = Columns("algorithm")
    for number in range(MOST_COLUMNS + 5):
        columns.add(ResultRow((), [value_of_socket(f"s{number}", 1)]))
    assert columns.is_full
    assert len(columns.head()) == MOST_COLUMNS + 11
