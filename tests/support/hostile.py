"""A sandbox whose answers are made wrong on their way out."""

import json
from contextlib import contextmanager
from dataclasses import replace

HUGE = 10**30


def each_value(change):
    """A mutation of all values in an answer, however deep: `change` returns what stands instead."""

    def change_all(value):
        match value:
            case dict():
                value = {key: change_all(item) for key, item in value.items()}
            case list():
                value = [change_all(item) for item in value]
        return change(value)

    return lambda told: {key: change_all(item) for key, item in told.items()}


def instead(kind, other):
    """A mutation that puts something else in place of all values of a kind."""
    return each_value(lambda value: other if type(value) is kind else value)


WRONG_VALUES = {
    "texts are numbers": instead(str, 7),
    "texts are null": instead(str, None),
    "texts are empty": instead(str, ""),
    "texts are long": instead(str, "x" * 200_000),
    "texts have control characters": instead(str, "a\x1b[2J\x00b\n"),
    "texts are paths": instead(str, "../../../../etc/passwd"),
    "numbers are huge": instead(int, HUGE),
    "numbers are negative": instead(int, -1),
    "numbers are infinite": instead(int, float("inf")),
    "numbers are no numbers": instead(int, float("nan")),
    "numbers are texts": instead(int, "many"),
    "lists are null": instead(list, None),
    "lists hold null": instead(list, [None]),
    "lists hold lists": instead(list, [[[]]]),
    "lists are empty": instead(list, []),
    "objects are lists": each_value(lambda value: [value] if isinstance(value, dict) else value),
    "nothing is left": lambda _told: {},
    "all is null": dict.fromkeys,
}
"""Mutations of an answer's JSON."""

WRONG_BODIES = {
    "maintenance": b'{"detail": "maintenance"}',
    "a list": b"[]",
    "null": b"null",
    "a number": b"1e999",
    "a text": b'"ok"',
    "half": b'{"count": 3, "resul',
    "nothing": b"",
    "a page": b"<html>Please log in to the hospital's proxy</html>",
    "deep": b"[" * 100_000,
    "surrogates": b'{"detail": "\\ud800"}',
    "UTF-16": '{"detail": "x"}'.encode("utf-16"),
    "digits": b'{"count": ' + b"9" * 10_000 + b"}",
}
"""Bodies in place of an answer with its status."""

WRONG_REPLIES = {
    "elsewhere": (302, {"Location": "http://storage.example/"}),
    "no address": (302, {"Location": "https://[::1"}),
    "in a circle": (308, {"Location": "/"}),
    "no content": (204, {}),
    "unknown": (299, {}),
    "not found": (404, {}),
    "forbidden": (403, {}),
    "teapot": (418, {}),
    "busy for a year": (429, {"Retry-After": "31536000"}),
    "busy until an epoch": (429, {"Retry-After": "1795400000"}),
    "busy without end": (429, {"Retry-After": "9" * 4000}),
    "busy for no time": (429, {"Retry-After": "0"}),
    "busy for nobody knows": (429, {"Retry-After": "\u00b2"}),
    "broken": (500, {}),
    "compressed": (200, {"Content-Encoding": "gzip"}),
}
"""Statuses and headers in place of those of an answer."""


def all_mutations():
    """Every mutation by its name: it takes a reply of the sandbox and returns another."""
    found = {f"values: {name}": _with_values(each) for name, each in WRONG_VALUES.items()}
    found |= {f"body: {name}": _with_body(each) for name, each in WRONG_BODIES.items()}
    return found | {f"reply: {name}": _with_head(*each) for name, each in WRONG_REPLIES.items()}


def _with_values(change):
    def mutate(reply):
        told = json.loads(reply.body) if reply.body[:1] == b"{" else {}
        return replace(reply, body=json.dumps(change(told)).encode())

    return mutate


def _with_body(body):
    return lambda reply: replace(reply, body=body, file=None)


def _with_head(status, headers):
    return lambda reply: replace(reply, status=status, headers={**reply.headers, **headers})


@contextmanager
def hostile(sandbox, mutate, matches=lambda _call: True):
    """Let each reply to a call that *matches* pass through *mutate* while the block lasts."""
    traffic = sandbox._traffic
    usual = traffic._reply_with_faults

    def reply(faults, cleared, call, request, handler):
        made = usual(faults, cleared, call, request, handler)
        return mutate(made) if made is not None and matches(call) else made

    traffic._reply_with_faults = reply
    try:
        yield
    finally:
        traffic._reply_with_faults = usual
