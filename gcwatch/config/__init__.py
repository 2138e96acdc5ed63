"""The config file: a TOML file becomes `Settings`, or every problem at once."""

from gcwatch.config.changes import Changes, changes, require_same_home
from gcwatch.config.manual import reference, schema
from gcwatch.config.reading import find, load, parse
from gcwatch.config.tables import Limits, Log, Mirror, Platform, Route, Settings
from gcwatch.config.token import read_token
from gcwatch.config.values import Constant, Cron, Glob, JsonFile, Named, Source
from gcwatch.steps import Every

__all__ = [
    "Changes",
    "Constant",
    "Cron",
    "Every",
    "Glob",
    "JsonFile",
    "Limits",
    "Log",
    "Mirror",
    "Named",
    "Platform",
    "Route",
    "Settings",
    "Source",
    "changes",
    "find",
    "load",
    "parse",
    "read_token",
    "reference",
    "require_same_home",
    "schema",
]
