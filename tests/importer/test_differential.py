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


def test_the_table_in_the_docs_is_that_of_the_kinds():
    """`make docs` writes it; the test above holds each row to what really happens."""
    assert page_with_table(PAGE.read_text()) == PAGE.read_text()
