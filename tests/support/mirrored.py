"""One installation of gcwatch with one mirror beside a sandbox, and what must be true of it."""

import http.client
import io
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from gcwatch import config, log
from gcwatch.api import Watch
from gcwatch.sandbox import seeds
from support.builders import FAST, lines_of, mha, sha256, visible

ARCHIVE = "ct-archive"
IMAGE = "generic-medical-image"


class Mirrored:
    """A config file with one mirror, its outbox, and the archive that it is of.

    `images` is where an item's folder has its image.
    """

    images = IMAGE

    def __init__(self, folder, sandbox, *, routes="", **mirror):
        self.folder, self.sandbox = folder, sandbox
        self.file, self.outbox = folder / "gcwatch.toml", folder / "mirror"
        self.token, self.state = folder / "token", folder / "state"
        self.outbox.mkdir(parents=True, exist_ok=True)
        self.token.touch(0o600)
        self.token.write_text(sandbox.token)
        self.archive = mirror.get("archive", ARCHIVE)
        self.keys = {"name": "cts", "archive": ARCHIVE, "outbox": "mirror", **mirror}
        self.configure(sandbox.url, routes)

    def configure(self, url, routes=""):
        self.file.write_text(
            f'state = "state"\n[platform]\nurl = "{url}"\ntoken_file = "token"\n'
            '[log]\nfile = "log.jsonl"\n[[mirror]]\n'
            + "".join(
                f"{key} = {json.dumps(value)}\n"
                for key, value in self.keys.items()
                if value is not None
            )
            + routes
        )

    # --- the archive -----------------------------------------------------------------------------

    def add(self, title, values=None, /, **more):
        """Add an item; sockets may be named with underscores."""
        return self.sandbox.add_item(self.archive, title, {**(values or {}), **_slugs(more)})

    def fill(self):
        """Hold three items, and forget which calls that took; return the mirror."""
        for number in (1, 2, 3):
            self.add(f"p{number}", generic_medical_image=mha(number, 2), threshold=number / 2)
        self.run()
        self.sandbox.forget_calls()
        return self

    def change(self, item, **values):
        """Give sockets of an item other values."""
        state = self.sandbox.platform_state
        with state.lock:
            seeds.fill_case(state, state.items[item], _slugs(values))

    def take_out(self, item):
        """Take an item out of the archive; return what puts it back."""
        items = self.sandbox.platform_state.items
        taken = items.pop(item)
        return lambda: items.update({item: taken})

    def remove(self, title):
        self.sandbox.remove_item(self.archive, title)

    def rename(self, item, title):
        self.sandbox.platform_state.items[item].title = title

    def values(self):
        """What the archive holds: by item and value pk, what the value is and its SHA-256."""
        return {
            pk: {each.pk: (each.socket.slug, _digest(each)) for each in item.values.values()}
            for pk, item in self.sandbox.platform_state.items.items()
            if item.parent.slug == self.archive
        }

    # --- working ---------------------------------------------------------------------------------

    @contextmanager
    def watch(self, pace=FAST):
        settings = config.load(self.file)
        log.configure(settings.log, stream=io.StringIO())
        watch = Watch(settings, pace=pace)
        try:
            yield watch
        finally:
            watch.close()
            log.reset_logging()

    def run(self, **how):
        """Run the mirror by hand."""
        with self.watch() as watch:
            return watch.mirror("cts", **how)

    def run_once(self):
        """Do what `gcwatch once` does."""
        with self.watch() as watch:
            return watch.run_once()

    # --- what came of it -------------------------------------------------------------------------

    def names(self):
        """What people see in the outbox."""
        return sorted(path.name for path in self.outbox.iterdir() if visible(path))

    def receipt(self, name):
        return json.loads((self.outbox / name / "gcwatch.json").read_bytes())

    def said(self, event):
        return [line for line in lines_of(self.folder / "log.jsonl") if line["event"] == event]

    def calls(self, *, host="api", find=""):
        """The calls since they were last forgotten."""
        calls = self.sandbox.calls()
        return [each for each in calls if each["host"] == host and find in each["path"]]

    def print(self):
        """Every file of the outbox with its identity: nothing has touched what prints the same."""
        return {
            path.relative_to(self.outbox): (path.stat().st_ino, path.stat().st_mtime_ns)
            for path in self.outbox.rglob("*")
            if path.is_file()
        }

    # --- what must be true -----------------------------------------------------------------------

    def check_nothing_half_done(self):
        """Every folder that people see is what its receipt says."""
        for name in self.names():
            receipt = self.receipt(name)
            told = _told(receipt)
            folder = self.outbox / name
            found = {
                str(path.relative_to(folder)): sha256(path.read_bytes())
                for path in folder.rglob("*")
                if path.is_file() and visible(path) and path.name != "gcwatch.json"
            }
            assert found == told, f"{name} is not what its receipt says"

    def check_complete(self):
        """Every item of the archive is here, with all its values; nothing is left behind."""
        self.check_nothing_half_done()
        held = {}
        for name in self.names():
            receipt = self.receipt(name)
            assert receipt["target"]["item"] not in held, "an item is here twice"
            held[receipt["target"]["item"]] = self._held(self.outbox / name, receipt)
        for item, values in self.values().items():
            assert held[item] == values
        self.check_tidy()
        return held

    def _held(self, folder, receipt):
        return {
            output["pk"]: (
                output["socket"],
                json.loads((folder / output["files"][0]["path"]).read_bytes())
                if output["carrier"] == "value"
                else output["files"][0]["sha256"],
            )
            for output in receipt["outputs"]
        }

    def check_tidy(self):
        """Nothing is under way in the hidden folder."""
        hidden = self.outbox / ".gcwatch"
        left = [*(hidden / "partial").iterdir(), *(hidden / "old").iterdir()]
        assert not left, "something is left aside"

    def check_flat(self):
        """Every image of the archive is here once, under a name of its own, whole."""
        images = {
            digest
            for values in self.values().values()
            for slug, digest in values.values()
            if slug == IMAGE
        }
        assert sorted(self.flat_digests()) == sorted(images)
        self.check_tidy()

    def flat_digests(self):
        return [sha256((self.outbox / name).read_bytes()) for name in self.names()]


def _slugs(values):
    return {slug.replace("_", "-"): value for slug, value in values.items()}


def _digest(value):
    stored = value.file or (value.image.file if value.image else None)
    return stored.sha256 if stored else value.value


def _told(receipt):
    files = (file for output in receipt["outputs"] for file in output["files"])
    return {file["path"]: file["sha256"] for file in files}


@contextmanager
def without_header(url):
    """A proxy before a sandbox that loses the Authorization header; yield its API's root."""
    home = urlsplit(url)

    class Loser(BaseHTTPRequestHandler):
        def do_GET(self):
            onward = http.client.HTTPConnection(home.netloc, timeout=60)
            onward.request("GET", self.path, headers={"Accept": self.headers["Accept"]})
            reply = onward.getresponse()
            body = reply.read()
            onward.close()
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.headers["Content-Type"])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Loser)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{home.path}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
