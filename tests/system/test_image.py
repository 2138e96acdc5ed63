"""The OCI image: `make test-image` builds it and tells where it is.

Its layer is unpacked, and the program is started in it as the example of a compose file says: as
its user, with a root that can't be written, as the first process.
"""

import gzip
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import tarfile
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from support.builders import mha, until
from support.checkout import ROOT

import gcwatch

IMAGE = os.environ.get("GCWATCH_IMAGE")
NEEDED = [name for name in ("unshare", "setpriv", "chroot", "tar") if not shutil.which(name)]


def why_not():
    if not IMAGE:
        return "no image: make test-image builds one"
    if os.geteuid() != 0:
        return "only root may start it"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        return "no right to mount (unshare --mount)"
    return f"not installed: {', '.join(NEEDED)}" if NEEDED else None


REASON = why_not()
needs_image = pytest.mark.skipif(REASON is not None, reason=str(REASON))
COMPOSE = ROOT / "config" / "examples" / "compose.yaml"
CONFIG = """
[platform]
url = "{url}"
[[route]]
name = "lobes"
inbox = "/srv/gcwatch/lobes/in"
outbox = "/srv/gcwatch/lobes/out"
algorithm = "copy-image"
settle = "0s"
poll = "100ms"
on_delivered = ["python3", "-c", "open('/srv/gcwatch/handed-on', 'a').write('1')"]
"""


class Layout:
    """The blobs of the image."""

    def __init__(self, place):
        with tarfile.open(place) as tar:
            self.files = {each.name: tar.extractfile(each).read() for each in tar}
        [self.named] = json.loads(self.files["index.json"])["manifests"]
        self.manifest = json.loads(self.blob(self.named))
        self.config = json.loads(self.blob(self.manifest["config"]))
        [self.layer] = map(self.blob, self.manifest["layers"])

    def blob(self, descriptor):
        """A blob, which is what its descriptor says."""
        digest = descriptor["digest"].removeprefix("sha256:")
        content = self.files[f"blobs/sha256/{digest}"]
        assert hashlib.sha256(content).hexdigest() == digest
        assert len(content) == descriptor["size"]
        return content


@pytest.fixture(scope="module")
def layout():
    return Layout(IMAGE)


@pytest.fixture(scope="module")
def root(layout, tmp_path_factory):
    """The image's files."""
    folder = tmp_path_factory.mktemp("image")
    folder.chmod(0o755)
    place = folder / "root"
    place.mkdir()
    subprocess.run(
        ["tar", "--extract", "--gzip", "--numeric-owner", "--same-permissions", "-C", place],
        input=layout.layer,
        check=True,
    )
    return place


MOUNTS = """
mount --make-rprivate /
mount --bind root root
mount -t proc proc root/proc
mount --rbind /dev root/dev
mount -t tmpfs tmpfs root/tmp
mount -t tmpfs tmpfs root/run
mkdir root/run/secrets
cp token root/run/secrets/gc-token
mount --bind config root/etc/gcwatch
mount -o remount,bind,ro root/etc/gcwatch
mount --bind state root/var/lib/gcwatch
mount --bind srv root/srv/gcwatch
mount -o remount,bind,ro root
"""
"""What a container's engine does with the lines of the compose file."""


class Container:
    """A place where the image is started: its root, and the folders that are mounted."""

    def __init__(self, folder, root, config):
        self.folder = folder
        self.user = config["User"]
        self.environment = config["Env"]
        self.command = [*config["Entrypoint"], *config["Cmd"]]
        self.root = root
        for name in ("config", "state", "srv", "srv/lobes", "srv/lobes/in", "srv/lobes/out"):
            (folder / name).mkdir()
        for place in (folder / "state", *(folder / "srv").rglob("*"), folder / "srv"):
            shutil.chown(place, *map(int, self.user.split(":")))

    def script(self, *command):
        inside = ["setpriv", "--no-new-privs", "chroot", f"--userspec={self.user}", self.root]
        words = [*inside, "/usr/bin/env", "-i", *self.environment, *command]
        mounts = MOUNTS.replace(" root", f" {self.root}")
        return f"{mounts}\nexec {shlex.join(map(str, words))}"

    def start(self, *command, **how):
        unshared = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        script = self.script(*command)
        return subprocess.Popen([*unshared, "sh", "-ec", script], cwd=self.folder, **how)

    @contextmanager
    def running(self):
        """The image's own command, until the block ends; its first process gets SIGTERM then."""
        with (self.folder / "log").open("w") as log:
            process = self.start(*self.command, stderr=log)
            try:
                yield
            finally:
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
                if children.split():
                    os.kill(int(children.split()[0]), signal.SIGTERM)
                process.wait(60)
        assert process.returncode == 0, (self.folder / "log").read_text()[-3000:]


@needs_image
def test_the_program_runs_with_a_root_that_can_not_be_written(tmp_path, layout, root, sandbox):
    """A patient is delivered and handed on, health is told, and SIGTERM ends the first process."""
    container = Container(tmp_path, root, layout.config["config"])
    (tmp_path / "token").write_text(sandbox.token)
    (tmp_path / "config" / "gcwatch.toml").write_text(CONFIG.format(url=sandbox.url))
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop" / "image.mha").write_bytes(mha())
    (tmp_path / "drop").rename(tmp_path / "srv" / "lobes" / "in" / "p1")

    with container.running():
        until((tmp_path / "srv" / "lobes" / "out" / "p1" / "gcwatch.json").exists)
        until((tmp_path / "srv" / "handed-on").exists)

    health = container.start("gcwatch", "health", stdout=subprocess.PIPE, text=True)
    told, _ = health.communicate(timeout=60)
    assert (health.returncode, told.startswith("gcwatch: not working: no gcwatch runs")) == (
        2,
        True,
    )
    version = container.start("gcwatch", "--version", stdout=subprocess.PIPE, text=True)
    assert version.communicate(timeout=60)[0] == f"gcwatch {gcwatch.VERSION}\n"
    written = container.start("touch", "/usr/x", stderr=subprocess.DEVNULL)
    assert written.wait(60) == 1


@needs_image
def test_the_layout_is_whole(layout):
    """Each digest and size is right; the layer unpacks to what the config says."""
    [inner] = layout.config["rootfs"]["diff_ids"]
    assert hashlib.sha256(gzip.decompress(layout.layer)).hexdigest() == inner.removeprefix(
        "sha256:"
    )
    assert layout.files["oci-layout"] == b'{"imageLayoutVersion": "1.0.0"}'
    [old] = json.loads(layout.files["manifest.json"])
    assert old["RepoTags"] == [layout.named["annotations"]["org.opencontainers.image.ref.name"]]
    assert {old["Config"], *old["Layers"]} <= {*layout.files}


@needs_image
@pytest.mark.skipif(shutil.which("skopeo") is None, reason="not installed: skopeo")
def test_another_program_reads_the_image(tmp_path):
    """Both of its forms: an OCI layout, and what older dockers load."""
    for form in ("oci-archive", "docker-archive"):
        copied = [
            "skopeo",
            "--insecure-policy",
            "copy",
            f"{form}:{IMAGE}",
            f"dir:{tmp_path / form}",
        ]
        subprocess.run(copied, check=True, capture_output=True)
        told = json.loads((tmp_path / form / "manifest.json").read_bytes())
        assert len(told["layers"]) == 1


@needs_image
def test_nothing_of_the_machine_that_built_it_is_in_the_image(root):
    """No name, no address of a name server, no lists and no logs."""
    for place in ("etc/hostname", "etc/resolv.conf", "etc/machine-id", "tmp/gcwatch.deb"):
        assert not (root / place).exists()
    assert not [each for each in (root / "var/log").rglob("*") if each.is_file()]
    lists = {each.name for each in (root / "var/lib/apt/lists").rglob("*") if each.is_file()}
    assert lists <= {"lock"}
    assert (root / "var/lib/gcwatch").stat().st_uid == 990


def test_the_compose_file_mounts_what_the_image_uses():
    """Its root can't be written; all that gcwatch writes is a mount."""
    service = yaml.safe_load(COMPOSE.read_text())["services"]["gcwatch"]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    mounted = [each.split(":")[1] for each in service["volumes"]] + service["tmpfs"]
    assert sorted(mounted) == ["/etc/gcwatch", "/srv/gcwatch", "/tmp", "/var/lib/gcwatch"]
    assert service["secrets"] == ["gc-token"]
    assert service["healthcheck"]["test"][1:] == ["gcwatch", "health"]
