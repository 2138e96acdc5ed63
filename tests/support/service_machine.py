"""The folders of a machine with the service's user, for commands that root types there."""

import os
import shutil
import subprocess
import sys

import pytest

from support.checkout import ROOT

# A machine with the service's user, whose /etc, /srv and /var/lib are ours for the time being. Its
# root's home can be passed, as there may be the Python that runs this.
MACHINE = """
chmod 755 .
mkdir -p etc/gcwatch srv lib credentials home
cp /etc/passwd /etc/group /etc/nsswitch.conf etc/
echo "gcwatch:x:64999:64999::/var/lib/gcwatch:/usr/sbin/nologin" >> etc/passwd
echo "gcwatch:x:64999:" >> etc/group
install -m 600 token etc/gcwatch/token
install -m 400 -o 64999 token credentials/gc-token
mount --bind . /opt
cd /opt
mount --bind /root home
mount -t tmpfs -o mode=755 tmpfs /root
for each in $(ls -A home); do
    test ! -d home/$each || { mkdir /root/$each; mount --bind home/$each /root/$each; }
done
mount --bind etc /etc
mount --bind srv /srv
mount --bind lib /var/lib
as_service() { CREDENTIALS_DIRECTORY=/opt/credentials \\
    setpriv --reuid=gcwatch --regid=gcwatch --clear-groups "$@"; }
as_service ./gcwatch --version > /dev/null || exit 99
umask 077
"""
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv") or not shutil.which("unshare"),
    reason="folders are given to a user",
)


def on_a_machine(tmp_path, sandbox, script):
    """Run a script as root of a machine of its own; return what it prints."""
    (tmp_path / "token").write_text(sandbox.token)
    program = tmp_path / "gcwatch"
    program.write_text(f"#!{sys.executable}\nfrom gcwatch.cli import main\nmain()\n")
    program.chmod(0o755)
    done = subprocess.run(
        ["unshare", "--mount", "--uts", "bash", "-euo", "pipefail", "-c", f"{MACHINE}\n{script}"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "URL": sandbox.url},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    if done.returncode == 99:
        pytest.skip(f"another user can't run this checkout: {done.stderr}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sandbox.token not in done.stdout + done.stderr
    return done.stdout
