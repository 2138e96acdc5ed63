"""Whatever the platform answers to `gcwatch send`: words, an exit code and an end.

And whatever it answered, the same command afterwards delivers one job.
"""

import pytest
from support.builders import FAST, check_results, mha
from support.hostile import all_mutations, hostile

from gcwatch.cli import main
from gcwatch.commands.send import runs
from gcwatch.daemon import idle
from gcwatch.platform import http as http_module

CODES = {0, 3, 69, 75, 77, 78}
"""Delivered, failed, away, waits, token refused, wrong config: what docs and help say."""

CALLS = {
    "any call": ("", ""),
    "the algorithm": ("GET", "/algorithms/"),
    "an upload": ("POST", "/uploads/"),
    "the addresses": ("PATCH", "presigned"),
    "a part": ("PUT", ""),
    "the end of an upload": ("PATCH", "complete"),
    "the session": ("", "/upload-sessions/"),
    "the job": ("POST", "/jobs/"),
    "the poll": ("GET", "/jobs/"),
    "the image": ("GET", "/cases/images/"),
}
MUTATIONS = all_mutations()
QUICK = {
    ("any call", "body: deep"),
    ("an upload", "body: maintenance"),
    ("the job", "values: texts are paths"),
    ("the poll", "reply: busy for a year"),
}
ROWS = [
    pytest.param(call, mutation, marks=() if (call, mutation) in QUICK else pytest.mark.prove)
    for call in CALLS
    for mutation in MUTATIONS
]


@pytest.fixture
def send(capsys, monkeypatch, tmp_path, sandbox):
    """Run the command at a fast pace; its exit code, what it printed, what it said."""
    monkeypatch.setattr(runs, "Pace", lambda: FAST)
    monkeypatch.setattr(idle, "BUSY_SECONDS", 0.5)
    monkeypatch.setattr(http_module, "_REPEAT_SECONDS", (0.0,))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.delenv("GCWATCH_CONFIG", raising=False)
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text(sandbox.token)
    (tmp_path / "p1").mkdir()
    (tmp_path / "p1" / "image.mha").write_bytes(mha())
    monkeypatch.chdir(tmp_path)
    target = ("--algorithm", "copy-image", "--output", "out", "--poll", "50ms")

    def run():
        with pytest.raises(SystemExit) as end:
            main(["send", "p1", *target, "--url", sandbox.url, "--token-file", "token"])
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


@pytest.mark.parametrize(("call", "mutation"), ROWS)
def test_a_wrong_answer_to_send_is_told_and_the_same_command_goes_on(
    send, sandbox, tmp_path, call, mutation
):
    """No traceback, no fault of gcwatch, no result that is not the platform's; then one job."""
    method, part = CALLS[call]

    def matches(it):
        return part in it.path and (not method or it.method == method)

    with hostile(sandbox, MUTATIONS[mutation], matches):
        code, out, err = send()
    assert code in CODES
    assert "fault in gcwatch" not in err
    assert "Traceback" not in err
    assert len(err) < 2000
    assert all(each.isprintable() or each == "\n" for each in err)
    result = tmp_path / "out" / "p1"
    assert result.exists() == (code == 0) == bool(out)
    if code == 0:
        check_results(sandbox, result)
    else:
        assert err
    failed = code == 3
    assert send()[0] == 0
    check_results(sandbox, result)
    assert failed or len(sandbox.state()["jobs"]) == 1
