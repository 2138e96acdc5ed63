"""What platform.http promises: the token stays home, nothing is repeated that must not be."""

import contextlib
import json
import os
import socket
import ssl
import threading
from contextlib import closing

import pytest
import trustme
from support.sandbox_user import SandboxUser

from gcwatch.core.case import LONGEST_WAIT_SECONDS as DAY_SECONDS
from gcwatch.core.errors import NotYet, Refused, TokenRefused, TryAgain, Unreachable
from gcwatch.core.reasons import explain
from gcwatch.platform.certificates import Certificates
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.http import Http
from gcwatch.platform.replies import _collect_messages
from gcwatch.sandbox import Sandbox


@pytest.fixture
def http(sandbox):
    with closing(Http(sandbox.url, lambda: sandbox.token)) as made:
        yield made


@pytest.fixture
def alice(sandbox):
    with SandboxUser(sandbox) as user:
        yield user


def count(sandbox, method, path="", host="api"):
    return sum(
        call["method"] == method and path in call["path"] and call["host"] == host
        for call in sandbox.calls()
    )


def make_upload(http, home=""):
    return http.call("POST", (home or http.home) + "uploads/", {"filename": "x.mha"})


# --- the token -----------------------------------------------------------------------------------


def test_unknown_token_is_refused(sandbox):
    """A 401 is the token's trouble, and says the platform's words."""
    with (
        closing(Http(sandbox.url, lambda: "0" * 64)) as http,
        pytest.raises(TokenRefused, match="Invalid token"),
    ):
        http.call("GET", sandbox.url + "uploads/")


@pytest.mark.parametrize("found", ["upload", "algorithm"])
def test_lost_header_is_found_out_before_absence_is_believed(http, found):
    """To an anonymous caller everything seems not to exist; that is no verdict on a case."""
    platform = GrandChallenge(http)
    pk = platform.create_upload("x.mha").pk
    http._auth._home = ("https", "elsewhere.invalid")  # the header gets lost on the way
    with pytest.raises(TokenRefused):
        platform.upload(pk) if found == "upload" else platform.algorithm("no-such-algorithm")


def test_absence_is_believed_of_a_platform_that_knows_us(http):
    """With the header in place a 404 is a 404, and an empty list is empty."""
    platform = GrandChallenge(http)
    with pytest.raises(Refused) as refused:
        platform.upload("c0ffee00-0000-4000-8000-000000000000")
    assert refused.value.status == 404
    assert platform.algorithm("no-such-algorithm") is None


def test_token_goes_to_its_own_origin_only(tmp_path, sandbox, http):
    """Another host, or another port of the same host, never sees the token."""
    with Sandbox(tmp_path / "other") as other:
        with pytest.raises(TokenRefused):
            make_upload(http, other.url)
        assert [call["authorization"] for call in other.calls()] == [False]
    make_upload(http)
    assert [call["authorization"] for call in sandbox.calls()] == [True]


def test_token_is_read_anew_for_every_call(sandbox):
    """A new token in the file serves without a restart."""
    tokens = iter(["0" * 64, sandbox.token])
    with closing(Http(sandbox.url, lambda: next(tokens))) as http:
        with pytest.raises(TokenRefused):
            make_upload(http)
        assert make_upload(http)["status"] == "Initialized"


# --- what the environment says -------------------------------------------------------------------


def test_netrc_and_proxy_variables_are_ignored(tmp_path, monkeypatch, http):
    """A forgotten .netrc entry does not replace the token, nor a variable choose the way."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login mallory password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    assert GrandChallenge(http).me() == "alice"


def test_unknown_authority_is_not_trusted(tmp_path):
    """Over TLS the certificate has to be one that the config trusts."""
    with Sandbox(tmp_path / "tls", tls=True) as sandbox:
        doubting = Http(sandbox.url, lambda: sandbox.token)
        with closing(doubting) as http, pytest.raises(Unreachable) as untrusted:
            http.call("GET", sandbox.url + "uploads/")
        assert untrusted.value.reason.code == "untrusted_certificate"
        assert "certificate" in untrusted.value.reason.facts["problem"]
        assert "ca_bundle" in untrusted.value.hint
        assert sandbox.calls() == []
        trusting = Http(sandbox.url, lambda: sandbox.token, ca_bundle=str(sandbox.ca))
        with closing(trusting) as http:
            assert GrandChallenge(http).me() == "alice"


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_that_holds_no_certificates_is_told(tmp_path, content):
    """It is missing or garbled: a mistake of the config, not a fault of gcwatch."""
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    with Sandbox(tmp_path / "tls", tls=True) as sandbox:
        made = Http(sandbox.url, lambda: sandbox.token, ca_bundle=str(bundle))
        with closing(made) as http, pytest.raises(Unreachable) as untrusted:
            http.call("GET", sandbox.url + "uploads/")
    assert untrusted.value.reason.code == "untrusted_certificate"


def test_certificates_are_loaded_again_when_their_file_changes(tmp_path):
    """Before that, all connections have the same; a new authority needs no restart."""
    bundle = tmp_path / "ca.pem"
    with (
        Sandbox(tmp_path / "old", tls=True) as old,
        Sandbox(tmp_path / "new", tls=True) as new,
    ):
        bundle.write_bytes(old.ca.read_bytes())
        certificates = Certificates(str(bundle))
        assert certificates.context() is certificates.context()
        with closing(Http(new.url, lambda: new.token, ca_bundle=str(bundle))) as http:
            with pytest.raises(Unreachable):
                http.call("GET", new.url + "uploads/")
            bundle.write_bytes(new.ca.read_bytes())
            os.utime(bundle, (1, 1))
            assert GrandChallenge(http).me() == "alice"


def test_a_certificate_of_another_host_is_not_trusted(tmp_path):
    """Its authority may be known; the name counts, too."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("elsewhere.test").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}/api/v1/"
        threading.Thread(target=_shake_hands, args=(server, context), daemon=True).start()
        made = Http(url, lambda: "0" * 64, ca_bundle=str(tmp_path / "ca.pem"))
        with closing(made) as http, pytest.raises(Unreachable) as untrusted:
            http.call("GET", url + "uploads/")
    assert "mismatch" in untrusted.value.reason.facts["problem"]


def _shake_hands(server, context):
    """Be the server of each connection until the listening socket is closed."""
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection, contextlib.suppress(OSError):
            context.wrap_socket(connection, server_side=True).close()


# --- no sensible answer --------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_html_error_leaves_doubt_only_after_a_change_was_asked(sandbox, http, status):
    """After a failed GET nothing can have happened; after a POST something may have."""
    sandbox.fault("status", status=status, times=None)
    with pytest.raises(Unreachable) as read:
        http.call("GET", sandbox.url + "uploads/")
    with pytest.raises(Unreachable) as written:
        make_upload(http)
    assert (read.value.doubt, written.value.doubt) == (False, True)


def test_html_where_json_belongs_is_no_answer(sandbox, http):
    """A maintenance page with status 200 is not believed."""
    sandbox.fault("status", status=200, times=None)
    with pytest.raises(Unreachable):
        http.call("GET", sandbox.url + "uploads/")


def test_refused_connection_leaves_no_doubt(sandbox):
    """Where nobody listens nothing was sent."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))  # nobody else gets this port meanwhile
        home = f"http://127.0.0.1:{mute.getsockname()[1]}/api/v1/"
        with (
            closing(Http(home, lambda: sandbox.token)) as http,
            pytest.raises(Unreachable) as error,
        ):
            make_upload(http)
    assert not error.value.doubt


@pytest.mark.parametrize(("action", "made"), [("cut_before", 0), ("cut_after", 1)])
def test_cut_post_is_in_doubt_and_never_repeated(sandbox, http, action, made):
    """The client can't tell a lost call from a lost reply, so it must not try again."""
    sandbox.fault(action, method="POST")
    with pytest.raises(Unreachable) as error:
        make_upload(http)
    assert error.value.doubt
    assert count(sandbox, "POST") == 1
    assert sandbox.state()["counts"]["uploads"] == made


def test_cut_patch_is_never_repeated(sandbox, http):
    """Completing twice is an error on the platform, so a PATCH goes out once."""
    platform = GrandChallenge(http)
    upload = platform.create_upload("x.mha")
    sandbox.fault("cut_after", method="PATCH")
    with pytest.raises(Unreachable):
        platform.presign(upload.pk, upload.s3_upload_id, [1])
    assert count(sandbox, "PATCH") == 1


def test_cut_get_is_repeated(sandbox, http):
    """Reading again costs nothing."""
    sandbox.fault("cut_before", method="GET", times=2)
    assert GrandChallenge(http).me() == "alice"
    assert count(sandbox, "GET") == 3


def test_post_to_a_failing_platform_goes_out_once(sandbox, http):
    """A 502 of a proxy does not mean that the platform did nothing."""
    sandbox.fault("status", method="POST", status=502, times=None)
    with pytest.raises(Unreachable):
        make_upload(http)
    assert count(sandbox, "POST") == 1


# --- other answers -------------------------------------------------------------------------------


def test_redirect_is_not_followed(sandbox, http):
    """A 301 would turn a POST into a GET, whose list reads like success."""
    with pytest.raises(Unreachable):
        http.call("POST", sandbox.url + "uploads", {"filename": "x.mha"})
    assert [(call["method"], call["status"]) for call in sandbox.calls()] == [("POST", 301)]


@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        ("7", 7.0),
        ("soon", 60.0),
        (None, 60.0),
        ("0", 1.0),
        ("-5", 60.0),
        ("\u00b2", 60.0),
        ("864000", DAY_SECONDS),
        ("1795400000", DAY_SECONDS),
        ("9" * 5000, DAY_SECONDS),
    ],
)
def test_throttle_is_waited_out_as_asked(sandbox, http, asked, wait):
    """A 429 is no failure and no repetition: the caller learns for how long to wait."""
    headers = {"Retry-After": asked} if asked else {}
    sandbox.fault("status", status=429, body='{"detail": "slow"}', headers=headers, times=None)
    with pytest.raises(NotYet) as error:
        http.call("GET", sandbox.url + "uploads/")
    assert error.value.wait == wait
    assert len(sandbox.calls()) == 1


def test_a_long_wait_is_cut_and_told(sandbox, http):
    """The platform may ask for 10 days; gcwatch looks again after one."""
    sandbox.fault("status", status=429, headers={"Retry-After": "864000"})
    with pytest.raises(NotYet) as error:
        http.call("GET", sandbox.url + "uploads/")
    told = explain(error.value.reason).detail
    assert told == "The platform asked for a pause of 10 days; next try in 24 h."


@pytest.mark.parametrize(
    "body",
    [
        "null",
        "not JSON",
        "[" * 100_000,
        '"\\ud800"',
        '{"count": ' + "9" * 5000 + "}",
    ],
)
def test_what_is_no_json_is_trouble_of_the_platform(sandbox, http, body):
    """A reader of JSON that can be broken by its input would be a fault of gcwatch."""
    sandbox.fault("status", status=200, body=body)
    with pytest.raises(Unreachable) as error:
        http.call("GET", sandbox.url + "uploads/")
    assert error.value.reason.code == "wrong_answer"


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        ({"detail": "No."}, ["No."]),
        ({"filename": ["Too long.", "Odd."]}, ["Too long.", "Odd."]),
        ({"non_field_errors": ["Too many."]}, ["Too many."]),
        ({"values": [{}, {"user_uploads": ["Gone."]}]}, ["Gone."]),
        ({"values": [{"__all__": ["Not the schema."]}]}, ["Not the schema."]),
        ({"part_numbers": {"0": ["Too big."]}}, ["Too big."]),
        (["Bare."], ["Bare."]),
        ({"count": 3, "next": None}, []),
    ],
)
def test_every_error_body_becomes_sentences(sandbox, http, body, messages):
    """All the shapes of platform 1.9 end as what the platform said."""
    sandbox.fault("status", status=400, body=json.dumps(body))
    with pytest.raises(Refused) as error:
        make_upload(http)
    assert list(error.value.messages) == messages == list(_collect_messages(body))


def test_echoed_request_is_scrubbed(sandbox, http):
    """A body that repeats the request gives away neither the token nor a signed query."""
    echo = f"Bearer {sandbox.token} to https://s3/x?partNumber=1&X-Amz-Signature=5e: no"
    sandbox.fault("status", status=400, body=json.dumps({"detail": echo}))
    with pytest.raises(Refused) as error:
        make_upload(http)
    assert error.value.messages == ("Bearer [hidden] to https://s3/x?[hidden] no",)


def test_html_refusal_is_a_refusal(sandbox, http):
    """A 413 comes from a proxy, in HTML: still a no."""
    sandbox.fault("status", status=413)
    with pytest.raises(Refused) as error:
        make_upload(http)
    assert (error.value.status, error.value.messages) == (413, ())


def test_errors_hold_no_query_and_no_token(sandbox, http, alice):
    """What is raised about a storage call can be logged."""
    upload = alice.begin()
    url = alice.url_of(upload)
    sandbox.fault("cut_before", host="storage", times=None)
    with pytest.raises(Unreachable) as error:
        http.put(url, b"x")
    said = f"{error.value} {error.value.reason}"
    assert "X-Amz" not in said
    assert sandbox.token not in said


@pytest.mark.parametrize(
    "move",
    [
        lambda http, url: http.put(url, b"a patient"),
        lambda http, url: http.stream(url, 0).__enter__(),
    ],
    ids=["up", "down"],
)
def test_no_image_travels_in_the_clear(move):
    """A storage address without TLS is refused before a connection is made."""
    with closing(Http("https://platform.example/api/v1/", lambda: "secret")) as http:
        with pytest.raises(TryAgain) as refusal:
            move(http, "http://storage.example/uploads/1")

        assert refusal.value.reason.code == "insecure"


def test_a_signed_request_goes_out_as_it_is_and_without_the_token(http):
    """Its own headers are its right; ours would give the token to a stranger."""
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        asker = threading.Thread(target=_answer_once, args=(server, heard))
        asker.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/instance?part=1"
        headers = {"Authorization": "AWS4-HMAC-SHA256 mine", "X-Amz-Date": "now"}
        with http.signed("POST", url, headers, "a body") as reply:
            assert reply.read(2) == b"ok"
        asker.join()
    [request] = heard
    assert request.startswith("POST /instance?part=1 HTTP/1.1")
    assert "Authorization: AWS4-HMAC-SHA256 mine" in request
    assert request.endswith("a body")
    assert "Bearer" not in request


def test_a_signed_request_in_the_clear_is_refused(http):
    """Only https, or this machine."""
    with pytest.raises(TryAgain), http.signed("GET", "http://example.org/x", {}, None):
        pass


def _answer_once(server, heard):
    connection, _ = server.accept()
    with connection:
        text = ""
        while not text.endswith("a body"):
            text += connection.recv(65536).decode()
        heard.append(text)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
