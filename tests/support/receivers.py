"""A mail server and a webhook on this machine: what was sent to them is in `got`."""

import email
import email.policy
import json
import socketserver
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def _served(server):
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Mail(socketserver.StreamRequestHandler):
    """The few commands of SMTP that a client needs for one mail."""

    def handle(self):
        self.say("220 here")
        while line := self.rfile.readline().decode().strip():
            match line.split()[0].upper():
                case "DATA":
                    self.say("354 go on")
                    self.read_mail()
                    self.say("250 taken")
                case "QUIT":
                    self.say("221 bye")
                    return
                case _:
                    self.say("250 well")

    def say(self, line):
        self.wfile.write(f"{line}\r\n".encode())

    def read_mail(self):
        lines = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line)
        mail = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        self.server.got.append(mail)


class _MailServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Mail)
        self.got = []

    @property
    def url(self):
        return f"mailto://127.0.0.1:{self.server_address[1]}?from=gcwatch@a.org&to=it@a.org"


class _Webhook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.answer == 200:
            self.server.got.append(json.loads(body))
        self.server.calls += 1
        self.send_response(self.server.answer)
        if self.server.answer == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


class _WebhookServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Webhook)
        self.got, self.calls, self.answer = [], 0, 200

    @property
    def url(self):
        return f"json://127.0.0.1:{self.server_address[1]}/secret-path"


def mail_server():
    """A mail server; `got` are its mails."""
    return _served(_MailServer())


def webhook():
    """A webhook; `got` are the bodies that it took; `answer` is the status that it gives."""
    return _served(_WebhookServer())
