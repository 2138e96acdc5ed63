"""The command of `on_delivered`: which ones are allowed, and what their placeholders become."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from gcwatch.config.values.types import value_error

PLACEHOLDERS: Final = ("folder", "key", "route")
_PLACEHOLDER: Final = re.compile(r"{([a-z_]+)}")


def check_command(
    value: tuple[str, ...], placeholders: Sequence[str] = PLACEHOLDERS
) -> tuple[str, ...]:
    """Return a command that can be run without a shell; raise PydanticCustomError otherwise."""
    example = ', "{folder}"' if placeholders else ""
    hint = f'write its program and arguments, such as ["/usr/local/bin/program"{example}]'
    if any(not each or "\0" in each for each in value):
        raise value_error("has an empty argument", hint)
    if value and "/" in value[0] and not value[0].startswith("/"):
        raise value_error("must begin with the full path of a program, or its plain name", hint)
    if value and _PLACEHOLDER.search(value[0]):
        raise value_error("must begin with a program, not with a placeholder", hint)
    found = {name for each in value for name in _PLACEHOLDER.findall(each)}
    unknown = found.difference(placeholders)
    if unknown:
        known = ", ".join(f"{{{each}}}" for each in placeholders) or "none"
        raise value_error(
            f"has an unknown placeholder: {{{min(unknown)}}}", f"these are known: {known}"
        )
    return value


def check_alert_command(value: tuple[str, ...]) -> tuple[str, ...]:
    """Return a command for alerts, which has no placeholders; raise as `check_command` does."""
    return check_command(value, ())


def fill_arguments(command: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Given a command and the value of each placeholder, return its arguments."""
    return [_PLACEHOLDER.sub(lambda found: values[found[1]], argument) for argument in command]
