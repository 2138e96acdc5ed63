"""Which gcwatch this is; pyproject.toml says it once."""

from importlib.metadata import version

VERSION = version("gcwatch")
