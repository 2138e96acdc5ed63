"""The addresses of alerts: from the config, or from a file that only its owner reads."""

from gcwatch.config.model import Settings
from gcwatch.config.named_files import NotUsableError
from gcwatch.config.secret_files import read_secret_file
from gcwatch.core.errors import ConfigError, Problem


def read_alert_urls(settings: Settings) -> list[str]:
    """Given settings, return the addresses to which alerts go; none if a command gets them.

    Raises:
        ConfigError: The file can't be read, others can read it, or no address is in it.
    """
    file = settings.alerts.urls_file
    if file is None:
        return [*settings.alerts.urls]
    try:
        lines = read_secret_file(file).splitlines()
    except NotUsableError as error:
        raise _urls_error(settings, f"{file} {error}", error.hint) from error
    found = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not found:
        raise _urls_error(settings, f"{file} holds no address", "Write one address a line.")
    return found


def _urls_error(settings: Settings, message: str, hint: str) -> ConfigError:
    return ConfigError(str(settings.file), [Problem("alerts.urls_file", message, hint)])
