"""What a de-identification procedure does with the elements of one kind of file, as bytes."""

import io
import struct
from collections.abc import Mapping
from typing import Any, Final

from gcwatch.imaging.dicom.encoded import (
    IMPLICIT_SYNTAX,
    META_START,
    SHORT_HEAD,
    EncodedElements,
    UnusualHeader,
    with_value,
)

_SOP_CLASS: Final = 0x00080016
_METHOD: Final = 0x00120063


class EncodedRules:
    """What happens to the elements of files of one SOP class and transfer syntax."""

    def __init__(self, library: Any, sop_class: bytes, syntax: bytes) -> None:
        rules = library.procedure["sopClass"].get(sop_class.decode("ascii", "replace"))
        if rules is None:
            raise UnusualHeader  # the library says why it refuses the class
        self._library = library
        self._sop_class = sop_class.decode()
        self._implicit = syntax == IMPLICIT_SYNTAX
        self._default = rules["default"]
        self._actions: Mapping[int, str] = {
            int(tag[1:5] + tag[6:10], 16): rule["default"]
            for tag, rule in rules["tag"].items()
            if "X" not in tag  # the library, too, knows no pattern such as (60XX,0010)
        }
        self._constants: dict[tuple[int, bytes], bytes] = {}
        self._added = self._deidentified()
        del self._added[_SOP_CLASS]
        self._meta = self._split_meta(syntax.decode("ascii", "replace"))

    def action(self, tag: int) -> str:
        """Return the procedure's letter for what happens to the elements of a tag."""
        return self._actions.get(tag, self._default)

    def constant(self, tag: int, vr: bytes) -> bytes:
        """Return the element that takes the place of each with this tag and VR."""
        known = self._constants.get((tag, vr))
        if known is None:
            known = self._constants[tag, vr] = self._deidentified(tag, vr)[tag]
        return known

    def add_method(self, copied: dict[int, bytes]) -> None:
        """Add to new elements that and how they were de-identified, as the library does."""
        method, before = self._added[_METHOD], copied.get(_METHOD)
        copied.update(self._added)
        if before is not None:
            methods = before[SHORT_HEAD:].rstrip() + b"\\" + method[SHORT_HEAD:].rstrip()
            methods += b" " * (len(methods) % 2)
            if len(before) == SHORT_HEAD or (before[4:6] != method[4:6] and not self._implicit):
                raise UnusualHeader
            copied[_METHOD] = with_value(before, methods, implicit=self._implicit)

    def meta_group(self, instance: bytes) -> bytes:
        """Given the padded new SOPInstanceUID, return preamble and meta group."""
        before, after = self._meta
        rest = before + struct.pack("<HH2sH", 2, 3, b"UI", len(instance)) + instance + after
        head = struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(rest))
        return bytes(META_START - 4) + b"DICM" + head + rest

    def _deidentified(self, tag: int | None = None, vr: bytes = b"") -> dict[int, bytes]:
        """Return each element that the library makes of a data set with one element, encoded."""
        from pydicom.dataset import Dataset  # noqa: PLC0415 - as in read_dataset
        from pydicom.filebase import DicomBytesIO  # noqa: PLC0415 - as above
        from pydicom.filewriter import write_data_element  # noqa: PLC0415 - as above

        dataset = Dataset()
        dataset.SOPClassUID = self._sop_class
        if tag is not None:
            dataset.add_new(tag, vr.decode(), None)
        self._library.deidentify_dataset(dataset)
        encoded = {}
        for element in dataset:
            target = DicomBytesIO()
            target.is_little_endian, target.is_implicit_VR = True, self._implicit
            write_data_element(target, element)
            encoded[int(element.tag)] = target.getvalue()
        return encoded

    def _split_meta(self, syntax: str) -> tuple[bytes, bytes]:
        """Return the elements of the meta group before and behind that of the instance."""
        from pydicom.dataset import Dataset, FileMetaDataset  # noqa: PLC0415 - as above
        from pydicom.uid import UID  # noqa: PLC0415 - as above

        dataset, buffer = Dataset(), io.BytesIO()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        dataset.SOPClassUID, dataset.SOPInstanceUID = self._sop_class, "0"
        dataset.save_as(buffer, enforce_file_format=True)
        elements = EncodedElements(buffer.getvalue(), implicit=False)
        _, _, length, first = elements.read(META_START)
        end = first + struct.unpack_from("<L", elements.data, length)[0]
        at = first
        while elements.read(at)[0] != 0x00020003:
            at = elements.read(at)[3]
        return elements.data[first:at], elements.data[elements.read(at)[3] : end]
