"""Small file systems that become full or read-only when a test wants it (root only)."""

import shutil
import subprocess
from contextlib import contextmanager


def may_mount():
    """Whether this user may mount file systems."""
    command = ["unshare", "--mount", "true"]
    return shutil.which("unshare") and not subprocess.run(command, check=False).returncode


class SmallDisk:
    """A file system of 3 MiB over a folder."""

    def __init__(self, folder):
        self.folder = folder
        self._filling = folder / ".filling"
        self._mount("-t", "tmpfs", "-o", "size=3m", "none")

    def _mount(self, *options):
        subprocess.run(["mount", *options, self.folder], check=True)

    def make(self, trouble):
        """Let it be `full` or `read-only`."""
        {"full": self._fill, "read-only": lambda: self._mount("-o", "remount,ro")}[trouble]()

    def _fill(self):
        size = 1 << 16
        with self._filling.open("wb", buffering=0) as file:
            while size:
                try:
                    file.write(bytes(size))
                except OSError:
                    size //= 2

    def mend(self):
        """Let it have room, and be written to."""
        self._mount("-o", "remount,rw")
        self._filling.unlink(missing_ok=True)

    def remove(self):
        subprocess.run(["umount", "--lazy", self.folder], check=True)


@contextmanager
def small_disk(folder):
    """Yield a small disk with what a folder holds; after the block the folder is as it was."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder.with_name(f"{folder.name}.kept")
    shutil.copytree(folder, kept, symlinks=True)
    disk = SmallDisk(folder)
    try:
        shutil.copytree(kept, folder, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(kept)
        yield disk
    finally:
        disk.remove()
