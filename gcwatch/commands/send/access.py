"""Where `gcwatch send` sends to: platform, token and state directory, given or from a config."""

from dataclasses import replace
from pathlib import Path
from typing import Final, TypedDict

from pydantic import ValidationError

from gcwatch import config
from gcwatch.commands.send import records
from gcwatch.config import Platform, Settings
from gcwatch.config.model import state_folder
from gcwatch.core.errors import ConfigError, Misused

_FILES: Final = ("token_file", "ca_bundle")
"""Arguments that name a file of [platform]."""


class Access(TypedDict, total=False):
    """The platform, the token, and the state directory, which remembers what was sent.

    What is not given comes from the config file, if there is one (see `gcwatch.open`), else from
    the usual places: the systemd credential gc-token, $GRAND_CHALLENGE_AUTHORIZATION, the state
    directory of the user. A config's token goes to that config's url only.
    """

    url: str
    token: str
    token_file: str | Path
    ca_bundle: str | Path
    config: str | Path
    state: str | Path


def access_settings(more: Access) -> Settings:
    """Return platform, limits and state: from arguments, else the config, else the defaults."""
    file = _config_file(more.get("config"))
    state = more.get("state")
    if file is None:
        base = Settings(file=Path("gcwatch send"), state=state_folder(None))
    else:
        base = config.load(file, needs_work=False)
    return replace(
        base,
        platform=_platform(base.platform, more),
        state=Path(state).expanduser().absolute() if state is not None else base.state,
    )


def _config_file(named: str | Path | None) -> Path | None:
    """Return the config file: the named one, or one in the usual places."""
    try:
        return config.find(Path(named) if named is not None else None)
    except ConfigError:
        return None


def _platform(base: Platform, more: Access) -> Platform:
    url = more.get("url")
    files = {key: more.get(key) for key in _FILES if more.get(key) is not None}
    try:
        if url is not None and Platform(url=url).url != base.url:
            base = Platform(url=url)  # a config's token and proxy are for its own platform
        if files:
            base = Platform(**{**base.model_dump(), **files})
    except ValidationError as error:
        raise records.usage_error(error, "platform") from error
    if base.ca_bundle is not None and not base.ca_bundle.is_file():
        raise Misused(f"{base.ca_bundle} is not a file.", "Name a file with certificates.")
    return base
