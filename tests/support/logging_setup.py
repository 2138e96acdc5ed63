"""What `log.configure` is told in tests."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Wanted:
    """The settings of the log."""

    folder_names: bool = False
    level: str = "info"
    file: Path | None = None
