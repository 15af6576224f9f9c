"""Runs one program, inside the sealed child. Nothing here is trusted once the program has started.

The request is one line of JSON. The reply begins with the byte `S`: sealed, the request is read, and nothing of the
program has run yet. What follows depends on the request:

pairs: one line for each input, {"n": 0, "r": tree} or {"n": 0, "e": [exception, message]}; n = -1: it did not load.
stdio: the program's input and output are the stream; one line, {"n": 0, "x": exit code} or {"n": 0, "e": ...}.
serve: {"ok": names} or {"e": ...}, then one answer to each request of the judge (judge.py).
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import io
import os
import random
import sys
import threading
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clarify_rl.executor.codec import LONGEST_REQUEST, Tree, decode, encode, opaque_in
from clarify_rl.executor.fork_server.lines import Channel
from clarify_rl.executor.fork_server.objects import Incoming, Outgoing

SEALED = b"S"
MODULE = "solution"
PLACEHOLDER = "candidate"
LONGEST_MESSAGE = 300


def run_candidate(channel: int, stream: int | None, output_bytes: int) -> None:
    """Reads the request, runs the program and writes its results."""
    link = Channel(channel)
    request = link.receive(LONGEST_REQUEST)
    assert isinstance(request, dict)
    random.seed(0)
    link.write(SEALED)
    match request["mode"]:
        case "pairs":
            run_pairs(link, request, output_bytes)
        case "stdio":
            assert stream is not None
            _run_stdio(link, stream, str(request["program"]))
        case "serve":
            _Served(link, output_bytes).run(request)


def run_pairs(link: Channel, request: dict[str, Tree], output_bytes: int) -> None:
    """Loads the program and writes the outcome of each call."""
    inputs, printed = request["inputs"], request["printed"]
    assert isinstance(inputs, list)
    outbox = _Outbox(link, output_bytes)
    try:
        function = loaded(request).function()
    except BaseException as error:
        outbox.send(-1, {"e": raised(error)})
        return
    for number, arguments in enumerate(inputs):
        outbox.send(number, _call(function, arguments, bool(printed), outbox.left))


class _Outbox:
    """Writes lines until the output limit is used up; after that, results are replaced by a short note."""

    def __init__(self, link: Channel, output_bytes: int) -> None:
        self.link = link
        self.left = output_bytes

    def send(self, number: int, outcome: dict[str, Tree]) -> None:
        self.left = max(0, self.left - self.link.send({"n": number, **outcome}))


@dataclass(frozen=True)
class LoadedProgram:
    """A program that has run as a module. `given` are names that it did not bind itself: those of its prelude."""

    module: types.ModuleType
    entry_point: str
    given: frozenset[str]

    def function(self) -> Callable[..., object]:
        """What the entry point names: a function, or an expression such as `Solution().twoSum`.

        Prompts often rename what they ask for, so where a name is not bound, `candidate` may be, or the program's only
        function is meant. Found among what the program really bound, however it did that.
        """
        names = self.module.__dict__
        if not self.entry_point.isidentifier():
            function: object = eval(self.entry_point, names)
        else:
            name = next((name for name in (self.entry_point, PLACEHOLDER) if name in names), None)
            function = names[name] if name else self.only_function()
        if callable(function):
            return function
        what = "not defined" if function is None else f"a {type(function).__name__}, not callable"
        raise NameError(f"entry point {self.entry_point!r} is {what}")

    def only_function(self) -> object:
        """The one function that the program defines, under whatever name; None if it defines none or several."""
        own = {
            id(value): value
            for name, value in self.module.__dict__.items()
            if name not in self.given and isinstance(value, types.FunctionType) and value.__module__ == MODULE
        }
        return own.popitem()[1] if len(own) == 1 else None


def loaded(request: Mapping[str, Tree]) -> LoadedProgram:
    """The program as a module of its own, so that dataclasses and pickling find their names."""
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module
    for text in (str(request["prelude"]), str(request["program"])):
        given = frozenset(module.__dict__)
        if text:
            exec(compile(text, f"<{MODULE}>", "exec", dont_inherit=True), module.__dict__)
    return LoadedProgram(module, str(request["entry_point"]), given)


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
        return {"e": raised(error)}


def raised(error: BaseException) -> list[Tree]:
    """The exception's name, with its module unless it is a builtin, and its message."""
    try:
        cls = type(error)
        name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
        return [f"{name}"[:LONGEST_MESSAGE], f"{error}"[:LONGEST_MESSAGE]]
    except BaseException:
        return ["Exception", "an exception that cannot be described"]


def _run_stdio(link: Channel, stream: int, program: str) -> None:
    """Runs a program that reads its input and prints: descriptors 0 and 1 are the stream, as in a shell."""
    os.dup2(stream, 0)
    os.dup2(stream, 1)
    os.close(stream)
    sys.stdin = sys.__stdin__ = _opened(0, "r", "<stdin>")  # type: ignore[misc]  # final in the stubs only
    sys.stdout = sys.__stdout__ = _opened(1, "w", "<stdout>")  # type: ignore[misc]  # the same
    try:
        code = _exit_code(compile(program, "<program>", "exec", dont_inherit=True))
        _finalize()
    except BaseException as error:
        link.send({"n": 0, "e": raised(error)})
    else:
        link.send({"n": 0, "x": code})


def _opened(descriptor: int, mode: str, name: str) -> io.TextIOWrapper:
    """A standard stream as an interpreter opens it."""
    buffer: Any = open(descriptor, mode + "b")  # noqa: SIM115 # Any: its raw file may be renamed; it stays open
    buffer.raw.name = name
    text: Any = io.TextIOWrapper(buffer, encoding="utf-8", errors="surrogateescape")  # Any: takes a mode
    text.mode = mode
    opened: io.TextIOWrapper = text
    return opened


def _exit_code(program: types.CodeType) -> int:
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        exec(program, module.__dict__)
    except SystemExit as error:
        return 0 if error.code in (None, 0) else 1
    return 0


def _finalize() -> None:
    """What an interpreter does at its end: joins threads, runs exit functions, flushes, and lets go of all objects."""
    threading._shutdown()  # type: ignore[attr-defined]  # not in the stubs
    atexit._run_exitfuncs()
    outputs = (sys.stdout, sys.__stdout__)
    _flush(outputs)
    del sys.modules["__main__"]
    gc.collect()  # runs finalizers, which still find their names, and closes files
    _flush(outputs)


def _flush(outputs: Iterable[Any]) -> None:  # Any: whatever a program puts in the place of its output
    for output in outputs:
        with contextlib.suppress(ValueError, AttributeError):  # closed already, or replaced by something else
            output.flush()


class _Served:
    """Answers a judge: calls what it names, and keeps what is not plain data here, under a number."""

    def __init__(self, link: Channel, output_bytes: int) -> None:
        self.link = link
        self.output_bytes = output_bytes
        self.kept: list[object] = []

    def run(self, request: dict[str, Tree]) -> None:
        try:
            program = loaded(request)
            self.kept.append(program.function())
        except BaseException as error:
            self.link.send({"e": raised(error)})
            return
        module = program.module
        self.link.send({"ok": [name for name in module.__dict__ if not name.startswith("__")]})
        while True:
            asked = self.link.receive(LONGEST_REQUEST)
            assert isinstance(asked, dict)
            try:
                answer = self.answer(asked, module)
            except BaseException as error:
                answer = {"e": _builtin_raised(error)}
            self.link.send(answer)

    def answer(self, request: dict[str, Tree], module: types.ModuleType) -> dict[str, Tree]:
        match request:
            case {"name": str(name)}:
                return {"r": self.encode(module.__dict__[name])}
            case {"get": str(name), "of": int(number)}:
                return {"r": self.encode(getattr(self.kept[number], name))}
            case {"set": str(name), "of": int(number), "to": tree}:
                setattr(self.kept[number], name, self.decode(tree))
                return {"r": None}
            case {"call": int(number), "a": arguments, "k": keywords, "o": table, "c": [*names]}:
                classes = {str(name): module.__dict__.get(str(name)) for name in names}
                return self.call(number, arguments, keywords, Incoming(table, classes), classes)
        raise ValueError("not a request")

    def call(
        self, number: int, arguments: Tree, keywords: Tree, objects: Incoming, classes: Mapping[str, object]
    ) -> dict[str, Tree]:
        """Calls what is kept under a number. `objects` came with the arguments; `classes` are those that may cross."""

        def decoded(tree: Tree) -> object:
            return decode(tree, lambda body: self.kept_or_built(body, objects))

        def name_of(value: object) -> str | None:
            name = type(value).__name__
            return name if classes.get(name) is type(value) else None

        objects.fill(decoded)
        values, named = decoded(arguments), decoded(keywords)
        assert isinstance(values, list) and isinstance(named, dict)
        function = self.kept[number]
        assert callable(function)
        outgoing = Outgoing(name_of, self.keep, objects.built)
        encoded = functools.partial(encode, max_bytes=self.output_bytes, other=outgoing.reference)
        answer: dict[str, Tree] = {"r": encoded(function(*values, **named))}
        whole = functools.partial(encoded, max_bytes=LONGEST_REQUEST)  # arguments may be longer than results
        if whole([values, named]) != [arguments, keywords]:  # the judge's own arguments change with the program's
            answer["m"] = encoded([values, named])
        return {**answer, "o": outgoing.table(whole, objects.rows)}

    def kept_or_built(self, body: Tree, objects: Incoming) -> object:
        return self.kept[body] if isinstance(body, int) else objects.get(body)

    def encode(self, value: object) -> Tree:
        return encode(value, self.output_bytes, self.keep)

    def decode(self, tree: Tree) -> object:
        return decode(tree, lambda number: self.kept[number])  # type: ignore[index]  # the judge sends int

    def keep(self, value: object) -> Tree:
        for number, known in enumerate(self.kept):
            if known is value:
                return {"h": number}
        self.kept.append(value)
        return {"h": len(self.kept) - 1}


def _builtin_raised(error: BaseException) -> list[Tree]:
    """The nearest builtin exception's name, which is what a test can catch, and the message."""
    name = next((base.__name__ for base in type(error).__mro__ if base.__module__ == "builtins"), "Exception")
    return [name, raised(error)[1]]
