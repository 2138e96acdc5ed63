"""The config file: reads and checks it, and returns `Settings` or all mistakes at once.

Nothing that uses the settings may come in here: no platform, no journal, no work on cases.
"""

from gcwatch.config.alert_urls import read_alert_urls
from gcwatch.config.certificates import expiry_of, require_certificates
from gcwatch.config.diff import Changes, find_changes, require_same_home
from gcwatch.config.load import find, load, parse
from gcwatch.config.mirror_table import Mirror
from gcwatch.config.model import Settings
from gcwatch.config.reference import reference, schema
from gcwatch.config.route_table import Route
from gcwatch.config.service_tables import Alerts, Limits, Log, Metrics, Platform
from gcwatch.config.token import read_token
from gcwatch.config.values.cron import Cron
from gcwatch.config.values.expected import Expected
from gcwatch.config.values.item_source import ItemSource
from gcwatch.config.values.journal_address import JournalAddress
from gcwatch.config.values.types import Column, Constant, Glob, JsonFile, Named, Source
from gcwatch.core.timing import Every

__all__ = [
    "Alerts",
    "Changes",
    "Column",
    "Constant",
    "Cron",
    "Every",
    "Expected",
    "Glob",
    "ItemSource",
    "JournalAddress",
    "JsonFile",
    "Limits",
    "Log",
    "Metrics",
    "Mirror",
    "Named",
    "Platform",
    "Route",
    "Settings",
    "Source",
    "expiry_of",
    "find",
    "find_changes",
    "load",
    "parse",
    "read_alert_urls",
    "read_token",
    "reference",
    "require_certificates",
    "require_same_home",
    "schema",
]
