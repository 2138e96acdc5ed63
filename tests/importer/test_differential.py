"""The platform's own importer judges what gcwatch sends, over every kind of input.

Whatever is sent without a warning, panimg makes into exactly the image that the files show;
whatever it would take wrongly, gcwatch refuses.
"""

from pathlib import Path

import pytest
from support.importer.corpus import KINDS
from support.importer.kinds import SENT, UNFOUND
from support.importer.sending import observe
from support.importer.table import page_with_table

PAGE = Path(__file__).parents[2] / "docs" / "images.md"


_ALWAYS = {SENT, "values_differ"}
_OF_SEVERAL_FILES = {
    *("damaged_image", "empty_file", "slice_twice", "slices_missing", "slices_overlap"),
    *("slices_uneven", "slices_unplaced", "slices_disordered", "slices_tilted", "planes_differ"),
    *("spacings_differ", "pixels_oblong", "references_differ", "places_shared", "times_uneven"),
    "pictures_differ",
}
"""Reasons that docs/images.md says are sent with a warning, if the route allows it."""


def is_sent_with_warning(kind):
    """Whether a route with `integrity = "warn"` and without de-identification sends a kind."""
    may_lack_files = kind.group in {"DICOM", "slide"}
    return kind.plain in _ALWAYS or (may_lack_files and kind.plain in _OF_SEVERAL_FILES)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_what_is_sent_is_the_image_and_the_rest_is_refused(kind):
    """Both verdicts are as the table in docs/images.md says, with and without de-identification."""
    seen = observe(kind)
    assert seen.panimg == kind.panimg
    if kind.gcwatch == UNFOUND:
        assert (seen.gcwatch, seen.plain) == (SENT, SENT)
    else:
        assert (seen.gcwatch, seen.plain) == (kind.gcwatch, kind.plain)
        assert seen.trouble == ""
        assert seen.warned == is_sent_with_warning(kind)


def test_the_table_in_the_docs_is_that_of_the_kinds():
    """`make docs` writes it; the test above holds each row to what really happens."""
    assert page_with_table(PAGE.read_text()) == PAGE.read_text()
