"""A file of certificates that can't be used is a mistake of the config, told with its remedy."""

from dataclasses import replace

import pytest
from support.builders import Site

import gcwatch
from gcwatch.commands.check import check_platform
from gcwatch.core.errors import ConfigError

MISTAKES = [
    (None, "does not exist", "Correct the path"),
    ("hello", "holds no certificate", "PEM"),
    ("", "holds no certificate", "PEM"),
]


def with_bundle(site, content):
    bundle = site.folder / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    text = site.file.read_text()
    site.file.write_text(text.replace("[platform]", f'[platform]\nca_bundle = "{bundle}"'))


@pytest.mark.parametrize(("content", "problem", "remedy"), MISTAKES)
def test_a_daemon_does_not_start_without_its_certificates(
    sandbox, tmp_path, content, problem, remedy
):
    """Every call would fail, and nobody would look at the config."""
    site = Site(tmp_path, sandbox)
    with_bundle(site, content)
    with pytest.raises(ConfigError) as error:
        site.run_once()
    [told] = error.value.problems
    assert told.path == "platform.ca_bundle"
    assert problem in told.message
    assert remedy in told.hint


@pytest.mark.parametrize(("content", "problem", "remedy"), MISTAKES)
def test_check_tells_what_is_wrong_with_certificates(sandbox, tmp_path, content, problem, remedy):
    """The same words as at the start."""
    site = Site(tmp_path, sandbox)
    with_bundle(site, content)
    [found] = check_platform(gcwatch.config.load(site.file))
    assert (found.what, found.cause) == ("ca_bundle", "config")
    assert problem in found.detail
    assert remedy in found.hint


@pytest.mark.parametrize("path", ["/", "/api/", "/api/v2/"])
def test_check_gives_the_right_address_of_the_api(sandbox, tmp_path, path):
    """A forgotten /api/v1/ is the likeliest mistake in a URL."""
    site = Site(tmp_path, sandbox)
    settings = gcwatch.config.load(site.file)
    wrong = settings.platform.model_copy(update={"url": sandbox.url.replace("/api/v1/", path)})
    [found] = check_platform(replace(settings, platform=wrong))
    assert f'url = "{sandbox.url}"' in found.hint
