"""The commands of docs/maintenance.md and the lines of docs/shares.md, as IT uses them."""

import re
import shutil
import subprocess

import pytest
from support.builders import mha
from support.checkout import ROOT
from support.service_machine import needs_root, on_a_machine

MAINTENANCE, SHARES = ROOT / "docs" / "maintenance.md", ROOT / "docs" / "shares.md"
CHOICES = "--algorithm copy-image --name lobes --settle 1s --poll 50ms"
SYSTEMCTL = """
mkdir -m 755 backups && mount --bind backups /var/backups
daemon=
trap 'test -z "$daemon" || kill $daemon 2>> stopped.log' EXIT
systemctl() {
    case "$1" in
    stop | disable) kill $daemon 2> stopped.log || true; wait $daemon || true; daemon= ;;
    start | enable)
        CREDENTIALS_DIRECTORY=/opt/credentials setpriv --reuid=gcwatch --regid=gcwatch \\
            --clear-groups ./gcwatch run --config /etc/gcwatch/gcwatch.toml > run.out 2>> run.log &
        daemon=$! ;;
    *) exit 98 ;;
    esac
}
there() { until test -e "$1"; do kill -0 $daemon; sleep 0.1; done; }
drop() {
    mkdir drop && cp "$1.mha" drop/image.mha && chown -R gcwatch: drop
    mv drop /srv/gcwatch/lobes/in/$1
}
"""
"""What stands for systemd: it starts the daemon as the service's user, and stops it."""


def typed(page, heading):
    """The lines that a section tells root to type, in order."""
    section = re.split(rf"^## {heading}$", page.read_text(), flags=re.MULTILINE)[1]
    section = re.split(r"^## ", section, flags=re.MULTILINE)[0]
    return re.findall(r"^# (.*)$", section, re.MULTILINE)


@needs_root
@pytest.mark.prove
@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="not installed: sqlite3")
def test_after_a_restore_and_on_a_new_computer_nothing_is_sent_again(tmp_path, sandbox):
    """The page's lines: a backup beside the daemon, a lost disk, a restore, another computer."""
    for number, name in enumerate(("p1", "p2", "p3"), 1):
        (tmp_path / f"{name}.mha").write_bytes(mha(number, 5))
    old, new = typed(MAINTENANCE, "A new computer")[:2], typed(MAINTENANCE, "A new computer")[2:]
    script = [
        SYSTEMCTL,
        "out=/srv/gcwatch/lobes/out",
        f"./gcwatch init --config /etc/gcwatch/gcwatch.toml {CHOICES} --url $URL > init.log 2>&1",
        "systemctl start gcwatch",
        "drop p1; there $out/p1/gcwatch.json",
        *typed(MAINTENANCE, "Backup"),
        "drop p2; there $out/p2/gcwatch.json",
        "kill -9 $daemon; rm -r /var/lib/gcwatch/*",
        *typed(MAINTENANCE, "Restore"),
        "until grep -q case.adopted run.log; do kill -0 $daemon; sleep 0.1; done",
        *old,
        "mv /var/lib/gcwatch gone; rm -r /etc/gcwatch; hostname another",
        *new,
        "drop p3; there $out/p3/gcwatch.json",
        "systemctl stop gcwatch",
        "stat -c '%U %a %n' /var/backups/gcwatch /var/backups/gcwatch/journal.sqlite",
        "ls $out",
    ]

    said = on_a_machine(tmp_path, sandbox, "\n".join(script)).split()

    assert said == [
        *("gcwatch", "700", "/var/backups/gcwatch"),
        *("gcwatch", "600", "/var/backups/gcwatch/journal.sqlite"),
        *("p1", "p2", "p3"),
    ]
    assert len(sandbox.state()["jobs"]) == 3


def test_the_upgrade_makes_the_backup_of_the_page():
    """The first line of both sections is one command."""
    assert typed(MAINTENANCE, "Upgrade")[0] in typed(MAINTENANCE, "Backup")


@pytest.mark.skipif(shutil.which("findmnt") is None, reason="not installed: findmnt")
@pytest.mark.parametrize("kind", ["cifs", "nfs4"])
def test_lines_for_fstab_are_valid(tmp_path, kind):
    """The mount tools of Debian read each field of them."""
    [line] = re.findall(rf"^\S+  \S+  {kind}  .*$", SHARES.read_text(), re.MULTILINE)
    table = tmp_path / "fstab"
    table.write_text(f"{line}\n")

    done = subprocess.run(
        ["findmnt", "--verify", "--verbose", "--tab-file", table],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "0 parse errors" in done.stdout + done.stderr
    for option in ("nosuid", "nodev", "noexec", "nofail", "_netdev"):
        assert option in line


@pytest.mark.skipif(shutil.which("testparm") is None, reason="not installed: testparm (samba)")
def test_the_share_for_samba_is_valid(tmp_path):
    """Samba's own checker knows each line."""
    [section] = re.findall(r"(?ms)^```text\n(\[gcwatch\]\n.*?)^```$", SHARES.read_text())
    config = tmp_path / "smb.conf"
    config.write_text(f"[global]\nlog file = {tmp_path}/log\n{section}")

    done = subprocess.run(
        ["testparm", "--suppress-prompt", config], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0
    assert "Unknown parameter" not in done.stderr
    assert "force group = gcwatch" in done.stdout
