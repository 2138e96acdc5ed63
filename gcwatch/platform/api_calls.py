"""Calls of the platform's REST API: their URLs, whose objects they see, and lists page by page."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from gcwatch.core.errors import Refused, TokenRefused
from gcwatch.platform.http import Http
from gcwatch.platform.models import Answer, Page, Profile, read_answer, wrong_answer

PAGE_ITEMS: Final = 100
_MOST_PAGES: Final = 10_000
"""A million items: no list that gcwatch reads is longer."""
_MOST_GROWTH_ITEMS: Final = 10_000
"""No list grows by more while it is read."""
LIST_SECONDS: Final = 3600.0
"""A list of 100,000 items takes some minutes; one whose pages drip must not hold a worker."""
ANONYMOUS_NAME = "AnonymousUser"
"""The user name that the platform gives to requests without a token."""


class ApiCalls:
    """Calls with the token of one account; each may raise what `Http.call` raises."""

    def __init__(self, http: Http) -> None:
        self.http = http

    @property
    def home(self) -> str:
        """The root of the platform's API, with a slash at its end."""
        return self.http.home

    @property
    def site(self) -> str:
        """The root of the platform's pages for people, without a slash at its end."""
        parts = urlsplit(self.home)
        return f"{parts.scheme}://{parts.netloc}"

    def close(self) -> None:
        """Close all connections."""
        self.http.close()

    def me(self) -> str:
        """Return the user name of this token; raise TokenRefused if the platform sees no token."""
        answer = self.http.call("GET", self._api_url("profiles/users/self/"))
        profile = read_answer(Profile, answer)
        if profile.user.username == ANONYMOUS_NAME:
            raise TokenRefused(ANONYMOUS_NAME)
        return profile.user.username

    def _api_url(self, path: str) -> str:
        return self.home + path

    def _own_url(self, url: str) -> str:
        """Given an API URL, return it with our own host."""
        # A host in an answer is never used: the token must not go to another server.
        marker = "/api/v1/"
        return self._api_url(url.partition(marker)[2]) if marker in url else self._api_url(url)

    def _call_as_known(self, method: str, url: str, body: Any = None) -> Any:
        """Make an API call; raise TokenRefused instead of Refused if the platform sees no token.

        Without the token's header a request is anonymous, and all our objects seem not to exist
        (platform 1.3). That is a problem of the token, not of the case.
        """
        try:
            return self.http.call(method, url, body)
        except Refused as error:
            if error.status in {403, 404}:
                self.me()
            raise

    def _get_json(self, path: str) -> Any:
        return self._call_as_known("GET", self._api_url(path))

    def _post_json(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._call_as_known("POST", self._api_url(path), body)

    def _iterate_answers(
        self, kind: type[Answer], path: str, query: Mapping[str, str], offset: int = 0
    ) -> Iterator[Answer]:
        """Return all objects of a list, page by page; the URL in `next` is not used."""
        for page in self._iterate_pages(kind, path, query, offset):
            yield from page.results

    def _iterate_pages(
        self,
        kind: type[Answer],
        path: str,
        query: Mapping[str, str],
        offset: int = 0,
        size: int = PAGE_ITEMS,
    ) -> Iterator[Page[Answer]]:
        """Yield the pages of a list; raise Unreachable if one comes again, or they have no end."""
        seen: set[int] = set()
        first_count, late = None, time.monotonic() + LIST_SECONDS
        while True:
            window = urlencode({**query, "limit": size, "offset": offset})
            page: Page[Answer] = read_answer(
                Page[kind],  # type: ignore[valid-type]
                self._get_json(f"{path}?{window}"),
            )
            first_count = page.count if first_count is None else first_count
            # A server that ignores the offset would be asked without end.
            looks = hash(repr(page.results))
            if page.results and (looks in seen or len(seen) == _MOST_PAGES):
                raise wrong_answer(
                    f"GET {path}", "a list whose pages come again, or without an end"
                )
            if page.count > first_count + _MOST_GROWTH_ITEMS:
                raise wrong_answer(f"GET {path}", "a list that grows while it is read")
            if time.monotonic() > late:
                raise wrong_answer(f"GET {path}", f"a list that takes more than {LIST_SECONDS} s")
            yield page
            seen.add(looks)
            offset += len(page.results)
            if not page.results or offset >= page.count:
                return
