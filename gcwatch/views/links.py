"""Links on a terminal: never cut, and one click away where the terminal knows links (OSC 8)."""

import os
import re
import textwrap
from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.style import Style
from rich.text import Text

from gcwatch.core.text import printable_name
from gcwatch.wording.case_view import CaseView

_VARIABLES: Final = (
    *("ALACRITTY_WINDOW_ID", "DOMTERM", "GHOSTTY_RESOURCES_DIR", "KITTY_WINDOW_ID"),
    *("KONSOLE_VERSION", "TERMINUS_SUBLIME", "WEZTERM_PANE", "WT_SESSION"),
)
"""Each is set by a terminal that knows links, and by no other."""

_PROGRAMS: Final = ("Hyper", "Tabby", "WarpTerminal", "WezTerm", "ghostty", "iTerm.app", "vscode")
"""What such terminals write into $TERM_PROGRAM."""

_TERMS: Final = ("alacritty", "contour", "foot", "xterm-ghostty", "xterm-kitty")
"""How their $TERM begins."""

_URL: Final = re.compile(r"https?://[^\s,;)]+(?<![.])")

_FIRST_VTE: Final = 5000
"""$VTE_VERSION of the first GNOME Terminal, Tilix … with links."""


def knows_links(screen: Console, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a console's terminal shows OSC 8 links; $FORCE_HYPERLINK decides if it is set."""
    if not screen.is_terminal:
        return False
    if forced := environment.get("FORCE_HYPERLINK"):
        return forced != "0"
    if "TMUX" in environment or environment.get("TERM", "").startswith(("screen", "dumb")):
        return False  # they would have to hand the links on
    vte = environment.get("VTE_VERSION", "")
    return (
        any(environment.get(name) for name in _VARIABLES)
        or environment.get("TERM_PROGRAM") in _PROGRAMS
        or environment.get("TERM", "").startswith(_TERMS)
        or (vte.isdecimal() and int(vte) >= _FIRST_VTE)
    )


def whole_line(fact: str, *, before: str = "", clickable: bool = False) -> Text:
    """Given a link or a path, return a line with it that is as long as it needs to be.

    Print it with `crop=False`: the terminal wraps it, and a copied link stays whole.
    """
    style = link_style(fact) if clickable else Style()
    shown = (printable_name(fact), style)
    return Text.assemble(before, shown, no_wrap=True, overflow="ignore")


def whole_words(sentence: str, screen: Console) -> Text:
    """Return a sentence in lines of a console's width; a link in it that is longer stays whole."""
    lines = textwrap.wrap(sentence, screen.width, break_long_words=False, break_on_hyphens=False)
    return Text("\n".join(lines), no_wrap=True, overflow="ignore")


def links_of(view: CaseView) -> list[str]:
    """Return the links of a case: its page, and those that its sentences name."""
    told = _URL.findall(" ".join((view.detail, *view.warnings)))
    return [*dict.fromkeys([view.link] * bool(view.link) + told)]


def link_style(url: str) -> Style:
    """Return the style that makes a text a link to a page."""
    # The platform names the address: a terminal opens other schemes with other programs.
    return Style(link=url) if url.startswith(("https://", "http://")) else Style()
