"""A running sandbox, and the commands that control it, which the platform does not have."""

import json
import secrets
import shutil
import ssl
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import trustme
from werkzeug.wrappers import Request

from gcwatch.sandbox import due_tasks, inventory, seeds
from gcwatch.sandbox.api.item_rules import make_display_set
from gcwatch.sandbox.api.routes import API_ROOT, Api
from gcwatch.sandbox.api.serializers import Serializer
from gcwatch.sandbox.content.catalogue import STANDARD, Archive, Catalogue
from gcwatch.sandbox.model import ArchiveItem, DisplaySet, PlatformState, User
from gcwatch.sandbox.server.faults import Action, Fault, Kill
from gcwatch.sandbox.server.reply import Reply, json_reply
from gcwatch.sandbox.server.server import Server
from gcwatch.sandbox.server.traffic import Traffic
from gcwatch.sandbox.settings import Settings
from gcwatch.sandbox.storage.objects import Storage
from gcwatch.sandbox.storage.presign import Signer
from gcwatch.sandbox.study_controls import STUDY_CONTROLS, StudyControls, find_by_slug

CONTROL_PATH = "/sandbox/"

C = TypeVar("C", DisplaySet, ArchiveItem)


class Sandbox(StudyControls):
    """A replacement for the platform on the loopback address: an API and a storage origin.

    Use it as a context manager; it serves while the context is open.

    Args:
        folder: Folder for its files; made if missing. The tokens in it last from one run
            to the next (`token`, `token-bob`); uploads and jobs do not.
        settings: Limits, times and the schema of answers.
        port: Port of the API; 0 picks a free one. The storage always picks one.
        tls: Serve https, with a new certificate.
        catalogue: Sockets, algorithms, reader studies and archives that it offers.

    Attributes:
        token: Token of the main user.
        bob_token: Token of another user, who sees no record of the main user.
        ca: Certificate file to trust when it serves https, else None.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings | None = None,
        port: int = 0,
        *,
        tls: bool = False,
        catalogue: Catalogue = STANDARD,
    ) -> None:
        self.folder = folder.absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.platform_state = PlatformState(
            _make_empty_folder(self.folder / "storage"), settings or Settings(), catalogue
        )
        self.token = _load_or_create_token(self.folder / "token")
        self.bob_token = _load_or_create_token(self.folder / "token-bob")
        self.platform_state.users = [User(2, "alice", self.token), User(3, "bob", self.bob_token)]
        self.ca = self.folder / "ca.pem" if tls else None
        context = _create_tls_context(self.ca) if self.ca else None
        self._traffic = Traffic(self.platform_state)
        self._storage = Server(self._serve_storage, 0, context)
        self._site = Server(self._serve_site, port, context)
        signer = Signer(self._storage.origin, secrets.token_hex())
        serializer = Serializer(self.platform_state, self._site.origin, self._storage.origin)
        self._api_handler = Api(self.platform_state, serializer, signer)
        self._storage_handler = Storage(self.platform_state, signer)

    def __enter__(self) -> Self:
        self._storage.start()
        self._site.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._traffic.closing.set()
        self._traffic.faults.clear()
        self._site.close()
        self._storage.close()

    @property
    def url(self) -> str:
        """Root of the API, ending in a slash."""
        return f"{self._site.origin}{API_ROOT}"

    @property
    def control(self) -> str:
        """URL at which other processes call the methods below, ending in a slash.

        POST a JSON object of the arguments to `<control><method>`; the answer is JSON.
        """
        return f"{self._site.origin}{CONTROL_PATH}"

    @property
    def slugs(self) -> list[str]:
        """Slugs of the algorithms."""
        return [algorithm.slug for algorithm in self.platform_state.catalogue.algorithms]

    def _serve_site(self, request: Request) -> Reply | None:
        if request.path.startswith(CONTROL_PATH):
            return self._serve_control(request)
        return self._traffic.handle_call("api", request, self._api_handler.handle)

    def _serve_storage(self, request: Request) -> Reply | None:
        return self._traffic.handle_call("storage", request, self._storage_handler.handle)

    def _serve_control(self, request: Request) -> Reply:
        name = request.path.removeprefix(CONTROL_PATH).rstrip("/")
        if name not in _CONTROLS:
            return json_reply(404, {"error": f"no such control: {name}"})
        try:
            arguments = json.loads(request.get_data() or b"{}", object_hook=seeds.decode_content)
            return json_reply(200, getattr(self, name)(**arguments))
        except (TypeError, ValueError) as error:
            return json_reply(400, {"error": str(error)})

    def fault(self, action: Action, **how: Any) -> None:
        """Set a fault; the arguments are those of `gcwatch.sandbox.server.faults.Fault`."""
        self._traffic.faults.add(Fault(action, **how))

    def kill(
        self, pid: int, *, after_write: int | None = None, after_call: int | None = None
    ) -> None:
        """Kill a process (SIGKILL) after a number of applied writes or calls, before the reply.

        A write is a POST or PATCH on the API, or a PUT on the storage, that changed state.
        """
        self._traffic.faults.add_kill(Kill(pid, after_write, after_call))

    def lose_each_once(self) -> None:
        """Send no reply to the first call of each method and route, although it is applied."""
        self._traffic.faults.lose_each_once()

    def clear_faults(self) -> None:
        """Remove all faults, kills included."""
        self._traffic.faults.clear()

    def advance(self, seconds: float) -> None:
        """Move the sandbox's clock forward by some seconds."""
        with self.platform_state.lock:
            self.platform_state.clock_offset_seconds += seconds
        self._traffic.notify_waiters()

    def configure(self, **changes: Any) -> None:
        """Change settings, by their names in `Settings`."""
        known = {each.name for each in fields(Settings)}
        if unknown := set(changes) - known:
            message = f"no such setting: {', '.join(sorted(unknown))}"
            raise ValueError(message)
        with self.platform_state.lock:
            self.platform_state.settings = replace(self.platform_state.settings, **changes)
        self._traffic.notify_waiters()

    def notify_waiters(self) -> None:
        """Let those who wait for a state look again."""
        self._traffic.notify_waiters()

    def expire_uploads(self) -> None:
        """Delete all uploads, as the platform does after a day (platform 4.14)."""
        with self.platform_state.lock:
            due_tasks.expire_uploads(self.platform_state, self.platform_state.now())

    def add_item(
        self, archive: str, title: str, values: Mapping[str, seeds.Content] | None = None
    ) -> str:
        """Put a case into an archive, as if it had been there before.

        Args:
            archive: Slug of the archive.
            title: Title of the item, which is not checked.
            values: By socket slug: a value; for files and images bytes, a path, or a name and
                one of these. From outside bytes are {"base64": "...", "name": "..."}, and paths
                are {"path": "...", "name": "..."}; the name may be left out.

        Returns:
            The item's pk.
        """
        with self.platform_state.lock:
            item = ArchiveItem(self._find_archive(archive), title, self.platform_state.now())
            self._add_case(item, self.platform_state.items, values)
        self._traffic.notify_waiters()
        return item.pk

    def add_display_set(
        self, reader_study: str, title: str, values: Mapping[str, seeds.Content] | None = None
    ) -> str:
        """Put a case into a reader study; the arguments are those of `add_item`."""
        with self.platform_state.lock:
            study = self._find_study(reader_study)
            case = make_display_set(self.platform_state, study, title, 0)
            self._add_case(case, self.platform_state.display_sets, values)
        self._traffic.notify_waiters()
        return case.pk

    def _add_case(
        self, case: C, records: dict[str, C], values: Mapping[str, seeds.Content] | None
    ) -> None:
        seeds.fill_case(self.platform_state, case, values or {})
        records[case.pk] = case

    def _find_archive(self, slug: str) -> Archive:
        return find_by_slug(self.platform_state.catalogue.archives, slug)

    def remove_item(self, archive: str, title: str) -> None:
        """Remove the items with this title from an archive."""
        with self.platform_state.lock:
            parent, items = self._find_archive(archive), self.platform_state.items
            for item in list(items.values()):
                if item.parent is parent and item.title == title:
                    del items[item.pk]
        self._traffic.notify_waiters()

    def revoke(self, slug: str, username: str = "alice") -> None:
        """Remove a user's rights to an algorithm, reader study or archive."""
        with self.platform_state.lock:
            self.platform_state.revoked.add((slug, username))

    def restore(self, slug: str, username: str = "alice") -> None:
        """Give back the rights that `revoke` removed."""
        with self.platform_state.lock:
            self.platform_state.revoked.discard((slug, username))

    def change_token(self, token: str) -> None:
        """Give the main user another token; the previous one is refused from now on."""
        with self.platform_state.lock:
            self.platform_state.users[0].token = self.token = token

    def calls(self) -> list[dict[str, Any]]:
        """Return the calls since the last `forget_calls`.

        Each has method, path, host ("api" or "storage"), status (0 if no answer was sent),
        applied (state changed), authorization (a token was sent) and at (real seconds since the
        epoch).
        """
        return self._traffic.calls()

    def forget_calls(self) -> None:
        """Forget the calls so far."""
        self._traffic.forget_calls()

    def state(self) -> dict[str, Any]:
        """Return all jobs, uploads, sessions, images, display sets and items, and their numbers.

        Values have socket, kind (Value, File or Image), value, and the SHA-256 of the file's
        bytes and of the image's voxels, which is the same for an image that was sent back.
        """
        with self.platform_state.lock:
            due_tasks.run_due_tasks(self.platform_state)
            kinds = inventory.list_records(self.platform_state)
            settings = asdict(self.platform_state.settings)
        return {
            "counts": {kind: len(rows) for kind, rows in kinds.items()},
            **kinds,
            "settings": settings,
        }

    def wait_for(self, predicate: Callable[["Sandbox"], object], timeout: float = 60.0) -> None:
        """Wait until a predicate is true; it is checked after every call to the sandbox.

        Raises:
            TimeoutError: It did not become true within *timeout* real seconds.
        """
        with self._traffic.changed:
            if not self._traffic.changed.wait_for(lambda: predicate(self), timeout):
                message = "the sandbox did not reach the expected state"
                raise TimeoutError(message)


_CONTROLS = {
    "fault",
    "kill",
    "lose_each_once",
    "clear_faults",
    "advance",
    "configure",
    "expire_uploads",
    "add_item",
    "add_display_set",
    "remove_item",
    *STUDY_CONTROLS,
    "revoke",
    "restore",
    "change_token",
    "calls",
    "forget_calls",
    "state",
}


def _make_empty_folder(folder: Path) -> Path:
    """Make an empty folder; what an earlier run left in it is deleted."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "parts").mkdir(parents=True)
    return folder


def _load_or_create_token(path: Path) -> str:
    """Return the token in a file, a new one if there is no file; a config may name the file."""
    if not path.exists():
        path.touch(0o600)
        path.write_text(f"{secrets.token_hex(32)}\n")
    return path.read_text().strip()


def _create_tls_context(ca_file: Path) -> ssl.SSLContext:
    """Make a TLS context with a new certificate authority, whose certificate goes into a file."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context
