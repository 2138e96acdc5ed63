"""The errors of everything that can't be cleaned."""


class CantScrub(Exception):
    """The file can't be cleaned; the message is a clause that says why, without any name.

    `form` is how the format is called in a route's `unscrubbed`, "" if the file is unusual.
    """

    def __init__(self, problem: str, form: str = "") -> None:
        super().__init__(problem)
        self.form = form


class HoldsTooMuch(CantScrub):
    """The file is damaged or made to fill memory: more is in it than its header says."""

    def __init__(self) -> None:
        super().__init__("its compressed data holds more than its pixels")
