"""How the files of a socket become what is uploaded: the choices of a route."""

from collections.abc import Sequence
from dataclasses import dataclass

from gcwatch.imaging.deidentification.deidentify import NO_RULES, DicomRules
from gcwatch.imaging.formats import Integrity


@dataclass(frozen=True, kw_only=True)
class BundleOptions:
    """What is done with the files of one socket.

    Attributes:
        socket: The socket's slug, for messages.
        pattern: The glob that chose the files, for messages.
        deidentify: Whether what identifies the patient is removed. This covers DICOM: elements,
            preamble, meta group, what is hidden beside pixels, and pictures of a slide's label.
            Files whose pixels may show a name are refused unless `rules` allow them. It covers the
            other formats (`scrub`), too.
        keep_names: Whether files in a zip keep their names; else they are numbered. The files of a
            MetaImage or of a MIRAX or Hamamatsu slide always get neutral names, also in the header
            or index that lists them.
        integrity: What the platform would import wrongly is refused, or sent with warnings (see
            `images.recognise_images`). A file that can't be de-identified is never sent: with
            "warn" it is left out, with a warning (`left_out`).
        rules: How DICOM is de-identified, and which series are taken.
        unscrubbed: Formats that can't be scrubbed, but are sent as they are, with a warning
            (`sent_unscrubbed`).
    """

    socket: str
    pattern: str = "**"
    deidentify: bool = True
    keep_names: bool = False
    integrity: Integrity = "refuse"
    rules: DicomRules = NO_RULES
    unscrubbed: Sequence[str] = ()
