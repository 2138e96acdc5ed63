"""The reference of the config file: a JSON Schema for editors, docs/configuration.md for people."""

import json
from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

from gcwatch.config.descriptions import descriptions
from gcwatch.config.model import ARRAYS, TABLES, Document
from gcwatch.config.service_tables import Table


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the file; editors use it to complete and check keys."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Document.model_json_schema(),
        "title": "gcwatch",
    }


_INTRODUCTION = """# Configuration

<!-- Generated from gcwatch/config/ by `make docs`. -->

One TOML file: `--config FILE`, `$GCWATCH_CONFIG`, `./gcwatch.toml` or `/etc/gcwatch/gcwatch.toml`.
[config/gcwatch.toml](../config/gcwatch.toml) is an example with comments. `gcwatch check` shows all
mistakes at once; `gcwatch schema` prints a JSON Schema for editors. Relative paths start at the
file's folder; `~` is your home. Durations are strings with units: `"250ms"`, `"30s"`, `"1h"`.
Inboxes must not overlap. An outbox must not lie inside an inbox, but it may be the inbox of another
route: then the routes form a chain. The state directory must lie in neither. The file needs at
least one [[route]] or one [[mirror]].
A running gcwatch uses a changed file after `systemctl reload gcwatch` or SIGHUP
([service.md](service.md#changing-the-config))."""


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
        default = (
            "required"
            if field.is_required()
            else _shown(None if field.default_factory else field.default)
        )
        meaning = " ".join(meanings.get(key, "").split())
        yield f"| `{key}` | {default} | {meaning} |"


def _shown(default: Any) -> str:
    return "" if default is None else f"`{json.dumps(default)}`"
