"""`init`: the command that writes a first config file, from questions or from options."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from gcwatch.cli.errors import Misused
from gcwatch.cli.options import CaBundle, Config, TokenFile, Url, by_socket, chosen, flag, sockets
from gcwatch.cli.verbs.preview import code_of
from gcwatch.commands import first_config, systemd_unit
from gcwatch.commands.existing_config import ExistingConfig, read_existing
from gcwatch.commands.first_config import Choices, Kind
from gcwatch.commands.systemd_unit import Unit
from gcwatch.config import Platform, Settings, Source
from gcwatch.config import find as find_config
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
        str | None, _slug("--reader-study", "Add cases to this reader study.")
    ] = None,
    archive: Annotated[str | None, _slug("--archive", "Add cases to this archive.")] = None,
    mirror: Annotated[str | None, _slug("--mirror", "Mirror this archive into a folder.")] = None,
    answers: Annotated[
        str | None, _slug("--answers", "Mirror the answers of this reader study into a folder.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the route or mirror; else the slug.")
    ] = None,
    inbox: Annotated[Path | None, _folder("--inbox", "Folder to watch; else NAME/in.")] = None,
    source: Annotated[
        str, _slug("--source", "With --algorithm: take the items of this archive, not an inbox.")
    ] = "",
    outbox: Annotated[
        Path | None, _folder("--outbox", "Folder for results; else NAME/out.")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        sockets("a JSON file of each folder"),
    ] = None,
    settle: Annotated[
        str, typer.Option(metavar="DURATION", help="How long a folder must stay unchanged.")
    ] = "",
    poll: Annotated[
        str, typer.Option(metavar="DURATION", help="How often to poll jobs, or the archive.")
    ] = "",
    url: Url = None,
    token_file: TokenFile = None,
    ca_bundle: CaBundle = None,
    proxy: Annotated[str | None, typer.Option(metavar="URL", help="Proxy to the platform.")] = None,
    state: Annotated[Path | None, _folder("--state", "Folder for the journal.")] = None,
    yes: Annotated[bool, flag("--yes", "Ask nothing; use the proposed answers.")] = False,
    force: Annotated[bool, flag("--force", "Replace a config file that exists already.")] = False,
    add: Annotated[
        bool, flag("--add", "Add a route or mirror to the config file; the rest stays as it is.")
    ] = False,
) -> None:
    """Write a config file and make its folders; on a terminal, ask for what is not given.

    With --add the file exists already: its text stays, comments too, and one route or mirror is
    appended.

    It lists what the token can see. The config is written only if the platform accepts the token,
    and the token may use the target, and the target takes the inputs. Run it as the user that will
    run gcwatch. For the service, run it as root with --config /etc/gcwatch/gcwatch.toml: the
    folders then belong to the service's user, the token to root. It prints the next two commands.

    Exit codes: 0 written, 64 an option is missing or the file exists already, 69 the platform
    could not be reached, 77 the token was refused, 78 the choices do not fit together.
    """
    options = {"url": url, "ca_bundle": ca_bundle, "proxy": proxy}
    if add:
        _refuse_beside_add({**options, "token_file": token_file, "state": state, "force": force})
        existing = read_existing(find_config(chosen(context, config)).expanduser().absolute())
        home = _Home(existing.settings.file, existing.settings.state, existing)
    else:
        home = _Home(_file(chosen(context, config)), state)
        first_config.require_free(home.file, force=force)
    if home.unit:
        systemd_unit.user_and_group()
    asking = sys.stdin.isatty() and not yes
    targets: dict[Kind, str | None] = {
        "algorithm": algorithm,
        "reader_study": reader_study,
        "archive": archive,
        "mirror": mirror,
        "answers": answers,
    }
    given = _given(targets, asking=asking)
    if given and given[0] in first_config.MIRRORED and (inbox or inputs):
        raise Misused("A mirror has no inbox and no inputs.", "Remove --inbox and --input.")
    if source and (algorithm is None or inbox or settle):
        message = "--source is for an algorithm, and in place of an inbox."
        raise Misused(message, "Name --algorithm, and remove --inbox and --settle.")
    platform = home.platform(options, token_file, asking=asking)
    with _connected(home.settings(platform)) as there:
        kind, slug = given or _target(there)
        name = name or _proposed("Name", home.free_name(slug), asking=asking)
        has_inbox = kind not in first_config.MIRRORED and not source
        choices = Choices(
            file=home.file,
            state=home.state,
            platform=home.written(platform),
            kind=kind,
            slug=slug,
            name=name,
            inbox=home.folder("Inbox", inbox, f"{name}/in", asking=asking) if has_inbox else None,
            source=source,
            outbox=home.folder("Outbox", outbox, f"{name}/out", asking=asking),
            inputs=_chosen_inputs(there, kind, slug, inputs, source=source, asking=asking),
            settle=settle,
            poll=poll,
            unit=home.unit,
            existing=home.existing,
        )
    _write(choices, platform, asking=asking)


def _write(choices: Choices, platform: Platform, *, asking: bool) -> None:
    """Check the choices, write the config and its folders, and print the next commands."""
    if wrong := first_config.findings(choices, platform):
        console(stderr=True).print(findings_table(wrong))
        raise typer.Exit(code_of(wrong))
    if asking:
        _say(f"\n{first_config.text(choices)}")
        with redirect_stdout(sys.stderr):
            verb = "Add this to" if choices.existing else "Write"
            typer.confirm(f"{verb} {choices.file}?", default=True, abort=True, err=True)
    for folder in first_config.write_config(choices):
        _say(f"Made {printable_name(str(folder))}")
    done = "Added it to" if choices.existing else "Wrote"
    _say(f"{done} {printable_name(str(choices.file))}")
    if choices.unit and not choices.unit.reaches(choices.folders):
        _say(f"The service needs a drop-in for these folders: see {_SERVICE_PAGE}, Folders.")
    _say("Next:")
    for command in first_config.next_commands(choices):
        typer.echo(command)


def _refuse_beside_add(given: Mapping[str, Any]) -> None:
    """Raise Misused if an option says what the existing config has already."""
    used = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if used:
        message = f"{used[0]} does not go with --add: the config file has it already."
        raise Misused(message, f"Remove {', '.join(used)}; to change it, edit the file.")


# --- places and the token ------------------------------------------------------------------------

_URL = Platform().url
_SERVICE_PAGE = "docs/service.md"


def _file(named: Path | None) -> Path:
    return (named or Path("gcwatch.toml")).expanduser().absolute()


@dataclass(frozen=True)
class _Home:
    """Where the token, the state and the folders of a config file are, unless options say."""

    file: Path
    given_state: Path | None
    existing: ExistingConfig | None = None

    @property
    def unit(self) -> Unit | None:
        return systemd_unit.service_of(self.file)

    @property
    def token(self) -> Path:
        return self.unit.token if self.unit else self.file.parent / "token"

    @property
    def state(self) -> Path:
        usual = self.unit.state if self.unit else self.file.parent / "state"
        return (self.given_state or usual).expanduser().absolute()

    def folder(self, what: str, given: Path | None, usual: str, *, asking: bool) -> Path:
        """Return a folder for cases: from its option, from an answer, or as proposed."""
        base = systemd_unit.CASES if self.unit else self.file.parent
        path = given or Path(_proposed(what, str(base / usual), asking=asking))
        return path.expanduser().absolute()

    def free_name(self, slug: str) -> str:
        """Return a name for the route or mirror of a target that no other one has."""
        name = first_config.name_of(slug)
        return self.existing.free_name(name) if self.existing else name

    def settings(self, platform: Platform) -> Settings:
        return Settings(file=self.file, state=self.state, platform=platform)

    def platform(
        self, keys: Mapping[str, Any], token_file: Path | None, *, asking: bool
    ) -> Platform:
        """Return the platform with its token file; ask for a token if there is no file."""
        if self.existing:
            return self._platform_of(self.existing.settings.platform)
        if keys["url"] is None and asking:
            read = lambda text: first_config.platform_of(url=text).url  # noqa: E731 -- one use
            keys = {**keys, "url": _ask("URL of the platform's API", read, _URL)}
        file = (token_file or self.token).expanduser().absolute()
        bare = first_config.platform_of(**keys)
        if asking and not file.exists():
            _ask_for_token(self.settings(bare), file)
        named = file if token_file or file.exists() else None
        return first_config.platform_of(**keys, token_file=named)

    def _platform_of(self, platform: Platform) -> Platform:
        """Return an existing config's platform; a service's token is its credential's file."""
        if self.unit and platform.token_file is None and self.unit.token.exists():
            return platform.model_copy(update={"token_file": self.unit.token})
        return platform

    def written(self, platform: Platform) -> Platform:
        """Return the platform as the config has it: a service gets its token as a credential."""
        if self.unit and platform.token_file == self.unit.token:
            return platform.model_copy(update={"token_file": None})
        return platform


def _ask_for_token(settings: Settings, file: Path) -> None:
    """Ask for the token, without showing it, until the platform accepts one; save it in a file."""
    _say(f"You can make a token at {_TOKENS}")
    while True:
        entered = _prompt("Token (not shown)", hide_input=True)
        try:
            owner = first_config.token_owner(settings, entered)
        except (TokenRefused, Misused):
            _say("The platform does not take this token.")
        else:
            first_config.save_token(file, entered)
            _say(f"The token belongs to {printable_name(owner)}.")
            _say(f"Saved in {printable_name(str(file))}, readable by you alone.")
            return


@contextmanager
def _connected(settings: Settings) -> Iterator[GrandChallenge]:
    platform = CachingGrandChallenge(connect(settings))
    with closing(platform):
        yield platform


# --- what is asked -------------------------------------------------------------------------------


def _given(targets: Mapping[Kind, str | None], *, asking: bool) -> tuple[Kind, str] | None:
    """Return the target that the options name, if they name one."""
    given = [(kind, slug) for kind, slug in targets.items() if slug is not None]
    if len(given) > 1 or (not given and not asking):
        options = "--algorithm, --reader-study, --archive, --mirror or --answers"
        message = f"One target is needed: {options}."
        raise Misused(message, "On a terminal, without --yes, gcwatch init asks.")
    return given[0] if given else None


_QUESTIONS: Mapping[Kind, str] = {
    "algorithm": "Which algorithm?",
    "reader_study": "Which reader study?",
    "archive": "Which archive?",
    "mirror": "Which archive?",
    "answers": "Which reader study?",
}


def _target(platform: GrandChallenge) -> tuple[Kind, str]:
    kinds = list(first_config.KINDS)
    kind = kinds[_pick("What do you want to do?", list(first_config.KINDS.values()))]
    offers = first_config.offers(platform, kind)
    if not offers:
        raise Misused("The token can see none of these.", "Ask the platform's editors for access.")
    lines = [f"{each.slug}{_remarks(each)}" for each in offers]
    return kind, offers[_pick(_QUESTIONS[kind], lines, [each.slug for each in offers])].slug


def _remarks(offer: first_config.Offer) -> str:
    title = f" ({printable_name(offer.title)})" if offer.title else ""
    return title + " - this token may not use it" * (offer.usable is False)


def _sources(given: Sequence[str]) -> dict[str, Source]:
    return {socket: first_config.read_source(what) for socket, what in by_socket(given)}


def _chosen_inputs(
    platform: GrandChallenge,
    kind: Kind,
    slug: str,
    given: Sequence[str] | None,
    *,
    source: str,
    asking: bool,
) -> dict[str, Source]:
    """Return the source of each socket; an item of an archive fills the sockets of its names."""
    if given:
        return _sources(given)
    return {} if source else _inputs(platform, kind, slug, asking=asking)


def _inputs(platform: GrandChallenge, kind: Kind, slug: str, *, asking: bool) -> dict[str, Source]:
    """Return the source of each socket: from answers, or as proposed."""
    if kind == "algorithm":
        return _inputs_of(platform, slug, asking=asking)
    if kind in first_config.MIRRORED:
        return {}
    if asking:
        return _sockets(platform)
    message = "A reader study or archive needs inputs: which sockets to fill, and with what."
    raise Misused(message, 'For example: --input "ct-image=**/*.dcm"')


def _inputs_of(platform: GrandChallenge, slug: str, *, asking: bool) -> dict[str, Source]:
    known = first_config.interfaces(platform, slug)
    if not known:
        return {}
    names = [" + ".join(socket.slug for socket in each.inputs) for each in known]
    chosen = known[_pick("Which set of inputs?", names) if asking and known[1:] else 0]
    proposed = first_config.propose_sources(chosen)
    if not asking:
        return proposed
    _say(_SOURCES)
    return {each.slug: _ask_for_source(each, proposed[each.slug]) for each in chosen.inputs}


def _sockets(platform: GrandChallenge) -> dict[str, Source]:
    found: dict[str, Source] = {}
    _say(_SOURCES)
    while True:
        say = "Next socket to fill (empty: done)" if found else "Socket to fill, such as ct-image"
        slug = _prompt(say, default="" if found else None, show_default=False)
        if not slug:
            return found
        socket = platform.socket(slug)
        if socket is None:
            _say("There is no such socket.")
        else:
            found[slug] = _ask_for_source(socket, first_config.propose_source(socket))


_SOURCES = """\
Each input takes from a folder either the files that match a glob (*.mha, or **/* for all files),
or the value in a JSON file (@limit.json), or it always has the same value (0.5)."""


def _ask_for_source(socket: Socket, proposed: Source) -> Source:
    """Ask for the source of a socket: a glob, @FILE or a value."""
    question = f"Source of {socket.slug} ({printable_name(socket.kind)})"
    return _ask(question, first_config.read_source, first_config.source_text(proposed))


def _pick(question: str, lines: Sequence[str], names: Sequence[str] = ()) -> int:
    """Show numbered lines; return the index of the one that is chosen, by number or by name."""
    for number, line in enumerate(lines, 1):
        _say(f"{number:4}  {line}")

    def index(answer: str) -> int:
        if answer in names:
            return names.index(answer)
        if not answer.isascii() or not answer.isdigit() or not 1 <= int(answer) <= len(lines):
            raise Misused(f"{answer} is not in the list.")
        return int(answer) - 1

    return _ask(question, index, None)


def _proposed(question: str, proposal: str, *, asking: bool) -> str:
    return _ask(question, str, proposal) if asking else proposal


def _ask(question: str, read: Callable[[str], T], proposal: str | None) -> T:
    """Ask until the answer is valid."""

    def proc(answer: str) -> T:
        try:
            return read(answer)
        except Misused as error:
            raise typer.BadParameter(str(error)) from error

    found: T = _prompt(question, default=proposal, value_proc=proc)
    return found


def _prompt(question: str, **how: Any) -> Any:
    # Even with err=True, Typer writes a blank of the question to standard output.
    suffix = " " if question.endswith("?") else ": "
    with redirect_stdout(sys.stderr):
        return typer.prompt(question, err=True, prompt_suffix=suffix, **how)


def _say(words: str) -> None:
    """Print for people; standard output is for the two commands."""
    typer.echo(words, err=True)
