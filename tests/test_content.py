"""Is a file, or a value, what its socket says."""

import io
import json
import tracemalloc
import zipfile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gcwatch import content, inbox
from gcwatch.errors import CannotSend
from gcwatch.json_syntax import is_json


def a_file(tmp_path, name, data):
    path = tmp_path / "p" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return next(file for file in inbox.source_files(tmp_path, "p", ()) if file.name == name)


def refusal(action):
    with pytest.raises(CannotSend) as caught:
        action()
    return caught.value.reason


# --- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["1", "\ufeff[1]", '{"a": [null, 1e3]}', '"\\u00fc"', "\n0\n"])
def test_json_is_read(tmp_path, text):
    """What Python's own decoder takes is the value."""
    file = a_file(tmp_path, "v.json", text.encode())
    assert content.read_value(file) == json.loads(text.lstrip("\ufeff"))


@pytest.mark.parametrize(
    "data",
    [b"{", b"NaN", b"[Infinity]", b"-Infinity", b"1e999", b"\xff\xfe\xff", b"[" * 100_000, b" "],
)
def test_what_is_no_json_is_refused(tmp_path, data):
    """NaN and Infinity are no JSON, numbers that overflow neither; depth does not crash."""
    file = a_file(tmp_path, "v.json", data)
    reason = refusal(lambda: content.read_value(file, "threshold"))
    assert reason.code == "wrong_content"
    assert reason.facts == {"problem": "not valid JSON", "socket": "threshold"}
    assert reason.names == {"file": "v.json"}


def test_an_empty_json_file_is_an_empty_file(tmp_path):
    """The nurse is told what it is."""
    file = a_file(tmp_path, "v.json", b"")
    assert refusal(lambda: content.read_value(file)).code == "empty_file"


def test_a_value_that_the_platform_would_not_take_is_not_read(tmp_path):
    """More than 16 MiB does not pass the platform's proxy; it is refused unread."""
    file = a_file(tmp_path, "v.json", b"")
    with file.path.open("wb") as stream:
        stream.truncate(content.VALUE_BYTES + 1)
    (file,) = inbox.source_files(tmp_path, "p", ())
    assert refusal(lambda: content.read_value(file)).facts["problem"] == "more than 16 MiB"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("String", ""),
        ("Integer", 0),
        ("Integer", 3.0),
        ("Float", 1),
        ("Float", 0.5),
        ("Bool", False),
        ("Choice", "a"),
        ("Multiple choice", ["a"]),
        ("Anything", [1, {}]),
        ("Point", {"type": "Point"}),
        ("A kind of next year", 1),
    ],
)
def test_a_literal_of_its_sockets_type_passes(kind, value):
    """Each kind takes its own type, and unknown kinds take anything."""
    content.check_value(value, kind, "s")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("String", 1),
        ("Integer", True),
        ("Integer", 0.5),
        ("Integer", float("inf")),
        ("Float", "0.5"),
        ("Float", False),
        ("Float", float("nan")),
        ("Bool", 0),
        ("Bool", "true"),
        ("Choice", ["a"]),
        ("Choice", True),
        ("Multiple choice", "a"),
        ("Multiple choice", [["a"]]),
        ("Anything", None),
        ("Point", [1, 2, 3]),
        ("A kind of next year", None),
    ],
)
def test_a_literal_of_another_type_is_refused(kind, value):
    """The socket and both types are named."""
    reason = refusal(lambda: content.check_value(value, kind, "threshold"))
    assert reason.code == "wrong_content"
    assert reason.facts["socket"] == "threshold"
    assert reason.facts["problem"].endswith(kind)


# --- files -------------------------------------------------------------------------------------


def a_zip(tmp_path):
    path = tmp_path / "some.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    return path.read_bytes()


GOOD = [
    ("PDF file", "r.pdf", b"%PDF-1.7\n"),
    ("SQREG file", "r.sqreg", b"SQLite format 3\0"),
    ("Thumbnail jpg", "t.jpg", b"\xff\xd8\xff\xe0"),
    ("Thumbnail jpg", "t.JPEG", b"\xff\xd8\xff\xe0"),
    ("Thumbnail png", "t.png", b"\x89PNG\r\n\x1a\n"),
    ("OBJ file", "m.obj", b"v 0 0 0\n"),
    ("MP4 file", "m.mp4", b"\0\0\0\x20ftypisom"),
    ("Newick tree-format file", "t.newick", b"(a,b);\n"),
    ("BIOM format", "b.biom", b"\x89HDF\r\n\x1a\n"),
    ("BIOM format", "b.biom", b"{}"),
    ("CSV file", "c.csv", b"a,b\n1,2\n"),
    ("Anything", "a.json", b"[1]"),
    ("Multiple points", "a.json", b"{}"),
    ("A kind of next year", "whatever", b"\0"),
]


@pytest.mark.parametrize(("kind", "name", "data"), GOOD)
def test_a_file_of_its_kind_passes(tmp_path, kind, name, data):
    """Suffix and first bytes are those of the kind."""
    content.check_file(a_file(tmp_path, name, data), kind, "s")


@pytest.mark.parametrize(("kind", "name", "data"), GOOD[:-1])
def test_a_file_under_another_name_or_with_other_bytes_is_refused(tmp_path, kind, name, data):
    """The platform would take a text file for a PDF; gcwatch does not."""
    for wrong in (a_file(tmp_path, "x.bin", data), a_file(tmp_path, name, b"\0" * 64)):
        reason = refusal(lambda wrong=wrong: content.check_file(wrong, kind, "s"))
        assert reason.code == "wrong_content"
        assert reason.names == {"file": wrong.name}
        assert wrong.name not in str(reason.facts)


def test_a_json_file_that_does_not_parse_is_called_that(tmp_path):
    """The platform's "Anything" tells an engineer nothing."""
    file = a_file(tmp_path, "a.json", b'{"a": NaN')
    with pytest.raises(CannotSend) as caught:
        content.check_file(file, "Anything", "s")
    assert caught.value.reason.facts["problem"] == "not valid JSON"


def test_a_zip_must_be_whole(tmp_path):
    """A zip without its end can't be opened."""
    data = a_zip(tmp_path)
    content.check_file(a_file(tmp_path, "z.zip", data), "ZIP file", "s")
    cut = a_file(tmp_path, "z.zip", data[:-30])
    assert refusal(lambda: content.check_file(cut, "ZIP file", "s")).code == "wrong_content"


@pytest.mark.parametrize("kind", ["PDF file", "Anything", "A kind of next year"])
def test_an_empty_file_is_refused_for_every_kind(tmp_path, kind):
    """The platform can't import 0 bytes."""
    file = a_file(tmp_path, "r.pdf", b"")
    assert refusal(lambda: content.check_file(file, kind, "s")).code == "empty_file"


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
        json.loads(text, parse_constant=content._refuse, parse_float=content._finite)
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
    content.check_file(file, "Anything", "s")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * mega
