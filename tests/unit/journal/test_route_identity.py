"""Which routes are the same though they are called otherwise."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcwatch.journal.route_identity import RouteIdentity, renamed_routes


def at(*names, target="algorithm/x"):
    """Routes by name: `a=1` is the route a at the inbox /1."""
    return {
        name: RouteIdentity(Path("/", inbox), target)
        for name, _, inbox in (each.partition("=") for each in names)
    }


@pytest.mark.parametrize(
    ("known", "wanted", "new"),
    [
        (["a=1"], ["a=1"], {}),
        (["a=1"], ["b=1"], {"a": "b"}),
        (["a=1"], ["b=2"], {}),
        (["a=1"], ["a=2"], {}),
        (["a=1", "b=2"], ["b=1", "a=2"], {"a": "b", "b": "a"}),
        (["a=1", "b=2", "c=3"], ["b=1", "c=2", "a=3"], {"a": "b", "b": "c", "c": "a"}),
        (["a=1", "b=2"], ["b=1"], {"a": "b", "b": "b.2"}),
        (["b=1", "b.2=2"], ["a=1", "b=2"], {"b": "a", "b.2": "b"}),
        (["a=1"], ["b=1", "a=2"], {"a": "b"}),
    ],
)
def test_routes_are_found_by_their_inbox(known, wanted, new):
    """Kept, renamed, other, moved, exchanged, in a circle, in another's name, and back."""
    assert renamed_routes(at(*known), at(*wanted)) == new


def test_a_route_with_another_name_and_another_target_is_another_route():
    """It sends what stands in its inbox: nothing of it was ever sent there."""
    assert renamed_routes(at("a=1"), at("b=1", target="archive/x")) == {}


def test_a_route_with_its_name_and_inbox_is_the_same_whatever_its_target():
    """Its cases stay its own though a former route had the target that it has now."""
    known = at("a=1") | at("b=1", target="archive/x")

    assert renamed_routes(known, at("b=1")) == {}


def test_an_inbox_by_another_path_is_the_same_inbox(tmp_path):
    """Links are followed."""
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to("in")

    known = {"a": RouteIdentity(tmp_path / "in", "x")}
    assert renamed_routes(known, {"b": RouteIdentity(tmp_path / "link", "x")}) == {"a": "b"}


NAMES = st.sampled_from("abcd")
ROUTES = st.dictionaries(
    NAMES, st.builds(RouteIdentity, st.sampled_from([Path("/1"), Path("/2"), Path("/3")]), NAMES)
)

CONFIGS = ROUTES.filter(lambda routes: len({each.inbox for each in routes.values()}) == len(routes))
"""No config has two routes with one inbox."""


@given(ROUTES, CONFIGS)
def test_no_two_routes_ever_get_one_name(known, wanted):
    """And whoever is wanted and known, by name and inbox or by place, is called as is wanted."""
    new = renamed_routes(known, wanted)

    after = [new.get(name, name) for name in known]
    assert len(set(after)) == len(after)
    assert not any(
        name in known and place.has_inbox_of(known[name]) and name in new
        for name, place in wanted.items()
    )
    places = [place for name, place in known.items() if name not in wanted]
    for name, place in wanted.items():
        if name not in known and place in places:
            assert name in new.values()
