"""A file of certificates that can't be used is a mistake of the config, told with its remedy."""

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from support.builders import Site

import gcwatch
from gcwatch.commands.platform_check import check_platform
from gcwatch.core.errors import ConfigError

PEM = b"-----BEGIN %s-----\nAAAA\n-----END %s-----\n"
MISTAKES = [
    (None, "does not exist", "remove ca_bundle"),
    (b"hello", "holds no certificate", "PEM"),
    (b"", "holds no certificate", "PEM"),
    (bytes(range(256)) * 20, "holds no certificate", "PEM"),
    (PEM % (b"CERTIFICATE", b"CERTIFICATE"), "holds no certificate", "PEM"),
    (PEM % (b"PRIVATE KEY", b"PRIVATE KEY"), "holds no certificate", "holds a private key"),
    (b" " * (17 << 20), "is too large", "remove ca_bundle"),
    (Path.mkdir, "is a folder", "remove ca_bundle"),
    (os.mkfifo, "is a pipe", "remove ca_bundle"),
    (lambda path: path.symlink_to("/dev/zero"), "a device", "remove ca_bundle"),
    (lambda path: path.symlink_to(path), "can't be read", "remove ca_bundle"),
]


def with_bundle(site, content):
    bundle = site.folder / "ca.pem"
    if callable(content):
        content(bundle)
    elif content is not None:
        bundle.write_bytes(content)
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


@pytest.mark.parametrize(("year", "is_told"), [(2020, True), (2100, False)])
def test_check_tells_that_certificates_have_expired(monkeypatch, sandbox, tmp_path, year, is_told):
    """The daemon starts all the same: perhaps it is the clock that is wrong."""
    monkeypatch.setattr(trustme, "DEFAULT_EXPIRY", datetime(year, 1, 1, tzinfo=UTC))
    site = Site(tmp_path, sandbox)
    with_bundle(site, trustme.CA().cert_pem.bytes())
    told = [each.detail for each in check_platform(gcwatch.config.load(site.file))]
    assert any("have expired" in each for each in told) == is_told
    site.run_once()
