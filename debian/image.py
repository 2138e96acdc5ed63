"""Makes an OCI image of the Debian package: `debian/image.py DEB IMAGE`, as root (`make image`).

mmdebstrap makes a small Debian of this machine's release, from signed packages, and installs the
package in it. The result is one layer in an OCI layout, as one tar file, which podman, skopeo,
buildah and docker load.
"""

import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

USER_ID = 990
"""Number of the user and group gcwatch: folders and secrets that are mounted must fit it."""

PACKAGES = ("ca-certificates", "systemd-standalone-sysusers", "tzdata")
"""What the image needs besides the package's own dependencies."""

LEFT_OUT = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/doc/*")
KEPT = ("/usr/share/doc/*/copyright", "/usr/share/doc/gcwatch/*")
HOOKS = (
    ("essential", 'mkdir --parents "$1/etc/sysusers.d"'),
    ("essential", f'echo "u gcwatch {USER_ID}" > "$1/etc/sysusers.d/gcwatch.conf"'),
    ("customize", 'chroot "$1" dpkg --install /tmp/gcwatch.deb && rm "$1/tmp/gcwatch.deb"'),
    ("customize", 'chroot "$1" install -d -o gcwatch -g gcwatch -m 700 /var/lib/gcwatch'),
    ("customize", 'chroot "$1" install -d -o gcwatch -g gcwatch -m 755 /srv/gcwatch'),
    ("customize", 'chroot "$1" install -d -m 755 /etc/gcwatch'),
    ("customize", 'find "$1/var/log" -type f -delete; rm -rf "$1/var/cache/ldconfig/aux-cache"'),
    ("customize", 'rm -f "$1/etc/hostname" "$1/etc/resolv.conf" "$1/etc/machine-id"'),
)
CONFIG = {
    "User": f"{USER_ID}:{USER_ID}",
    "Env": [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG=C.UTF-8",
        "HOME=/var/lib/gcwatch",
        "STATE_DIRECTORY=/var/lib/gcwatch",
        # Secrets of the container's engine stand for systemd's credentials: gc-token.
        "CREDENTIALS_DIRECTORY=/run/secrets",
        "MALLOC_ARENA_MAX=2",
    ],
    "Entrypoint": ["/usr/bin/gcwatch"],
    "Cmd": ["run", "--config", "/etc/gcwatch/gcwatch.toml"],
    "Volumes": {"/var/lib/gcwatch": {}},
    "WorkingDir": "/",
    "StopSignal": "SIGTERM",
}
MEDIA = "application/vnd.oci.image"


def field(package: Path, name: str) -> str:
    """Return what a field of a package says."""
    asked = ["dpkg-deb", "--field", str(package), name]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def make_root(package: Path, tree: Path) -> None:
    """Make a tar file of a small Debian with the package in it."""
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    # Of alternatives, PACKAGES names one.
    needed = {each.split()[0] for each in field(package, "Depends").split(",") if "|" not in each}
    options = [f"--include={','.join(sorted({*PACKAGES, *needed}))}", "--variant=essential"]
    options += [f"--dpkgopt=path-exclude={each}" for each in LEFT_OUT]
    options += [f"--dpkgopt=path-include={each}" for each in KEPT]
    options += [f"--customize-hook=upload {package} /tmp/gcwatch.deb"]
    options += [f"--{when}-hook={command}" for when, command in HOOKS]
    subprocess.run(["mmdebstrap", *options, suite, tree], check=True)


class Layout:
    """The tar file of an image: blobs by their digests."""

    def __init__(self, image: tarfile.TarFile, moment: int) -> None:
        self._image = image
        self._moment = moment

    def add(self, name: str, content: bytes) -> None:
        """Add a file."""
        entry = tarfile.TarInfo(name)
        entry.size, entry.mtime = len(content), self._moment
        self._image.addfile(entry, io.BytesIO(content))

    def add_json(self, kind: str, value: Any) -> dict[str, Any]:
        """Add a JSON blob of a kind; return its descriptor."""
        content = json.dumps(value, sort_keys=True).encode()
        digest = hashlib.sha256(content).hexdigest()
        self.add(f"blobs/sha256/{digest}", content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    def add_file(self, kind: str, path: Path) -> dict[str, Any]:
        """Add a file as a blob of a kind; return its descriptor."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = path.stat().st_size
        entry = tarfile.TarInfo(f"blobs/sha256/{digest}")
        entry.size, entry.mtime = size, self._moment
        with path.open("rb") as file:
            self._image.addfile(entry, file)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": size}


def write_image(tree: Path, version: str, moment: int, place: Path) -> None:
    """Given the tar file of a root, write the image; the same input gives the same bytes."""
    packed = tree.with_suffix(".gz")
    with (
        tree.open("rb") as source,
        packed.open("wb") as target,
        gzip.GzipFile("", "wb", fileobj=target, mtime=0) as stream,
    ):
        shutil.copyfileobj(source, stream, 2**20)
    with tree.open("rb") as file:
        inner = hashlib.file_digest(file, "sha256").hexdigest()
    labels = {
        "org.opencontainers.image.title": "gcwatch",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.licenses": "Apache-2.0",
    }
    name = f"gcwatch:{version}"
    with tarfile.open(place, "w") as tar:
        layout = Layout(tar, moment)
        layer = layout.add_file(f"{MEDIA}.layer.v1.tar+gzip", packed)
        config = layout.add_json(
            f"{MEDIA}.config.v1+json",
            {
                "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
                "os": "linux",
                "config": {**CONFIG, "Labels": labels},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{inner}"]},
            },
        )
        kind = f"{MEDIA}.manifest.v1+json"
        manifest = layout.add_json(
            kind, {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]}
        )
        named = {**manifest, "annotations": {"org.opencontainers.image.ref.name": name}}
        index = {"schemaVersion": 2, "manifests": [named]}
        layout.add("index.json", json.dumps(index).encode())
        layout.add("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        # Older dockers know only this file.
        blob = "blobs/sha256/{}".format
        old = {
            "Config": blob(config["digest"][7:]),
            "RepoTags": [name],
            "Layers": [blob(layer["digest"][7:])],
        }
        layout.add("manifest.json", json.dumps([old]).encode())


def main() -> None:
    """Make the image that the arguments name."""
    package, place = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        sys.exit("make image needs root and Debian's mmdebstrap (apt install mmdebstrap)")
    with tempfile.TemporaryDirectory() as work:
        tree = Path(work) / "root.tar"
        make_root(package, tree)
        moment = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
        write_image(tree, field(package, "Version").replace("~", "-"), moment, place)


if __name__ == "__main__":
    main()
