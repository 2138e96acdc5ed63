"""Listens to a sandbox: keeps everything that comes in over its sockets."""

import io


class Wiretap:
    """Keeps the head and the body of each call to a running sandbox."""

    def __init__(self, sandbox):
        self.heard = []
        for server in (sandbox._site, sandbox._storage):
            server.service = self._listen(server.service)

    def _listen(self, service):
        def serve(request):
            call = bytearray(f"{request.method} {request.full_path}\n{request.headers}\n".encode())
            self.heard.append(call)
            request.environ["wsgi.input"] = _Copying(request.environ["wsgi.input"], call)
            return service(request)

        return serve


class _Copying(io.RawIOBase):
    """A body that is copied as it is read."""

    def __init__(self, body, copy):
        self._body, self._copy = body, copy

    def readable(self):
        return True

    def readinto(self, buffer):
        count = self._body.readinto(buffer)
        self._copy += memoryview(buffer)[:count]
        return count
