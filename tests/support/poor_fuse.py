# ruff: noqa: PTH102, PTH104, PTH106, PTH108, PTH112, PTH208 - paths are bytes here
"""A real file system that can do less: a FUSE server over a folder, which speaks to the kernel.

    python -m support.poor_fuse FOLDER MOUNTPOINT

It has no permission bits and no links, syncs no folder, renames over nothing, and refuses the names
that Windows refuses: as exFAT and SMB do. It ends when it is unmounted.
"""

import ctypes
import errno
import os
import re
import stat
import struct
import sys

_REFUSED_NAME = re.compile(rb'[<>:"|?*\\]|[. ]\Z')
_HEADER = struct.Struct("<IIQQIIII")
_ATTRIBUTES = struct.Struct("<6Q10I")
_NAMES = {
    1: "lookup",
    3: "getattr",
    4: "setattr",
    9: "mkdir",
    10: "unlink",
    11: "rmdir",
    12: "rename",
    14: "open",
    15: "read",
    16: "write",
    17: "statfs",
    18: "release",
    20: "nothing",
    25: "nothing",
    26: "init",
    27: "nothing_open",
    28: "readdir",
    29: "nothing",
    35: "create",
    45: "rename2",
}
_SILENT = {2, 36, 42}
"""Forgets and interrupts have no answer."""
_REFUSED = {6: errno.EPERM, 13: errno.EPERM, 30: errno.EINVAL}
"""Symbolic links, hard links, and to sync a folder."""


def mount(descriptor, mountpoint):
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0,allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"poor", os.fsencode(mountpoint), b"fuse", 0, options.encode()):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class Server:
    """Answers the kernel's requests; a node's number stands for its path below the folder."""

    def __init__(self, folder):
        self._paths = {1: os.fsencode(folder)}
        self._numbers = {os.fsencode(folder): 1}
        self._last = 1

    def answer(self, opcode, node, body):
        """Return the answer to one request; raise OSError to refuse it."""
        if opcode in _REFUSED:
            raise OSError(_REFUSED[opcode], "")
        if opcode not in _NAMES:
            raise OSError(errno.ENOSYS, "")
        return getattr(self, f"_{_NAMES[opcode]}")(node, body)

    def _init(self, _node, _body):
        # Version 7.31, no optional features, and at most 64 KiB in one write.
        return struct.pack("<4I2H2I2H8I", 7, 31, 0, 0, 8, 8, 65536, 1, 0, 0, *[0] * 8)

    def _nothing(self, _node, _body):
        return b""

    def _nothing_open(self, _node, _body):
        return struct.pack("<QII", 0, 0, 0)

    # --- names -----------------------------------------------------------------------------------

    def _child(self, node, name):
        return self._paths[node] + b"/" + name

    def _new(self, node, name):
        if _REFUSED_NAME.search(name):
            raise OSError(errno.EINVAL, "")
        return self._child(node, name)

    def _entry(self, path):
        facts = self._facts(path)
        if path not in self._numbers:
            self._last += 1
            self._numbers[path], self._paths[self._last] = self._last, path
        return struct.pack("<4Q2I", self._numbers[path], 0, 0, 0, 0, 0) + facts

    def _forget(self, path):
        self._numbers.pop(path, None)  # a new file of this name is another node

    def _facts(self, path):
        it = os.lstat(path)
        times = [(each // 10**9, each % 10**9) for each in (it.st_atime_ns, it.st_mtime_ns)]
        (atime, a), (mtime, m) = times
        ctime, c = it.st_ctime_ns // 10**9, it.st_ctime_ns % 10**9
        mode = stat.S_IFMT(it.st_mode) | 0o755
        numbers = (it.st_ino, it.st_size, it.st_blocks, atime, mtime, ctime, a, m, c)
        return _ATTRIBUTES.pack(*numbers, mode, it.st_nlink, 0, 0, 0, 4096, 0)

    # --- requests --------------------------------------------------------------------------------

    def _lookup(self, node, body):
        return self._entry(self._child(node, body.rstrip(b"\0")))

    def _getattr(self, node, _body):
        return struct.pack("<QII", 0, 0, 0) + self._facts(self._paths[node])

    def _setattr(self, node, body):
        valid, _, _, size, _, atime, mtime, _, a, m = struct.unpack_from("<IIQQQQQQII", body)
        path = self._paths[node]
        if valid & 0b111:
            raise OSError(errno.EPERM, "")
        if valid & 8:
            os.truncate(path, size)
        if valid & 0x30 and not valid & 0x180:
            os.utime(path, ns=(atime * 10**9 + a, mtime * 10**9 + m))
        return self._getattr(node, body)

    def _mkdir(self, node, body):
        path = self._new(node, body[8:].rstrip(b"\0"))
        os.mkdir(path)
        return self._entry(path)

    def _unlink(self, node, body):
        path = self._child(node, body.rstrip(b"\0"))
        os.unlink(path)
        self._forget(path)
        return b""

    def _rmdir(self, node, body):
        path = self._child(node, body.rstrip(b"\0"))
        os.rmdir(path)
        self._forget(path)
        return b""

    def _rename(self, node, body):
        return self._move(node, struct.unpack_from("<Q", body)[0], body[8:])

    def _rename2(self, node, body):
        folder, flags = struct.unpack_from("<QI", body)
        if flags:
            raise OSError(errno.EINVAL, "")
        return self._move(node, folder, body[16:])

    def _move(self, node, folder, names):
        name, new_name = names.split(b"\0")[:2]
        old, new = self._child(node, name), self._new(folder, new_name)
        if os.path.lexists(new) and not os.path.isdir(new):
            raise OSError(errno.EEXIST, "")
        os.rename(old, new)
        self._forget(new)
        for path in [each for each in self._numbers if _below(each, old)]:
            number = self._numbers.pop(path)
            moved = new + path[len(old) :]
            self._numbers[moved], self._paths[number] = number, moved
        return b""

    def _create(self, node, body):
        path = self._new(node, body[16:].rstrip(b"\0"))
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        return self._entry(path) + struct.pack("<QII", handle, 0, 0)

    def _open(self, node, _body):
        return struct.pack("<QII", os.open(self._paths[node], os.O_RDWR), 0, 0)

    def _read(self, _node, body):
        handle, offset, size = struct.unpack_from("<QQI", body)
        return os.pread(handle, size, offset)

    def _write(self, _node, body):
        handle, offset, size = struct.unpack_from("<QQI", body)
        return struct.pack("<II", os.pwrite(handle, body[40 : 40 + size], offset), 0)

    def _release(self, _node, body):
        os.close(struct.unpack_from("<Q", body)[0])
        return b""

    def _statfs(self, _node, _body):
        blocks = (1 << 30, 1 << 29, 1 << 29, 1 << 20, 1 << 19)
        return struct.pack("<5Q10I", *blocks, 4096, 255, 4096, *[0] * 7)

    def _readdir(self, node, body):
        _, offset, size = struct.unpack_from("<QQI", body)
        found = b""
        for number, name in enumerate(sorted(os.listdir(self._paths[node])), 1):
            if number <= offset:
                continue
            kind = stat.S_IFMT(os.lstat(self._child(node, name)).st_mode) >> 12
            entry = struct.pack("<QQII", number, number, len(name), kind) + name
            entry += bytes(-len(entry) % 8)
            if len(found) + len(entry) > size:
                break
            found += entry
        return found


def _below(path, folder):
    return path == folder or path.startswith(folder + b"/")


def serve(descriptor, server):
    """Answer requests until the file system is unmounted."""
    while True:
        try:
            request = os.read(descriptor, 1 << 18)
        except InterruptedError:
            continue
        except OSError as error:
            if error.errno == errno.ENODEV:
                return
            if error.errno in {errno.ENOENT, errno.EAGAIN}:  # a request was taken back
                continue
            raise
        _, opcode, unique, node, *_ = _HEADER.unpack_from(request)
        if opcode in _SILENT:
            continue
        try:
            answer, refusal = server.answer(opcode, node, request[_HEADER.size :]), 0
        except OSError as error:
            answer, refusal = b"", error.errno or errno.EIO
        head = struct.pack("<IiQ", 16 + len(answer), -refusal, unique)
        try:
            os.write(descriptor, head + answer)
        except FileNotFoundError:  # whoever asked was killed
            continue


def main():
    descriptor = os.open("/dev/fuse", os.O_RDWR)
    mount(descriptor, sys.argv[2])
    sys.stdout.write("mounted\n")
    sys.stdout.flush()
    serve(descriptor, Server(sys.argv[1]))


if __name__ == "__main__":
    main()
