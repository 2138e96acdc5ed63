"""`init`: the command that writes a first config file, by asking or by flags."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from gcwatch.cli.errors import Misused
from gcwatch.cli.look import code_of
from gcwatch.cli.options import Config, TokenFile, Url, by_socket, chosen, flag, sockets
from gcwatch.commands import first_config, systemd_unit
from gcwatch.commands.first_config import Choices, Kind
from gcwatch.commands.systemd_unit import Unit
from gcwatch.config import Platform, Settings, Source
from gcwatch.core.errors import TokenRefused
from gcwatch.core.text import printable_name
from gcwatch.platform.client import CachingGrandChallenge, GrandChallenge
from gcwatch.platform.connect import connect
from gcwatch.platform.models import Socket
from gcwatch.views.check_table import findings_table
from gcwatch.views.terminal import console

_TOKENS = "https://grand-challenge.org/settings/api-tokens/"
T = TypeVar("T")


def _slug(name: str, what: str) -> Any:
    return typer.Option(name, metavar="SLUG", help=what)


def _folder(name: str, what: str) -> Any:
    return typer.Option(name, metavar="DIR", help=what)


def init(
    context: typer.Context,
    config: Config = None,
    *,
    algorithm: Annotated[str | None, _slug("--algorithm", "Run this algorithm.")] = None,
    reader_study: Annotated[
        str | None, _slug("--reader-study", "Put cases into this reader study.")
    ] = None,
    archive: Annotated[str | None, _slug("--archive", "Put cases into this archive.")] = None,
    mirror: Annotated[str | None, _slug("--mirror", "Keep this archive in a folder.")] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the route or mirror; else the slug.")
    ] = None,
    inbox: Annotated[Path | None, _folder("--inbox", "Watched for cases; else NAME/in.")] = None,
    outbox: Annotated[Path | None, _folder("--outbox", "For results; else NAME/out.")] = None,
    inputs: Annotated[
        list[str] | None,
        sockets("that JSON file of each folder"),
    ] = None,
    settle: Annotated[
        str, typer.Option(metavar="DURATION", help="How long a folder must not change.")
    ] = "",
    poll: Annotated[
        str, typer.Option(metavar="DURATION", help="How often jobs, or the archive, are asked.")
    ] = "",
    url: Url = None,
    token_file: TokenFile = None,
    ca_bundle: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificates to trust.")
    ] = None,
    proxy: Annotated[
        str | None, typer.Option(metavar="URL", help="The proxy that leads to the platform.")
    ] = None,
    state: Annotated[Path | None, _folder("--state", "For the journal.")] = None,
    yes: Annotated[bool, flag("--yes", "Ask nothing; take what would be proposed.")] = False,
    force: Annotated[bool, flag("--force", "Replace a config file that is there.")] = False,
) -> None:
    """Write a config file and make its folders; on a terminal, ask for all that no option says.

    What the token can see is listed to choose from. The config is written only if the platform
    knows the token, and the target may be used and takes the inputs. Run this as the user that is
    to run gcwatch; or, with --config /etc/gcwatch/gcwatch.toml, as root for the service: then the
    folders are its user's, and the token stays root's. The two commands that come next are printed.

    Exit codes: 0 it is written, 64 something is missing or the file is there already, 69 the
    platform could not be reached, 77 the token is refused, 78 the choices don't fit.
    """
    file = _file(chosen(context, config))
    first_config.require_free(file, force=force)
    home = _Home(file, state)
    if home.unit:
        systemd_unit.ids()
    asking = sys.stdin.isatty() and not yes
    targets: dict[Kind, str | None] = {
        "algorithm": algorithm,
        "reader_study": reader_study,
        "archive": archive,
        "mirror": mirror,
    }
    given = _given(targets, asking=asking)
    if given and given[0] == "mirror" and (inbox or inputs):
        raise Misused("A mirror has no inbox and no inputs.", "Leave --inbox and --input away.")
    if url is None and asking:
        url = _ask("The platform's API", lambda text: first_config.platform_of(url=text).url, _URL)
    options = {"url": url, "ca_bundle": ca_bundle, "proxy": proxy}
    platform = home.platform(options, token_file, asking=asking)
    with _connected(home.settings(platform)) as there:
        kind, slug = given or _target(there)
        name = name or _proposed("Name", first_config.name_of(slug), asking=asking)
        is_mirror = kind == "mirror"
        choices = Choices(
            file=file,
            state=home.state,
            platform=home.written(platform),
            kind=kind,
            slug=slug,
            name=name,
            inbox=None if is_mirror else home.folder("Inbox", inbox, f"{name}/in", asking=asking),
            outbox=home.folder("Outbox", outbox, f"{name}/out", asking=asking),
            inputs=_sources(inputs) if inputs else _inputs(there, kind, slug, asking=asking),
            settle=settle,
            poll=poll,
            unit=home.unit,
        )
    _write(choices, platform, asking=asking)


def _write(choices: Choices, platform: Platform, *, asking: bool) -> None:
    """Write what was chosen, if it is fine; print what comes next."""
    if wrong := first_config.findings(choices, platform):
        console(stderr=True).print(findings_table(wrong))
        raise typer.Exit(code_of(wrong))
    if asking:
        _say(f"\n{first_config.text(choices)}")
        with redirect_stdout(sys.stderr):
            typer.confirm(f"Write {choices.file}?", default=True, abort=True, err=True)
    for folder in first_config.put(choices):
        _say(f"made {printable_name(str(folder))}")
    _say(f"wrote {printable_name(str(choices.file))}")
    if choices.unit and not choices.unit.reaches(choices.folders):
        _say(f"The service needs a drop-in for these folders: {_SERVICE_PAGE}, Folders.")
    _say("Next:")
    for command in first_config.next_commands(choices):
        typer.echo(command)


# --- places and the token ------------------------------------------------------------------------

_URL = Platform().url
_SERVICE_PAGE = "docs/service.md"


def _file(named: Path | None) -> Path:
    return (named or Path("gcwatch.toml")).expanduser().absolute()


@dataclass(frozen=True)
class _Home:
    """Where what belongs to a config file is, unless somebody says otherwise."""

    file: Path
    given_state: Path | None

    @property
    def unit(self) -> Unit | None:
        return systemd_unit.of(self.file)

    @property
    def token(self) -> Path:
        return self.unit.token if self.unit else self.file.parent / "token"

    @property
    def state(self) -> Path:
        usual = self.unit.state if self.unit else self.file.parent / "state"
        return (self.given_state or usual).expanduser().absolute()

    def folder(self, what: str, given: Path | None, usual: str, *, asking: bool) -> Path:
        """Return a folder for cases: as given, as somebody answers, as proposed."""
        base = systemd_unit.CASES if self.unit else self.file.parent
        path = given or Path(_proposed(what, str(base / usual), asking=asking))
        return path.expanduser().absolute()

    def settings(self, platform: Platform) -> Settings:
        return Settings(file=self.file, state=self.state, platform=platform)

    def platform(
        self, keys: Mapping[str, Any], token_file: Path | None, *, asking: bool
    ) -> Platform:
        """Return the platform with the file of a token; ask for a token if there is none."""
        file = (token_file or self.token).expanduser().absolute()
        bare = first_config.platform_of(**keys)
        if asking and not file.exists():
            _ask_for_token(self.settings(bare), file)
        named = file if token_file or file.exists() else None
        return first_config.platform_of(**keys, token_file=named)

    def written(self, platform: Platform) -> Platform:
        """Return what the config says of the platform: a service's token is its credential."""
        if self.unit and platform.token_file == self.unit.token:
            return platform.model_copy(update={"token_file": None})
        return platform


def _ask_for_token(settings: Settings, file: Path) -> None:
    """Ask until the platform knows the token, which is not shown; keep it in a file."""
    _say(f"A token comes from {_TOKENS}")
    while True:
        entered = _prompt("Token (not shown)", hide_input=True)
        try:
            _say(f"It is the token of {printable_name(first_config.owner(settings, entered))}.")
        except (TokenRefused, Misused):
            _say("The platform does not take this token.")
        else:
            first_config.keep_token(file, entered)
            _say(f"It is in {printable_name(str(file))}, for you alone.")
            return


@contextmanager
def _connected(settings: Settings) -> Iterator[GrandChallenge]:
    platform = CachingGrandChallenge(connect(settings))
    with closing(platform):
        yield platform


# --- what is asked -------------------------------------------------------------------------------


def _given(targets: Mapping[Kind, str | None], *, asking: bool) -> tuple[Kind, str] | None:
    """Return the one target that options name, if any does."""
    given = [(kind, slug) for kind, slug in targets.items() if slug is not None]
    if len(given) > 1 or (not given and not asking):
        message = "One target is needed: --algorithm, --reader-study, --archive or --mirror."
        raise Misused(message, "On a terminal, without --yes, gcwatch init asks.")
    return given[0] if given else None


def _target(platform: GrandChallenge) -> tuple[Kind, str]:
    kinds = list(first_config.KINDS)
    kind = kinds[_pick("What for", list(first_config.KINDS.values()))]
    offers = first_config.offers(platform, kind)
    if not offers:
        raise Misused("The token can see none.", "Ask the platform's editors for the right to it.")
    lines = [f"{each.slug}{_remarks(each)}" for each in offers]
    return kind, offers[_pick("Which", lines, [each.slug for each in offers])].slug


def _remarks(offer: first_config.Offer) -> str:
    title = f" ({printable_name(offer.title)})" if offer.title else ""
    return title + " - this token may not use it" * (offer.usable is False)


def _sources(given: Sequence[str]) -> dict[str, Source]:
    return {socket: first_config.source(what) for socket, what in by_socket(given)}


def _inputs(platform: GrandChallenge, kind: Kind, slug: str, *, asking: bool) -> dict[str, Source]:
    """Return what the sockets get: as answered, or as proposed."""
    if kind == "algorithm":
        return _inputs_of(platform, slug, asking=asking)
    if kind != "mirror" and asking:
        return _sockets(platform)
    if kind != "mirror":
        message = "A reader study or archive needs inputs: the sockets to fill, and what with."
        raise Misused(message, 'For example: --input "ct-image=**/*.dcm"')
    return {}


def _inputs_of(platform: GrandChallenge, slug: str, *, asking: bool) -> dict[str, Source]:
    known = first_config.interfaces(platform, slug)
    if not known:
        return {}
    names = [" + ".join(socket.slug for socket in each.inputs) for each in known]
    chosen = known[_pick("Which inputs", names) if asking and known[1:] else 0]
    proposed = first_config.proposed(chosen)
    if not asking:
        return proposed
    _say(_SOURCES)
    return {each.slug: _ask_for_source(each, proposed[each.slug]) for each in chosen.inputs}


def _sockets(platform: GrandChallenge) -> dict[str, Source]:
    found: dict[str, Source] = {}
    _say(_SOURCES)
    while True:
        say = "Another socket to fill (nothing: no more)" if found else "Socket, such as ct-image"
        slug = _prompt(say, default="" if found else None, show_default=False)
        if not slug:
            return found
        socket = platform.socket(slug)
        if socket is None:
            _say("There is no such socket.")
        else:
            found[slug] = _ask_for_source(socket, first_config.proposal(socket))


_SOURCES = """\
What each input gets of a folder: the files that a glob matches (*.mha, or **/* for all of them),
the value in a JSON file (@limit.json), or always the same value (0.5)."""


def _ask_for_source(socket: Socket, proposed: Source) -> Source:
    """Ask what a socket gets: a glob, @FILE or a value."""
    question = f"{socket.slug} ({printable_name(socket.kind)}) gets"
    return _ask(question, first_config.source, first_config.shown(proposed))


def _pick(question: str, lines: Sequence[str], names: Sequence[str] = ()) -> int:
    """Show numbered lines; return the index of the one that is named by number, or by name."""
    for number, line in enumerate(lines, 1):
        _say(f"{number:4}  {line}")

    def index(answer: str) -> int:
        if answer in names:
            return names.index(answer)
        if not answer.isascii() or not answer.isdigit() or not 1 <= int(answer) <= len(lines):
            raise Misused(f"{answer} is none of them.")
        return int(answer) - 1

    return _ask(question, index, None)


def _proposed(question: str, proposal: str, *, asking: bool) -> str:
    return _ask(question, str, proposal) if asking else proposal


def _ask(question: str, read: Callable[[str], T], proposal: str | None) -> T:
    """Ask until the answer can be read."""

    def proc(answer: str) -> T:
        try:
            return read(answer)
        except Misused as error:
            raise typer.BadParameter(str(error)) from error

    found: T = _prompt(question, default=proposal, value_proc=proc)
    return found


def _prompt(question: str, **how: Any) -> Any:
    # Even with err=True a blank of the question goes to standard output.
    with redirect_stdout(sys.stderr):
        return typer.prompt(question, err=True, **how)


def _say(words: str) -> None:
    """Tell people; standard output is for the two commands."""
    typer.echo(words, err=True)
