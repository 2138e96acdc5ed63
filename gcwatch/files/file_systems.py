"""Which file system a path lies on, and whether other machines write to it."""

import os
from fnmatch import fnmatchcase
from pathlib import Path

_NETWORK_TYPES = (
    "9p",
    "acfs",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "davfs",
    "drvfs",
    "fhgfs",
    "fuse.beegfs*",
    "fuse.ceph*",
    "fuse.davfs*",
    "fuse.gcsfuse",
    "fuse.glusterfs",
    "fuse.juicefs",
    "fuse.mfs*",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.smb*",
    "fuse.sshfs",
    "fuse.vmhgfs-fuse",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncp*",
    "nfs*",
    "panfs",
    "prl_fs",
    "smb*",
    "vboxsf",
    "virtiofs",
)
"""File systems that other machines can write to.

Linux sends no events for those writes, and SQLite's WAL does not work there.
"""


def file_system(path: Path) -> str:
    """Given a path, return the type of the file system it lies on ("ext4"), or "" if unknown.

    For a path that does not exist yet it is the file system of its nearest existing parent.
    """
    import psutil  # noqa: PLC0415 - needed once at start, not while idle

    real = os.path.realpath(path)
    found, length = "", -1
    for mount in psutil.disk_partitions(all=True):
        # Of several mounts on one folder, the last one hides the others.
        if _lies_under(real, mount.mountpoint) and len(mount.mountpoint) >= length:
            found, length = mount.fstype, len(mount.mountpoint)
    return found


def _lies_under(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def is_network_type(kind: str) -> bool:
    """Given a file system's type, return whether other machines can write to it."""
    return any(fnmatchcase(kind.lower(), pattern) for pattern in _NETWORK_TYPES)


def network_file_system(path: Path) -> str | None:
    """Given a path, return its file system's type if that is a network one, else None."""
    kind = file_system(path)
    return kind if is_network_type(kind) else None
