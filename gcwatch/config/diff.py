"""What differs between two readings of the config file, and what needs a restart."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gcwatch.config.mirror_table import Mirror
from gcwatch.config.model import Settings
from gcwatch.config.route_table import Route
from gcwatch.core.errors import ConfigError, Problem

_OTHERS: Final = ("platform", "limits", "log", "metrics", "alerts")


@dataclass(frozen=True)
class Changes:
    """Names of the routes and mirrors that are new, different or gone, and of changed tables."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    tables: tuple[str, ...]


def find_changes(old: Settings, new: Settings, renamed: Mapping[str, str]) -> Changes:
    """Given settings before and after, and the routes' new names by old ones, compare both."""
    before = {
        (now := renamed.get(name, name)): each.model_copy(update={"name": now})
        for name, each in _named(old).items()
    }
    after = _named(new)
    return Changes(
        added=_sorted(after.keys() - before),
        changed=_sorted(name for name in after.keys() & before if after[name] != before[name]),
        removed=_sorted(before.keys() - after),
        tables=tuple(name for name in _OTHERS if getattr(old, name) != getattr(new, name)),
    )


def _named(settings: Settings) -> dict[str, Route | Mirror]:
    mirrors = {each.name: each for each in settings.mirrors}
    return {each.name: each for each in settings.routes} | mirrors


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def require_same_home(old: Settings, new: Settings) -> None:
    """Given settings before and after, refuse changes that would lose track of open cases.

    Raises:
        ConfigError: The state directory, the journal, the host's name or the platform has changed.
    """
    moved = {
        "state": old.state != new.state,
        "journal": old.journal != new.journal,
        "host": old.host != new.host,
        "platform.url": old.platform.url != new.platform.url,
    }
    hint = "Restart gcwatch, or undo this change."
    problems = [
        Problem(key, "can't change while gcwatch runs: it needs a restart", hint)
        for key, is_other in moved.items()
        if is_other
    ]
    if problems:
        raise ConfigError(str(new.file), problems)
