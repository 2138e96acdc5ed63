"""What `gcwatch check` finds: one thing that is fine, or that has to be corrected."""

from dataclasses import dataclass
from typing import Literal

from gcwatch.core.errors import ConfigError

Cause = Literal["config", "token", "platform"]
"""What has to be corrected if something is wrong."""


@dataclass(frozen=True)
class Finding:
    """One thing that was checked: fine, or wrong with a `cause`; `hint` says what to do."""

    where: str
    what: str
    detail: str
    cause: Cause | None = None
    hint: str = ""

    @property
    def is_fine(self) -> bool:
        """Whether nothing has to be done about it."""
        return self.cause is None


def config_findings(error: ConfigError) -> list[Finding]:
    """Given the error of a config file, return its problems as findings."""
    return [
        Finding(
            f"{error.file}:{problem.line}" if problem.line else error.file,
            problem.path or "file",
            problem.message,
            "config",
            problem.hint,
        )
        for problem in error.problems
    ]
