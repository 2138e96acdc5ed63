"""What must be the same in all files of a series, before and after de-identification."""

import pytest
from grand_challenge_dicom_de_identifier.deidentifier import DicomDeidentifier
from pydicom import dcmread
from pydicom.uid import EnhancedMRImageStorage, MRImageStorage
from support.slices import at_time, one_slice, series

from gcwatch.core.errors import CannotSend
from gcwatch.core.reasons import explain
from gcwatch.files.beneath import SharePath
from gcwatch.imaging import images
from gcwatch.imaging.dicom.procedure import platform_procedure
from gcwatch.inbox import tree

HARD = {
    "several_patients",
    "several_multiframe",
    "frames_removed",
    "stack_removed",
    "sizes_differ",
    "slopes_removed",
}


def refusal(folder, **options):
    with pytest.raises(CannotSend) as caught:
        recognise(folder, **options)
    return caught.value.reason


def recognise(folder, **options):
    files = tree.source_files(SharePath.of(folder), ())
    ((image,), _) = images.recognise_images(files, **options)
    return image


def two_halves(folder, first, second):
    """Write four slices; those of each half share some elements."""
    for number in range(4):
        more = first if number < 2 else second
        one_slice(folder / str(number), number + 1, (0, 0, number * 2), **more)


def over_time(folder, **more):
    for number in range(12):
        place, time = (0, 0, number % 4 * 2), number // 4
        one_slice(folder / str(number), number + 1, place, **(at_time(time) | more))


DIFFERENT = {
    "patient's ID": ({"PatientID": "A"}, {"PatientID": "B"}, "several_patients"),
    "patient's name": ({"PatientName": "X"}, {"PatientName": "Y"}, "several_patients"),
    "rows": ({}, {"Rows": 4, "PixelData": bytes(16)}, "sizes_differ"),
    "sign": ({}, {"PixelRepresentation": 0}, "sizes_differ"),
    "bits": (
        {},
        {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelData": bytes(4)},
        "sizes_differ",
    ),
    "colour": ({}, {"PhotometricInterpretation": "MONOCHROME1"}, "sizes_differ"),
    "spacing": ({"PixelSpacing": [1, 1]}, {"PixelSpacing": [1, 0.5]}, "spacings_differ"),
    "spacing absent": ({"PixelSpacing": [1, 1]}, {}, "spacings_differ"),
    "frame of reference": (
        {"FrameOfReferenceUID": "1.1"},
        {"FrameOfReferenceUID": "1.2"},
        "references_differ",
    ),
    "several multi-frame": (
        {"NumberOfFrames": 2, "PixelData": bytes(16)},
        {},
        "several_multiframe",
    ),
}


@pytest.mark.parametrize(("first", "second", "code"), DIFFERENT.values(), ids=DIFFERENT)
def test_files_that_differ_are_refused(folder, first, second, code):
    """With "warn" a lab can send uneven geometry, but never what is no image at all."""
    two_halves(folder, first, second)
    assert refusal(folder).code == code
    if code in HARD:
        assert refusal(folder, integrity="warn").code == code
    else:
        (warning,) = recognise(folder, integrity="warn").warnings
        assert warning.code == code


def test_a_reason_holds_no_value_of_the_patient(folder):
    """It tells only which elements differ."""
    two_halves(folder, {"PatientName": "DOE^JANE"}, {"PatientName": "ROE^RICHARD"})
    reason = refusal(folder)
    assert (dict(reason.facts), dict(reason.names)) == (
        {"elements": "PatientID or PatientName"},
        {},
    )
    assert "different values of PatientID or PatientName" in explain(reason).detail


def test_equal_values_that_are_written_differently_are_equal(folder):
    """Padding and decimals do not matter."""
    two_halves(
        folder,
        {"PatientID": "AB", "PixelSpacing": ["1", "1"]},
        {"PatientID": "AB  ", "PixelSpacing": ["1.000", "1.00001"]},
    )
    assert recognise(folder, procedure=platform_procedure()).warnings == ()


def test_times_are_lost_by_deidentification(folder):
    """Four dimensions would become three, so that is refused or told."""
    over_time(folder)
    assert recognise(folder).warnings == ()
    assert refusal(folder, procedure=platform_procedure()).code == "times_removed"
    (warning,) = recognise(folder, procedure=platform_procedure(), integrity="warn").warnings
    assert (warning.code, warning.facts["count"]) == ("times_removed", 3)


def test_pictures_at_one_place_need_a_time_each(folder):
    """Echoes, weights and phases without an index become one volume."""
    for number in range(8):
        one_slice(folder / str(number), number + 1, (0, 0, number % 4))
    assert refusal(folder).code == "places_shared"


def test_a_stack_of_several_series_is_lost_by_deidentification(folder):
    """Without StackID the platform makes one image of each series."""
    for number in range(4):
        more = {"StackID": "1", "SeriesInstanceUID": f"1.2.3.{number // 2}"}
        one_slice(folder / str(number), number + 1, (0, 0, number), **more)
    assert recognise(folder).warnings == ()
    assert refusal(folder, procedure=platform_procedure(), integrity="warn").code == "stack_removed"


def test_slopes_of_mr_are_lost_by_deidentification(folder):
    """The values of slices with different slopes can't be compared without them."""
    for number in range(4):
        more = {"RescaleSlope": number + 1, "RescaleIntercept": 0}
        one_slice(
            folder / str(number), number + 1, (0, 0, number), SOPClassUID=MRImageStorage, **more
        )
    assert recognise(folder).warnings == ()
    assert (
        refusal(folder, procedure=platform_procedure(), integrity="warn").code == "slopes_removed"
    )


def test_slopes_of_ct_are_kept(folder):
    """The procedure removes them only from MR."""
    two_halves(folder, {"RescaleSlope": 1}, {"RescaleSlope": 2})
    assert recognise(folder, procedure=platform_procedure()).warnings == ()


def test_frames_of_a_ct_are_lost_by_deidentification(folder):
    """One multi-frame file is an image, if its number of frames is sent."""
    one_slice(folder / "1", 1, (0, 0, 0), NumberOfFrames=5, PixelData=bytes(40))
    assert recognise(folder).warnings == ()
    assert (
        refusal(folder, procedure=platform_procedure(), integrity="warn").code == "frames_removed"
    )
    more = {"SOPClassUID": EnhancedMRImageStorage, "NumberOfFrames": 5, "PixelData": bytes(40)}
    one_slice(folder / "1", 1, (0, 0, 0), **more)
    assert recognise(folder, procedure=platform_procedure()).warnings == ()


def test_the_platforms_procedure_removes_what_is_taken_as_removed(folder):
    """A new version of it that keeps an element makes a refusal needless."""
    elements = {"StackID": "1", "TemporalPositionIndex": 1, "NumberOfFrames": 1, "RescaleSlope": 1}
    one_slice(folder / "1", 1, (0, 0, 0), SOPClassUID=MRImageStorage, **elements)
    dataset = dcmread(folder / "1")
    DicomDeidentifier().deidentify_dataset(dataset)
    assert not {*elements} & {element.keyword for element in dataset}


def test_files_of_a_dicom_image_set_stay_apart(folder):
    """They are imported one by one, so that they may differ."""
    two_halves(folder, {}, {"Rows": 4, "PixelData": bytes(16)})
    assert recognise(folder, joined=False).warnings == ()


def test_a_slight_shift_is_no_tilt(folder):
    """Positions that are rounded to a tenth lie a bit beside the normal."""
    for number in range(20):
        one_slice(folder / str(number), number + 1, (0.1 * (number % 2), 0, number))
    assert recognise(folder).warnings == ()


def test_a_series_of_one_sound_image_is_sent(folder):
    """With de-identification, too."""
    series(folder, range(20), PatientID="A", PatientName="X", PixelSpacing=[1, 1])
    assert recognise(folder, procedure=platform_procedure()).warnings == ()
