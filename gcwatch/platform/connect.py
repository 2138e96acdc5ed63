"""Connects to the platform with the address, certificates, proxy and token of the settings."""

import hashlib
import hmac

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


def token_mark(settings: Settings, token: str | None, key: bytes) -> str:
    """Given a secret key, return what tells the token and its way to the platform apart.

    Who has not got the key can't tell whether a token is the one. No token is one, too.
    """
    try:
        found = token or _read_token(settings)
    except TokenRefused:
        found = ""
    way = "\n".join((settings.platform.url, settings.platform.proxy or "", found))
    return hmac.new(key, way.encode(), hashlib.sha256).hexdigest()


def _read_token(settings: Settings) -> str:
    """Read the token; raise TokenRefused if that fails, so that all work waits for a new one."""
    try:
        token = config.read_token(settings)
    except ConfigError as error:
        problem = error.problems[0]
        raise TokenRefused(problem.message, problem.hint) from error
    log.hide_secret(token)
    return token
