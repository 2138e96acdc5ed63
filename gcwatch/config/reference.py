"""The config file explained: the JSON Schema for editors, docs/configuration.md for readers."""

import json
from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

from gcwatch.config.descriptions import descriptions
from gcwatch.config.model import ARRAYS, TABLES, Document, Table


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the file, with which editors complete and check it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Document.model_json_schema(),
        "title": "gcwatch",
    }


_INTRODUCTION = """# Configuration

<!-- Generated from gcwatch/config/tables.py by `make docs`. -->

One TOML file: `--config FILE`, `$GCWATCH_CONFIG`, `./gcwatch.toml` or `/etc/gcwatch/gcwatch.toml`.
[config/gcwatch.toml](../config/gcwatch.toml) is a commented example; `gcwatch check` tells every
mistake at once; `gcwatch schema` prints a JSON Schema for editors. Relative paths are relative to
the file's folder, `~` is your home. Durations are strings with units: `"250ms"`, `"30s"`, `"1h"`.
Folders must not get in each other's way: inboxes do not overlap, an outbox is not inside an inbox
(but may be another route's inbox, so that routes chain), the state is in neither. There is at least
one [[route]] or one [[mirror]].
A gcwatch that is running follows a changed file once it is told to: by `systemctl reload gcwatch`,
or by SIGHUP ([service.md](service.md#changing-the-config))."""


def reference() -> str:
    """Return docs/configuration.md."""
    own = [key for key in Document.model_fields if key not in TABLES]
    parts = [_INTRODUCTION, *_section("At the top", "", Document, own)]
    for key, table in TABLES.items():
        title = f"`[[{key}]]`" if key in ARRAYS else f"`[{key}]`"
        parts += _section(title, cleandoc(table.__doc__ or ""), table, list(table.model_fields))
    return "\n".join(parts) + "\n"


def _section(title: str, about: str, table: type[Table], keys: list[str]) -> Iterator[str]:
    yield f"\n## {title}\n"
    if about:
        yield f"{about}\n"
    yield "| key | default | meaning |\n|---|---|---|"
    meanings = descriptions(table)
    for key in keys:
        field = table.model_fields[key]
        default = "required" if field.is_required() else _shown(field.default)
        meaning = " ".join(meanings.get(key, "").split())
        yield f"| `{key}` | {default} | {meaning} |"


def _shown(default: Any) -> str:
    return "" if default is None else f"`{json.dumps(default)}`"
