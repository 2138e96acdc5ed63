"""cases.csv, as people and spreadsheets write it, and what is said of wrong ones."""

import pytest

from gcwatch.core.tables import case_table
from gcwatch.core.tables.case_table import TableColumns, parse_case_table, shows_folder

COLUMNS = TableColumns(frozenset({"age", "sex"}))


def parsed(text, columns=COLUMNS, encoding="utf-8"):
    return parse_case_table(text.encode(encoding), columns)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("folder,age,sex\np1,61,F\nZoë,7,M\n", "utf-8"),
        ("folder,age,sex\r\np1,61,F\r\n\r\nZoë,7,M\r\n,,\r\n", "utf-8-sig"),
        ("Folder;age;sex\r\np1;61;F\r\nZoë;7;M", "utf-8-sig"),
        ("folder\tage\tsex\r\np1\t61\tF\r\nZoë\t7\tM\r\n", "utf-16"),
        ('"sex","folder","age"\n"F"," p1/","61"\n"M","Zoe\u0308","7"\n', "utf-8"),
        ("folder,age,sex,,\np1,61,F,,\nZoë,7,M,,\n", "utf-8"),
        ("folder,age,sex\rp1,61,F\rZoë,7,M\r", "utf-8"),
    ],
    ids=["plain", "excel", "german excel", "unicode text", "quoted", "empty columns", "old mac"],
)
def test_a_table_is_read_as_programs_write_it(text, encoding):
    """Separators, marks, encodings, quotes, empty lines and columns, forms of letters."""
    table = parsed(text, encoding=encoding)
    assert [row.folder for row in table.rows] == ["p1", "Zoë"]
    assert table.find("Zoe\u0308").cells == {"age": "7", "sex": "M"}
    assert table.find("p3") is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", 'has no column "folder" in its first line'),
        ("patient,age\np1,61\n", 'has no column "folder"'),
        ("folder,weight\np1,61\n", 'has the column "weight", which this route does not take; it'),
        ("folder,weight\np1,61\n", "takes folder, age, order, sex, title"),
        ("folder,age,age\np1,61,61\n", 'has the column "age" twice'),
        ("folder,age\np1,61\np2,7\np1,62\n", "has the same folder twice: lines 2 and 4"),
        ("folder,age\np1\n", "needs 2 cells in line 2"),
        ("folder,age\np1,61,62\n", "needs 2 cells in line 2"),
        ("folder,age,\np1,61,note\n", "has a cell without a column in line 2"),
        ("folder,age\n,61\n", "names no folder in line 2"),
        ('folder,age\np1,"61\n', "has quotes that do not fit"),
        ('folder,age\np1,"6"1\n', "has quotes that do not fit"),
        (f"folder,age\np1,{'x' * 200_000}\n", "or a long cell, in line 2"),
        ("folder,age\np1,\0\n", "is no text"),
        ("folder,title\np1,A\np2,A\n", "has a title in line 3 that another line has"),
        ("folder,order\np1,first\n", "has an order that is no whole number in line 2"),
        ("folder" + "," * 300 + "\n", "has more than 200 columns"),
    ],
)
def test_a_wrong_table_is_refused_in_words(text, complaint):
    """With the line or the column, and never the name of a folder."""
    with pytest.raises(ValueError, match=" ") as refused:
        parsed(text)
    assert complaint in str(refused.value)
    assert "p1" not in str(refused.value)


def test_the_number_of_rows_has_an_end(monkeypatch):
    """Whoever may write into the inbox can't fill the memory."""
    monkeypatch.setattr(case_table, "MOST_ROWS", 2)
    with pytest.raises(ValueError, match="has more than 2 rows"):
        parsed("folder\np1\np2\np3\n")


def test_a_table_in_an_old_encoding_is_refused_with_what_to_do():
    """Guessing would find no folder with an umlaut, or another one."""
    with pytest.raises(ValueError, match='save it as "CSV UTF-8"'):
        parse_case_table("folder\nZoë\n".encode("cp1252"), COLUMNS)


@pytest.mark.parametrize(
    ("cell", "kind", "value"),
    [
        ("0.5", "Float", 0.5),
        ("3", "Integer", 3),
        ("007", "String", "007"),
        ("5", "String", "5"),
        ("WAHR", "Bool", True),
        ("false", "Bool", False),
        ("true", "Anything", True),
        ('{""a"": [1]}', "Anything", {"a": [1]}),
        ("A", "Choice", "A"),
    ],
)
def test_a_cell_becomes_the_value_that_its_socket_takes(cell, kind, value):
    """Text stays text where the socket takes text."""
    row = parsed(f'folder,age\np1,"{cell}"\n').find("p1")
    assert row.value("age", kind) == value


def test_a_decimal_comma_is_read_where_commas_separate_nothing():
    """As German Excel writes numbers; with commas as separators it is no number."""
    assert parsed("folder;age\np1;-0,5\n").find("p1").value("age", "Float") == -0.5
    with pytest.raises(ValueError, match="is no Float"):
        parsed('folder,age\np1,"0,5"\n').find("p1").value("age", "Float")


@pytest.mark.parametrize(
    ("title", "is_shown"), [("P17", True), ("Case of p17", True), ("Case 1", False)]
)
def test_a_title_with_the_name_of_the_folder_is_found(title, is_shown):
    """The platform must not see it unless the route allows names."""
    assert shows_folder(parsed(f"folder,title\np17,{title}\n").find("p17")) == is_shown


def test_a_row_is_the_same_whatever_the_order_of_columns_is():
    """Only a changed value is a change."""
    one = parsed("folder,age,sex\np1,61,F\n").find("p1")
    assert one.digest == parsed("sex,folder,age\nF,p1,61\n").find("p1").digest
    assert one.digest != parsed("folder,age,sex\np1,62,F\n").find("p1").digest
