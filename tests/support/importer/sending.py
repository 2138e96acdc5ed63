"""What gcwatch sends of a folder, and what panimg makes of the folder and of what is sent."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from gcwatch.core.errors import CannotSend
from gcwatch.core.forecast import ReportedImage, is_as_foretold
from gcwatch.files.beneath import SharePath
from gcwatch.imaging.bundles import bundle
from gcwatch.imaging.bundles.options import BundleOptions
from gcwatch.inbox import tree
from support.importer.judge import judge_folder, judge_uploads
from support.importer.kinds import NOTHING, RIGHT, SENT, SEVERAL, WRONG


@dataclass(frozen=True)
class Observed:
    """What came of a kind of input; `trouble` says which promise was broken, "" if none.

    `warned` tells whether `integrity = "warn"` sends it without de-identification.
    """

    panimg: str
    gcwatch: str
    plain: str
    warned: bool
    trouble: str


def send_folder(folder, spool, **options):
    """Given a folder, return the bundle that gcwatch sends for one image socket."""
    chosen = BundleOptions(socket="image", **options)
    files = tree.source_files(SharePath.of(folder), ())
    made = bundle.image_bundle(files, chosen, spool=spool, stem="k1")
    return made.written()


def name_verdict(verdict, truth):
    """Compare what panimg made with what an independent reader reads; return one of the kinds."""
    if verdict.crashed or not verdict.images:
        return NOTHING
    if len(verdict.images) > 1:
        return SEVERAL
    [image] = verdict.images
    return RIGHT if truth is not None and image.picture.equals(truth) else WRONG


def observe(kind):
    """Build a folder of a kind; return what panimg and gcwatch make of it."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work, "in", "p1")
        folder.mkdir(parents=True)
        return observe_folder(folder, kind.build(folder))


def observe_folder(folder, truth):
    """Given a folder and the picture that it shows, return what panimg and gcwatch make of it."""
    with tempfile.TemporaryDirectory() as work:
        results = {
            deidentify: _send(folder, Path(work, f"spool-{deidentify}"), truth, deidentify)
            for deidentify in (True, False)
        }
    trouble = "; ".join(found for _, _, found in results.values() if found)
    return Observed(
        name_verdict(judge_folder(folder), truth),
        results[True][0],
        results[False][0],
        results[False][1],
        trouble,
    )


def sent_path(made):
    """Where the file of a bundle is: in the spool, or still in its folder."""
    return made.file if isinstance(made.file, Path) else Path(str(made.file.place))


def _send(folder, spool, truth, deidentify):
    """Return the code of the refusal, whether "warn" sends it, and a broken promise."""
    try:
        made = send_folder(folder, spool, deidentify=deidentify)
    except CannotSend as error:
        return error.reason.code, *_send_with_warning(folder, spool, deidentify)
    if made.warnings:
        return SENT, True, "sent with a warning although warnings are refused"
    verdict = judge_uploads({made.filename: sent_path(made)})
    found = name_verdict(verdict, truth)
    trouble = "" if found == RIGHT else f"sent ({deidentify}), and panimg makes {found}"
    return SENT, True, trouble or _compare_with_forecast(made.forecast, *verdict.images)


def _compare_with_forecast(forecast, image):
    """Return what is wrong with the forecast of an image, "" if nothing."""
    reported = ReportedImage(image.shape, image.color_space, image.spacing)
    # The shape says whether the volumes are times or segments.
    is_right = (
        is_as_foretold(forecast, reported)
        and (forecast.times is None or forecast.times == forecast.shape[0])
        and forecast.pixel_type in {"", image.picture.voxels.dtype.name}
    )
    return "" if is_right else f"panimg makes {reported} and not {forecast}"


def _send_with_warning(folder, spool, deidentify):
    """Return whether "warn" sends what is refused otherwise, and a broken promise.

    Then the warning is told, and the image is the one of the forecast, or the import fails.
    """
    try:
        made = send_folder(folder, spool, deidentify=deidentify, integrity="warn")
    except CannotSend:
        return False, ""
    if not made.warnings:
        return True, "sent without a warning what is refused otherwise"
    images = judge_uploads({made.filename: sent_path(made)}).images
    if len(images) > 1:
        return True, "sent with a warning, and panimg makes several images"
    return True, "".join(_compare_with_forecast(made.forecast, image) for image in images)
