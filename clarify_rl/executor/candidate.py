"""Runs one program on its inputs, inside the sealed child. Nothing here is trusted once the program has started.

The request is one JSON object, read to its end. The reply is the byte `S` (sealed, nothing of the program has run yet)
and then one line for each input: {"n": 0, "r": tree} or {"n": 0, "e": [exception, message]}. A program that cannot be
loaded gives a single line with n = -1.
"""

from __future__ import annotations

import os
import random
import sys
import types
from collections.abc import Callable

from clarify_rl.executor.codec import Tree, decode, dumps, encode, loads, opaque_in

SEALED = b"S"
MODULE = "solution"
LONGEST_MESSAGE = 300


def run_candidate(channel: int, output_bytes: int) -> None:
    """Reads the request, runs the program and writes its results."""
    request = loads(_read_all(channel))
    assert isinstance(request, dict)
    program, entry_point, inputs = request["program"], request["entry_point"], request["inputs"]
    assert isinstance(program, str) and isinstance(entry_point, str) and isinstance(inputs, list)
    printed = request["compare"] == "printed"
    random.seed(0)
    outbox = _Outbox(channel, output_bytes)
    outbox.write(SEALED)
    try:
        function = _load(program, entry_point)
    except BaseException as error:
        outbox.send(-1, {"e": _raised(error)})
        return
    for number, arguments in enumerate(inputs):
        outbox.send(number, _call(function, arguments, printed, outbox.left))


class _Outbox:
    """Writes lines until the output limit is used up; after that, results are replaced by a short note."""

    def __init__(self, channel: int, output_bytes: int) -> None:
        self.channel = channel
        self.left = output_bytes

    def send(self, number: int, outcome: dict[str, Tree]) -> None:
        line = dumps({"n": number, **outcome})
        if "r" in outcome and len(line) > self.left:
            line = dumps({"n": number, "r": {"o": "value too large"}})
        self.left = max(0, self.left - len(line))
        self.write(line + b"\n")

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.channel, view) :]


def _read_all(channel: int) -> bytes:
    parts = []
    while part := os.read(channel, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _load(program: str, entry_point: str) -> Callable[..., object]:
    """The program's entry point, from a module of its own so that dataclasses and pickling find their names."""
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module
    exec(compile(program, f"<{MODULE}>", "exec"), module.__dict__)
    function: object = module.__dict__.get(entry_point)
    if callable(function):
        return function
    found = "not defined" if function is None else f"a {type(function).__name__}, not callable"
    raise NameError(f"entry point {entry_point!r} is {found}")


def _call(function: Callable[..., object], arguments: Tree, printed: bool, output_bytes: int) -> dict[str, Tree]:
    """One call's outcome. The arguments are built anew, so that changing them changes nothing else."""
    try:
        values = decode(arguments)
        result = function(*values)  # type: ignore[misc]  # the caller sends a tuple
        tree = encode(result, output_bytes)
        if printed and opaque_in(tree) is None:
            tree = encode(str(result), output_bytes)
        return {"r": tree}
    except BaseException as error:
        return {"e": _raised(error)}


def _raised(error: BaseException) -> list[Tree]:
    """The exception's name, with its module unless it is a builtin, and its message."""
    try:
        cls = type(error)
        name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
        return [f"{name}"[:LONGEST_MESSAGE], str(error)[:LONGEST_MESSAGE]]
    except BaseException:
        return ["Exception", "an exception that cannot be described"]
