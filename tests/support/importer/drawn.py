"""What Hypothesis draws: the files of a folder, and what they show."""

from dataclasses import dataclass

from hypothesis import strategies as st

from support.importer.judge import Picture


@dataclass(frozen=True)
class Case:
    """Files by name, and the picture that they show; None if they show none."""

    files: dict[str, bytes]
    truth: Picture | None

    def write(self, folder):
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


@st.composite
def cuts(draw, data):
    """Draw the data whole, cut, with a damaged piece, or with more bytes."""
    how = draw(st.sampled_from(["whole", "whole", "cut", "cut", "longer"]))
    if how == "cut":
        return data[: draw(st.integers(0, max(0, len(data) - 1)))]
    return data + bytes(draw(st.integers(1, 40))) if how == "longer" else data
