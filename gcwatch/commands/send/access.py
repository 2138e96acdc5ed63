"""Where `gcwatch send` sends to: platform, token and state directory, given or from a config."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from gcwatch import config
from gcwatch.commands.send import records
from gcwatch.commands.send.options import Access
from gcwatch.config import Platform, Settings
from gcwatch.config.model import state_folder
from gcwatch.core.errors import ConfigError, Misused

_FILES: Final = ("token_file", "ca_bundle")
"""Arguments that name a file of [platform]."""


def access_settings(access: Access) -> Settings:
    """Return platform, limits and state: from arguments, else the config, else the defaults."""
    file = _config_file(access.config)
    if file is None:
        base = Settings(file=Path("gcwatch send"), state=state_folder(None))
    else:
        base = config.load(file, needs_work=False)
    return replace(
        base,
        platform=_platform(base.platform, access),
        state=Path(access.state).expanduser().absolute() if access.state else base.state,
    )


def _config_file(named: str | Path | None) -> Path | None:
    """Return the config file: the named one, or one in the usual places."""
    try:
        return config.find(Path(named) if named is not None else None)
    except ConfigError:
        return None


def _platform(base: Platform, access: Access) -> Platform:
    files = {key: file for key in _FILES if (file := getattr(access, key)) is not None}
    try:
        if access.url is not None and Platform(url=access.url).url != base.url:
            base = Platform(url=access.url)  # a config's token and proxy are for its own platform
        if files:
            base = Platform(**{**base.model_dump(), **files})
    except ValidationError as error:
        raise records.usage_error(error, "platform") from error
    if base.ca_bundle is not None and not base.ca_bundle.is_file():
        raise Misused(f"{base.ca_bundle} is not a file.", "Name a file with certificates.")
    return base
