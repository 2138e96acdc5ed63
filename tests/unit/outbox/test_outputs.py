"""Where outputs go: no two share a place, whatever the algorithm calls them."""

import unicodedata
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcwatch.core.case import Output
from gcwatch.outbox.outputs import named_files, output_paths
from gcwatch.platform.models import Image


def outputs(*paths, carrier="file"):
    """Outputs with these paths, numbered from 1."""
    return [
        Output(pk=pk, socket=f"s{pk}", carrier=carrier, path=path, url="", value=None)
        for pk, path in enumerate(paths, start=1)
    ]


def places(*paths, **more):
    return [str(path) for path in output_paths(outputs(*paths, **more)).values()]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (("a", "b"), ["a", "b"]),
        (("a", "A"), ["a", "2-A"]),
        (("x/a", "x/a"), ["x/a", "x/2-a"]),
        (("3-a", "a", "a"), ["3-a", "a", "3-2-a"]),
        (("a", "a/b"), ["a", "2-a/b"]),
        (("a/b", "a"), ["a/b", "2-a"]),
        (("a.part", "a"), ["a.part", "2-a"]),
        (("a", "a.part"), ["a", "2-a.part"]),
        (("caf\u00e9", "cafe\u0301"), ["caf\u00e9", "2-cafe\u0301"]),
        (("stra\u00dfe", "STRASSE"), ["stra\u00dfe", "2-STRASSE"]),
    ],
)
def test_no_two_outputs_share_a_place(paths, expected):
    """Neither on a file system that ignores case or accents' form, nor as file and folder."""
    assert places(*paths) == expected


def test_images_may_lie_below_one_another():
    """The path of an image is a folder: `images` and `images/lobes` are both as asked for."""
    assert places("images", "images/lobes", carrier="image") == ["images", "images/lobes"]


NAMES = st.text(st.sampled_from("aAb/.1-\u00e9\u0301"), max_size=6)


@given(st.lists(st.tuples(NAMES, st.sampled_from(["file", "image"])), max_size=6))
def test_drawn_outputs_never_meet(drawn):
    """For any names: each file has a path that is no other's, nor a folder of another's."""
    wanted = [
        Output(pk=pk, socket=f"s{pk}", carrier=carrier, path=path, url="", value=None)
        for pk, (path, carrier) in enumerate(drawn, start=1)
    ]
    found = output_paths(wanted)
    files = {
        each.pk: unicodedata.normalize("NFC", str(found[each.pk]).casefold())
        for each in wanted
        if each.carrier == "file"
    }
    assert len(set(files.values())) == len(files)
    for pk, path in files.items():
        for other, place in found.items():
            above = {unicodedata.normalize("NFC", str(p).casefold()) for p in place.parents}
            assert other == pk or path not in above
    assert all(not place.is_absolute() and ".." not in place.parts for place in found.values())


def test_two_files_of_one_suffix_are_both_fetched():
    """Each gets a name of its own; a single one is named by the image alone."""

    def image(*files):
        made = [
            {"pk": pk, "file": f"https://x/{pk}/{name}", "image_type": "MHD"} for pk, name in files
        ]
        return Image.model_validate(
            {"pk": "11111111-1111-4111-8111-111111111111", "name": "x", "files": made}
            | {"api_url": "https://x/api/v1/cases/images/1/"}
        )

    one, two = ("a" * 8, "x.mha"), ("b" * 8, "y.mha")
    [(_, name)] = named_files(image(one))
    assert PurePosixPath(name).suffix == ".mha"
    names = [name for _, name in named_files(image(one, two))]
    assert len(set(names)) == 2
