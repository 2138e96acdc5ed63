"""The commands. They use nothing but the public Python API; errors become prose in `explain`."""

from gcwatch.cli.app import main
from gcwatch.cli.errors import explain

__all__ = ["explain", "main"]
