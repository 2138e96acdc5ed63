"""The sentences of one reason code."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReasonEntry:
    """The sentences of one code, as `text.fill_sentence` fills them with facts and names.

    `plain` (what is wrong) and `advice` (what to do) are for whoever dropped the folder, without
    jargon and commands. `detail` and `hint` say the same to whoever runs gcwatch; without a hint
    the advice is for both. No sentence advises to switch a protection off. `patience` is the number
    of tries in a row after which the case fails; None: gcwatch tries for ever. `needs_person`:
    it takes a person, or hours, until the reason is gone, so `gcwatch once` does not wait for that.
    `is_normal`: the config wants it so, and nobody has to do anything.
    `is_platform_away`: the platform does not answer as it should (exit code 69).
    """

    plain: str
    detail: str
    advice: str = ""
    hint: str = ""
    patience: int | None = None
    needs_person: bool = False
    is_platform_away: bool = False
    is_normal: bool = False
