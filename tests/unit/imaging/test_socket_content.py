"""Is a file, or a value, what its socket says."""

import datetime as dt
import io
import json
import os
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.whole_files import WHOLE

from gcwatch.core.errors import CannotSend
from gcwatch.core.reasons import explain
from gcwatch.files.beneath import SharePath
from gcwatch.imaging.checks import socket_content
from gcwatch.imaging.checks.json_syntax import is_json
from gcwatch.inbox import tree

NO_JSON = "it can't be written as JSON (NaN, infinity, a date, or too many levels)"


def a_file(tmp_path, name, data):
    path = tmp_path / "p" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return next(
        file for file in tree.source_files(SharePath(tmp_path) / "p", ()) if file.name == name
    )


def refusal(action):
    with pytest.raises(CannotSend) as caught:
        action()
    return caught.value.reason


# --- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["1", "\ufeff[1]", '{"a": [null, 1e3]}', '"\\u00fc"', "\n0\n"])
def test_json_is_read(tmp_path, text):
    """What Python's own decoder takes is the value."""
    file = a_file(tmp_path, "v.json", text.encode())
    assert socket_content.read_value(file) == json.loads(text.lstrip("\ufeff"))


@pytest.mark.parametrize(
    "data",
    [b"{", b"NaN", b"[Infinity]", b"-Infinity", b"1e999", b"\xff\xfe\xff", b"[" * 100_000, b" "],
)
def test_what_is_no_json_is_refused(tmp_path, data):
    """NaN and Infinity are no JSON, numbers that overflow neither; depth does not crash."""
    file = a_file(tmp_path, "v.json", data)
    reason = refusal(lambda: socket_content.read_value(file, "threshold"))
    assert reason.code == "broken_json"
    assert reason.facts["socket"] == "threshold"
    assert reason.facts["problem"]
    assert reason.names == {"file": "v.json"}


def test_an_empty_json_file_is_an_empty_file(tmp_path):
    """The nurse is told what it is."""
    file = a_file(tmp_path, "v.json", b"")
    assert refusal(lambda: socket_content.read_value(file)).code == "empty_file"


def test_a_value_that_the_platform_would_not_take_is_not_read(tmp_path):
    """More than 16 MiB does not pass the platform's proxy; it is refused unread."""
    file = a_file(tmp_path, "v.json", b"")
    os.truncate(str(file.place), socket_content.VALUE_BYTES + 1)
    (file,) = tree.source_files(SharePath(tmp_path) / "p", ())
    assert (
        refusal(lambda: socket_content.read_value(file)).facts["problem"]
        == "it has more than 16 MiB"
    )


@pytest.mark.parametrize(
    ("kind", "value"), [("Float", 1), ("Anything", [1, {}]), ("A kind of next year", {"a": None})]
)
def test_a_value_of_its_sockets_kind_passes(kind, value):
    """Unknown kinds take anything that is JSON; the rest is in test_json_shapes.py."""
    socket_content.check_value(value, kind, "s")


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        ("Float", "0.5", "it is a string instead of a number"),
        ("Anything", None, "it is null"),
        ("A kind of next year", None, "it is null"),
        ("Anything", [float("nan")], NO_JSON),
        ("A kind of next year", {"on": dt.date(2026, 1, 1)}, NO_JSON),
    ],
)
def test_a_value_that_no_such_socket_takes_is_refused(kind, value, problem):
    """Socket, kind and what is wrong are named, and there is no file to name."""
    reason = refusal(lambda: socket_content.check_value(value, kind, "threshold"))
    assert reason.code == "wrong_value"
    assert reason.facts == {"problem": problem, "socket": "threshold", "kind": kind}
    assert reason.names == {}


def test_a_value_of_too_many_levels_is_refused():
    """It could not be written into a request."""
    value = []
    for _ in range(5000):
        value = [value]
    reason = refusal(lambda: socket_content.check_value(value, "Anything", "s"))
    assert reason.facts["problem"] == NO_JSON


# --- files -------------------------------------------------------------------------------------


POINTS = b'{"type": "Multiple points", "version": {"major": 1, "minor": 0}, "points": []}'
GOOD = [
    ("PDF file", "report.pdf", WHOLE["report.pdf"]),
    ("SQREG file", "slide.sqreg", WHOLE["slide.sqreg"]),
    ("Thumbnail jpg", "thumb.jpg", WHOLE["thumb.jpg"]),
    ("Thumbnail jpg", "thumb.JPEG", WHOLE["thumb.jpeg"]),
    ("Thumbnail png", "thumb.png", WHOLE["thumb.png"]),
    ("OBJ file", "model.obj", WHOLE["model.obj"]),
    ("MP4 file", "film.mp4", WHOLE["film.mp4"]),
    ("Newick tree-format file", "tree.nwk", WHOLE["tree.newick"]),
    ("BIOM format", "table.biom", WHOLE["table.biom"]),
    ("CSV file", "table.csv", b"a,b\n1,2\n"),
    ("ZIP file", "some.zip", WHOLE["table.zip"]),
    ("Anything", "a.json", b"[1]"),
    ("Anything", "null.json", b"null"),
    ("Multiple points", "points.json", POINTS),
    ("A kind of next year", "whatever", b"\0"),
]


@pytest.mark.parametrize(("kind", "name", "data"), GOOD)
def test_a_file_of_its_kind_passes(tmp_path, kind, name, data):
    """Suffix, first bytes and structure are those of the kind."""
    socket_content.check_file(a_file(tmp_path, name, data), kind, "s")


@pytest.mark.parametrize(("kind", "name", "data"), GOOD[:-1])
def test_a_file_under_another_name_or_with_other_bytes_is_refused(tmp_path, kind, name, data):
    """The platform would take a text file for a PDF; gcwatch does not."""
    for wrong in (a_file(tmp_path, "x.bin", data), a_file(tmp_path, name, b"\0" * 64)):
        reason = refusal(lambda wrong=wrong: socket_content.check_file(wrong, kind, "s"))
        assert reason.code in {"wrong_content", "broken_json"}
        assert reason.names == {"file": wrong.name}
        assert wrong.name not in str(reason.facts)


WRONG_KIND = "A file of this folder is not of the kind that is needed. {}: "
DAMAGED = "A file of this folder is damaged or incomplete. {}: "
BROKEN = "A JSON file of this folder is damaged or is not valid JSON."
HTML = b"<!DOCTYPE html><title>Sign in</title>"
NO_POINT = POINTS.replace(b"[]", b'[{"point": [1, 2, 3]}, {"name": "left"}]')
BAD = [
    ("PDF file", "r.docx", b"PK", WRONG_KIND + "its name does not end in .pdf."),
    (
        "PDF file",
        "r.pdf",
        WHOLE["table.zip"],
        WRONG_KIND + "as PDF file it should be a PDF, but it is a ZIP or Office file.",
    ),
    ("PDF file", "r.pdf", b"hello", WRONG_KIND + "as PDF file it should be a PDF, but it is not."),
    ("PDF file", "r.pdf", WHOLE["report.pdf"][:20], DAMAGED + "its end is missing."),
    (
        "CSV file",
        "t.csv",
        WHOLE["table.zip"],
        WRONG_KIND + "as CSV file it should be CSV text, but it is a ZIP or Office file.",
    ),
    (
        "CSV file",
        "t.csv",
        HTML,
        WRONG_KIND + "as CSV file it should be CSV text, but it is a web page.",
    ),
    (
        "CSV file",
        "t.csv",
        b'{"a": 1}',
        WRONG_KIND + "as CSV file it should be CSV text, but it is JSON.",
    ),
    ("CSV file", "t.csv", b"a,b\n" * 2000 + bytes(9), DAMAGED + "a part of it is binary zeros."),
    (
        "Thumbnail png",
        "t.png",
        WHOLE["thumb.jpeg"],
        WRONG_KIND + "as Thumbnail png it should be a PNG picture, but it is a JPEG picture.",
    ),
    ("Thumbnail png", "t.png", WHOLE["thumb.png"][:-9], DAMAGED + "its end is missing."),
    ("Thumbnail jpg", "t.jpg", WHOLE["thumb.jpeg"][:-2], DAMAGED + "its end is missing."),
    (
        "MP4 file",
        "f.mp4",
        b"\0" * 99,
        WRONG_KIND + "as MP4 file it should be an MP4 film, but it is not.",
    ),
    ("MP4 file", "f.mp4", WHOLE["film.mp4"][:60], DAMAGED + "its end is missing."),
    (
        "SQREG file",
        "s.sqreg",
        b"{}",
        WRONG_KIND + "as SQREG file it should be an SQLite database, but it is not.",
    ),
    ("SQREG file", "s.sqreg", WHOLE["slide.sqreg"][:5000], DAMAGED + "its end is missing."),
    ("OBJ file", "m.obj", b"# nothing", DAMAGED + "it has no vertex (a line v x y z)."),
    (
        "Newick tree-format file",
        "t.newick",
        b"((a,b);",
        DAMAGED + "it has 2 opening brackets and 1 closing bracket.",
    ),
    (
        "BIOM format",
        "b.biom",
        b'{"id": null}',
        WRONG_KIND + "as BIOM format it should be an HDF5 file, but it is JSON.",
    ),
    (
        "ZIP file",
        "z.zip",
        WHOLE["table.zip"][:-30],
        DAMAGED + "its directory is missing or damaged.",
    ),
    (
        "Multiple points",
        "p.json",
        NO_POINT,
        WRONG_KIND + "as Multiple points, points[1].point is missing.",
    ),
    ("Float", "f.json", b'"0.5"', WRONG_KIND + "as Float, it is a string instead of a number."),
]


@pytest.mark.parametrize(("kind", "name", "data", "sentences"), BAD)
def test_bad_files_earn_plain_sentences(tmp_path, kind, name, data, sentences):
    """For whoever dropped the folder what it is, for whoever runs gcwatch where."""
    file = a_file(tmp_path, name, data)
    words = explain(refusal(lambda: socket_content.check_file(file, kind, "input")))
    assert f"{words.plain} {words.detail}" == sentences.format(f"{name} for socket input")
    assert words.hint


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'{"a": 1,\n "b" 2}', "line 2, column 6: ':' is expected"),
        (b'{"a": 1 "b": 2}', "line 1, column 9: ',' or '}' is expected"),
        (b"[1,\n2,\n]", "line 3, column 1: a value is expected"),
        (b"[1 2]", "line 1, column 4: ',' or ']' is expected"),
        (b"[1}", "line 1, column 3: ',' or ']' is expected"),
        (b"{'a': 1}", "line 1, column 2: a name in double quotes or '}' is expected"),
        (b'{"a": 1,}', "line 1, column 9: a name in double quotes is expected"),
        (b'{"a": NaN}', "line 1, column 7: NaN and Infinity are no JSON"),
        (b"[1e999]", "line 1, column 2: a number is too large"),
        (b"[True]", "line 1, column 2: a value is expected"),
        (b"{} {}", "line 1, column 4: the end of the file is expected"),
        (b'{"a": [1, 2', "line 1, column 12: it ends where ',' or ']' is expected"),
        (b'{"a": "b', "line 1, column 9: it ends within a string"),
        (b'["a\nb"]', "line 1, column 4: a string holds a line end or another control character"),
        (b'["C:\\Data"]', "line 1, column 5: a string holds a backslash that begins no escape"),
        (b"<html>", "line 1, column 1: a value is expected"),
        (b"[" * 501, "line 1, column 501: it is nested more than 500 levels deep"),
        (b"1" * 5000, "line 1, column 1: a number or word is too long"),
        (b'["\xe4"]', "it is not text in UTF-8"),
    ],
)
def test_json_that_does_not_parse_is_shown_where_it_breaks(tmp_path, data, problem):
    """The same for values and for files, and not a word of what is in it."""
    file = a_file(tmp_path, "a.json", data)
    for check in (
        lambda: socket_content.read_value(file, "input"),
        lambda: socket_content.check_file(file, "Anything", "input"),
    ):
        words = explain(refusal(check))
        assert words.plain == BROKEN
        assert words.detail == f"a.json for socket input is not valid JSON: {problem}."


def test_a_byte_order_mark_is_read_past_in_a_value_and_told_in_a_file(tmp_path):
    """A value is written anew; a file goes out as it is, and readers of JSON stumble over it."""
    file = a_file(tmp_path, "a.json", b"\xef\xbb\xbf[1]")
    assert socket_content.read_value(file) == [1]
    reason = refusal(lambda: socket_content.check_file(file, "Anything", "input"))
    assert reason.facts["problem"] == "line 1, column 1: a byte order mark is no JSON"


def test_a_literal_of_the_wrong_type_earns_a_plain_sentence():
    """There is no file to name: it may stand in the route itself."""
    words = explain(refusal(lambda: socket_content.check_value("high", "Float", "threshold")))
    assert words.plain == "A value that belongs to this folder is not what is needed."
    assert words.detail == (
        "The value for socket threshold (Float): it is a string instead of a number."
    )


def test_large_json_is_held_to_the_grammar_only(tmp_path):
    """More than 16 MiB is not taken into memory, so its shape is the platform's to check."""
    data = b'{"type": "Multiple points", "x": "' + b"x" * socket_content.VALUE_BYTES + b'"}'
    socket_content.check_file(a_file(tmp_path, "p.json", data), "Multiple points", "s")


@pytest.mark.parametrize("kind", ["PDF file", "Anything", "A kind of next year"])
def test_an_empty_file_is_refused_for_every_kind(tmp_path, kind):
    """The platform can't import 0 bytes."""
    file = a_file(tmp_path, "r.pdf", b"")
    words = explain(refusal(lambda: socket_content.check_file(file, kind, "s")))
    assert words.plain == "A file of this folder is empty."
    assert words.detail == "r.pdf has 0 bytes; the platform can't import it."


# --- JSON of any size --------------------------------------------------------------------------

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
TOKENS = st.lists(
    st.sampled_from([*list('{}[]:,"\\-+.019eEu \n'), "true", "null", "NaN", '"a"', "\\u00e9"])
)


def strictly(text):
    """What Python's own decoder says, without its three constants."""
    try:
        json.loads(
            text,
            parse_constant=socket_content._refuse_constant,
            parse_float=socket_content._parse_finite,
        )
    except ValueError:
        return False
    return True


@given(VALUES, st.booleans(), st.none() | st.integers(0, 3), st.integers(1, 9))
def test_whatever_is_json_passes_in_pieces_of_any_size(value, ascii_only, indent, buffer):
    """Tokens, escapes and letters may be cut anywhere by the end of a buffer."""
    data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert is_json(io.BytesIO(data), buffer)


@given(TOKENS.map("".join) | st.text(), st.integers(1, 9))
@example("", 1)
@example('["\\u12', 3)
@example("[1,]", 9)
@example('{"a":1,}', 9)
@example("1 2", 9)
@example("[1}", 9)
@example('"\t"', 9)
@example("01", 9)
@example("\ufeff1", 9)
@example("1e999", 9)
@example("1\u0661", 9)
def test_the_check_agrees_with_pythons_decoder(text, buffer):
    """What the platform's decoder refuses must not pass, and the other way round."""
    assert is_json(io.BytesIO(text.encode()), buffer) == strictly(text)


@given(st.lists(VALUES, min_size=2), st.data(), st.integers(1, 40))
def test_one_wrong_character_is_found_wherever_it_is(value, data, buffer):
    """Long runs of easy items are passed over fast, and not too far."""
    text = json.dumps(value)
    place = data.draw(st.integers(0, len(text) - 1))
    wrong = text[:place] + data.draw(st.sampled_from('{}[],:"\\1e.-x \n')) + text[place + 1 :]
    assert is_json(io.BytesIO(wrong.encode()), buffer) == strictly(wrong)


@pytest.mark.parametrize(
    "data", [b'"\xff"', b'"\xc3', b"".join([b"[" * 501, b"]" * 501]), b"1" * 5000]
)
def test_what_the_platform_cannot_decode_does_not_pass(data):
    """Broken UTF-8, nesting without end, and numbers longer than Python takes."""
    assert not is_json(io.BytesIO(data), 16)


def test_a_large_json_file_is_checked_in_little_memory(tmp_path):
    """32 MiB with one long string and much white space, within a few MiB."""
    mega = 1024 * 1024
    data = b'{"a": "' + b"x" * 15 * mega + b'",' + b" " * 16 * mega + b'"b": [1, 2.5e3, null]}'
    file = a_file(tmp_path, "big.json", data)
    del data
    tracemalloc.start()
    socket_content.check_file(file, "Anything", "s")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * mega
