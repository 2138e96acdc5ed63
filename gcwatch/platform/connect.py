"""Connects to the platform with the address, certificates, proxy and token of the settings."""

from gcwatch import config, log
from gcwatch.config import Settings
from gcwatch.core.errors import ConfigError, TokenRefused
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.http import Http
from gcwatch.platform.throttle import Throttle
from gcwatch.platform.traffic import Traffic


def connect(
    settings: Settings,
    token: str | None = None,
    traffic: Traffic | None = None,
    throttle: Throttle | None = None,
) -> GrandChallenge:
    """Given settings, return the platform; without *token*, it is read again for every call.

    Requests are counted in *traffic*, and *throttle* slows uploads.
    """
    log.hide_secret(token or "")
    ca_bundle = settings.platform.ca_bundle
    http = Http(
        settings.platform.url,
        lambda: token or _read_token(settings),
        ca_bundle=str(ca_bundle) if ca_bundle else None,
        proxy=settings.platform.proxy,
        traffic=traffic,
        throttle=throttle,
    )
    return GrandChallenge(http)


def _read_token(settings: Settings) -> str:
    """Read the token; raise TokenRefused if that fails, so that all work waits for a new one."""
    try:
        token = config.read_token(settings)
    except ConfigError as error:
        problem = error.problems[0]
        raise TokenRefused(problem.message, problem.hint) from error
    log.hide_secret(token)
    return token
