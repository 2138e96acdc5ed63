"""Stretches of header bytes that files have in common are found again, and nothing else is."""

from gcwatch.imaging.dicom.stretches import ReadElement, Stretches

STUDY, NUMBER, ROWS = 0x0020000D, 0x00200013, 0x00280010


def element(tag, value, *, needed=True, is_own=False):
    """An element of an explicit, short VR, as it was read."""
    group, number = tag.to_bytes(4, "big")[:2][::-1], tag.to_bytes(4, "big")[2:][::-1]
    content = group + number + b"LO" + len(value).to_bytes(2, "little") + value
    return ReadElement(tag, content, (tag, b"LO", value) if needed else None, is_own)


def learned(*files):
    stretches = Stretches()
    for file in files:
        stretches.learn(file)
    return stretches


def file_of(number, study=b"1.2.3 "):
    return [element(STUDY, study), element(NUMBER, number, is_own=True), element(ROWS, b"12")]


def test_what_two_files_have_in_common_is_found_in_a_third():
    """With the elements in it that are needed, up to where the files differ."""
    stretches = learned(file_of(b"1 "), file_of(b"2 "))
    data = b"".join(each.content for each in file_of(b"3 "))
    found = stretches.find(data, 0, 0)
    assert found.needed == ((STUDY, b"LO", b"1.2.3 "),)
    behind = len(found.content) + len(element(NUMBER, b"3 ").content)
    assert stretches.find(data, behind, NUMBER).needed == ((ROWS, b"LO", b"12"),)


def test_an_element_of_one_file_is_in_no_stretch():
    """Even if two files happen to have the same."""
    stretches = learned(file_of(b"1 "), file_of(b"1 "))
    data = b"".join(each.content for each in file_of(b"1 "))
    assert stretches.find(data, 0, 0).content == element(STUDY, b"1.2.3 ").content


def test_other_bytes_are_no_known_stretch():
    """Not even if only the last byte differs, or if the file ends within."""
    stretches = learned(file_of(b"1 "), file_of(b"2 "))
    for other in (element(STUDY, b"1.2.4 ").content, element(STUDY, b"1.2.3 ").content[:-1]):
        assert stretches.find(other, 0, 0) is None


def test_a_stretch_is_not_found_behind_a_greater_tag():
    """A header whose elements are out of order is left to pydicom."""
    stretches = learned(file_of(b"1 "), file_of(b"2 "))
    data = element(STUDY, b"1.2.3 ").content
    assert stretches.find(data, 0, STUDY) is None


def test_two_series_that_alternate_are_both_known():
    """As when their files lie in one folder."""
    one, other = file_of(b"1 "), file_of(b"1 ", b"4.5.6 ")
    stretches = learned(one, one, other, other)
    for file in (one, other):
        assert stretches.find(file[0].content, 0, 0).needed == (file[0].needed,)


def test_memory_is_bounded():
    """After more than 1 MiB of stretches, the first ones are forgotten."""
    stretches = Stretches()
    for tag in range(0x00090010, 0x00090010 + 40):
        file = [element(tag, bytes(60_000), needed=False)]
        stretches.learn(file)
        stretches.learn(file)
    first, last = element(0x00090010, bytes(60_000)), element(tag, bytes(60_000))
    assert stretches.find(first.content, 0, 0) is None
    assert stretches.find(last.content, 0, 0) is not None
