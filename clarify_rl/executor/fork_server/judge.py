"""Runs tests that are written as assertions, in a sealed process of its own, against a program in another one.

Only plain data crosses between the two, so a test compares builtin values and never the program's own objects. What is
not plain data stays with the program; the test holds a handle on it, which equals nothing.

The reply begins with the byte `S`, then one line for each check, {"n": 0, "m": mark, "d": detail}, and a last one,
{"calls": how many calls the tests made}. {"e": [exception, message]}: the program, or with "setup" the tests' own
setup, did not load. {"lost": true}: the program's process could not be sealed.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import importlib
import os
import random
import sys
import types
from collections.abc import Iterator
from typing import NoReturn, TypeGuard

from clarify_rl.executor.codec import LONGEST_REQUEST, CodecError, Tree, decode, encode
from clarify_rl.executor.fork_server.candidate import SEALED, raised
from clarify_rl.executor.fork_server.lines import Channel
from clarify_rl.executor.fork_server.objects import ForgedError, Incoming, Outgoing

# A test that iterates would take the first two for its own end, and the last for its own failure.
NOT_RAISED = (StopIteration, StopAsyncIteration, AssertionError)


TESTS = "tests"  # the name of the module that the tests are
ENTRY_POINT = 0  # its number among the objects that the program keeps


class CandidateError(Exception):
    """What a test sees when the program raises something that is no builtin exception."""


class CandidateExitError(BaseException):
    """What a test sees when the program ends itself, as by `sys.exit()`: no `except Exception` catches that."""


class CandidateGoneError(BaseException):
    """The program's process ended, or sent what ours never sends. No test can go on, so none may catch it as usual."""


def run_judge(channel: int, candidate: int, output_bytes: int) -> None:
    """Reads the tests, loads the program in the other process, and runs the checks one after the other."""
    caller = Channel(channel)
    request = caller.receive(LONGEST_REQUEST)
    assert isinstance(request, dict)
    random.seed(0)
    link = Channel(candidate)
    link.send({"mode": "serve", **{name: request[name] for name in ("program", "prelude", "entry_point")}})
    if os.read(candidate, 1) != SEALED:
        caller.write(SEALED)
        caller.send({"lost": True})
        return
    caller.write(SEALED)
    remote = Remote(link, output_bytes)
    if failure := remote.load():
        caller.send(failure)
        return
    checks, setup, entry_point = request["checks"], request["setup"], request["entry_point"]
    assert isinstance(checks, list) and isinstance(setup, str) and isinstance(entry_point, str)
    bench = Bench(remote, entry_point)
    unready = bench.set_up(setup)
    if unready is not None:
        caller.send({"e": unready, "setup": True})
        return
    for number, check in enumerate(checks):
        caller.send({"n": number, **bench.run(str(check))})
    caller.send({"calls": remote.calls})


class Remote:
    """The program in the other process."""

    def __init__(self, link: Channel, output_bytes: int) -> None:
        self.link = link
        self.max_bytes = 3 * output_bytes  # a line holds a result, the arguments that the call changed, and objects
        self.calls = 0
        self.gone = ""
        self.defined: set[str] = set()
        self.classes: dict[str, type] = {}  # of the tests' own
        self.handles: dict[int, Handle] = {}

    def load(self) -> dict[str, Tree]:
        """The line for the caller when the program did not load; else {}, and `defined` holds its names.

        The program speaks here, so nothing of what it says is passed on but an exception's two texts.
        """
        try:
            answer = self.receive()
        except CandidateGoneError as error:
            return {"gone": str(error)}
        match answer:
            case {"ok": [*names]}:
                self.defined = set(map(str, names))
                return {}
            case {"e": [str(name), str(message)]}:
                return {"e": [name, message]}
        return {"gone": "it sent what is no answer"}

    def ask(self, request: dict[str, Tree]) -> dict[str, Tree]:
        """The program's answer. Raises what the program raised, and CandidateGoneError when there is no answer."""
        if self.gone:
            raise CandidateGoneError(self.gone)
        try:
            self.link.send(request)
        except OSError:
            self.lose("its process ended")
        answer = self.receive()
        match answer.get("e"):
            case [str(name), str(message)]:
                raise _builtin_exception(name, message)
        if "r" not in answer:
            self.lose("it sent what is no answer")
        return answer

    def receive(self) -> dict[str, Tree]:
        try:
            answer = self.link.receive(self.max_bytes)
        except (EOFError, OSError):
            self.lose("its process ended")
        except CodecError as error:
            self.lose(str(error))
        if not isinstance(answer, dict):
            self.lose("it sent what is no answer")
        return answer

    def lose(self, why: str) -> NoReturn:
        self.gone = why
        raise CandidateGoneError(why)

    def call(self, number: int, arguments: tuple[object, ...], keywords: dict[str, object]) -> object:
        self.calls += 1
        outgoing = Outgoing(self.name_of, _reference)
        encoded = functools.partial(encode, max_bytes=LONGEST_REQUEST, other=outgoing.reference)
        positional, named = [encoded(value) for value in arguments], encoded(keywords)
        if why := next((why for tree in (*positional, named) if (why := _opaque(tree))), ""):
            raise ValueError(f"an argument that the tests give cannot be sent: {why}")
        table = outgoing.table(encoded)
        request: dict[str, Tree] = {"call": number, "a": positional, "k": named, "o": table, "c": list(self.classes)}
        known = tuple(outgoing.met)
        answer = self.ask(request)
        try:
            objects = Incoming(answer.get("o", []), self.classes, known, trusted=False)

            def decoded(tree: Tree) -> object:
                return decode(tree, lambda body: self.handle_or_built(body, objects))

            objects.fill(decoded)
            result, after = decoded(answer["r"]), decoded(answer.get("m"))
        except ForgedError as error:
            raise CandidateError(str(error)) from None
        except CodecError as error:
            self.lose(str(error))
        if why := next((why for tree in (answer["r"], answer.get("m"), *objects.trees) if (why := _opaque(tree))), ""):
            # Such a value is true and unequal to everything, which would be right for some tests.
            raise CandidateError(f"what the program returned, or left in its arguments, cannot be compared: {why}")
        if after is not None:
            _change_all(arguments, keywords, after)
        return result

    def name_of(self, value: object) -> str | None:
        """The name of the class of an object of the tests' own."""
        name = type(value).__name__
        return name if self.classes.get(name) is type(value) else None

    def handle_or_built(self, body: Tree, objects: Incoming) -> object:
        return objects.get(body) if isinstance(body, list) else self.handle(body)

    def encode(self, value: object) -> Tree:
        """A tree of an argument. A function or object of the tests' own cannot cross."""
        return encode(value, LONGEST_REQUEST, _reference)

    def value(self, tree: Tree) -> object:
        try:
            return decode(tree, self.handle)
        except CodecError as error:
            self.lose(str(error))

    def handle(self, number: Tree) -> object:
        if not isinstance(number, int):
            raise CodecError("a handle without its number")
        return self.handles.setdefault(number, Handle(self, number))


class Function:
    """The function that the tests are about. What it returns is plain data, or a handle."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote

    def __call__(self, *arguments: object, **keywords: object) -> object:
        return self.remote.call(ENTRY_POINT, arguments, keywords)


class Constructor:
    """A class of the program's that the tests use without defining it. It makes objects only.

    A helper that tests rely on must not come from the program: it could say that all is well.
    """

    def __init__(self, remote: Remote, number: int) -> None:
        self.remote = remote
        self.number = number

    def __call__(self, *arguments: object, **keywords: object) -> Handle:
        result = self.remote.call(self.number, arguments, keywords)
        if isinstance(result, Handle):
            return result
        raise CandidateError("tests may use a class of the program's to make objects, and nothing else of it")

    def __bool__(self) -> bool:
        raise CandidateError("a class of the program's is neither true nor false to a test")


class Handle:
    """An object that lives in the program's process. Tests may build it, link it to others, and give it back.

    It is neither true nor false and equals nothing: a test must not find right what only the program can see.
    """

    def __init__(self, remote: Remote, number: int) -> None:
        object.__setattr__(self, "_remote", remote)
        object.__setattr__(self, "_number", number)

    def __getattr__(self, name: str) -> Handle:
        if name.startswith("__"):
            raise AttributeError(name)
        remote = _remote_of(self)
        attribute = remote.value(remote.ask({"get": name, "of": _number_of(self)})["r"])
        if isinstance(attribute, Handle):
            return attribute
        raise CandidateError(f"tests may not read {name} of an object of the program's")

    def __setattr__(self, name: str, value: object) -> None:
        remote = _remote_of(self)
        remote.ask({"set": name, "of": _number_of(self), "to": remote.encode(value)})

    def __bool__(self) -> bool:
        raise CandidateError("an object of the program's is neither true nor false to a test")

    def __eq__(self, other: object) -> bool:
        raise CandidateError("an object of the program's equals nothing in a test")

    __hash__ = None  # type: ignore[assignment]  # as with every class that says itself what it equals


def _remote_of(handle: Handle) -> Remote:
    remote: Remote = object.__getattribute__(handle, "_remote")
    return remote


def _number_of(handle: Handle) -> int:
    number: int = object.__getattribute__(handle, "_number")
    return number


def _reference(value: object) -> Tree:
    if type(value) is Handle:
        return {"h": _number_of(value)}
    if type(value) is Function:
        return {"h": ENTRY_POINT}
    raise TypeError(f"a {type(value).__name__} cannot be given to a program; give it plain data")


def _opaque(tree: Tree) -> str:
    """Why a value did not cross as a whole, as too large or too deep; "" when it did."""
    return str(tree["o"]) if isinstance(tree, dict) and "o" in tree else ""


def _change_all(arguments: tuple[object, ...], keywords: dict[str, object], after: object) -> None:
    """Makes the arguments of a call hold what the program left in them."""
    match after:
        case [list() as by_position, dict() as by_name]:
            for value, changed in zip(arguments, by_position, strict=False):
                _change(value, changed)
            for name in keywords.keys() & by_name.keys():
                _change(keywords[name], by_name[name])


def _change(value: object, after: object) -> None:
    """Makes a list, dict or set of the tests hold what the program left in it."""
    if type(value) is list and type(after) is list:
        value[:] = after
    elif (type(value) is dict and type(after) is dict) or (type(value) is set and type(after) is set):
        value.clear()
        value.update(after)


def _builtin_exception(name: str, message: str) -> BaseException:
    builtin = getattr(builtins, name, None)
    if not (isinstance(builtin, type) and issubclass(builtin, BaseException)) or builtin in NOT_RAISED:
        return CandidateError(f"{name}: {message}")
    if not issubclass(builtin, Exception):
        return CandidateExitError(f"{name}: {message}")
    try:
        return builtin(message)
    except TypeError:  # one that wants more than a message, e.g. UnicodeDecodeError
        return CandidateError(f"{name}: {message}")


class Bench:
    """The namespace that the tests run in."""

    def __init__(self, remote: Remote, entry_point: str) -> None:
        self.remote = remote
        self.tested = dict.fromkeys(("candidate", entry_point), Function(remote))
        self.names: dict[str, object] = {"__name__": TESTS, **self.tested}

    def set_up(self, setup: str) -> list[Tree] | None:
        """Runs the setup; what it raised, or None."""
        try:
            self.execute(setup)
            self.remote.classes = {name: value for name, value in self.names.items() if _is_own(value)}
            self.names.update(self.tested)  # a prompt as the setup defines the function too, without its body
        except CandidateGoneError:
            return ["RuntimeError", "the program ended while the tests were set up"]
        except BaseException as error:
            return raised(error)
        return None

    def run(self, check: str) -> dict[str, Tree]:
        """The mark of one check: pass, wrong (an assertion failed), error, or missing (the program is gone)."""
        try:
            self.execute(check)
            mark, detail = "pass", ""
        except AssertionError as error:
            mark, detail = "wrong", str(raised(error)[1])
        except BaseException as error:
            mark, detail = "error", ": ".join(map(str, raised(error)))
        return {"m": "missing" if self.remote.gone else mark, "d": self.remote.gone or detail}

    def execute(self, source: str) -> None:
        code = compile(source, "<tests>", "exec", dont_inherit=True)
        for name in _free_names(code):
            if name not in self.names and not hasattr(builtins, name):
                self.supply(name)
        exec(code, self.names)

    def supply(self, name: str) -> None:
        """Gives the tests a name that they use and do not define: a standard module, else the program's own."""
        if name in sys.stdlib_module_names:
            with contextlib.suppress(ImportError):  # one of another system's
                self.names[name] = importlib.import_module(name)
        elif name in self.remote.defined:
            value = self.remote.value(self.remote.ask({"name": name})["r"])
            if isinstance(value, Handle):
                self.names[name] = Constructor(self.remote, _number_of(value))


def _is_own(value: object) -> TypeGuard[type]:
    """Whether a name stands for a class that the tests themselves define."""
    return isinstance(value, type) and value.__module__ == TESTS


def _free_names(code: types.CodeType) -> Iterator[str]:
    """Names that code looks up outside its functions."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _free_names(constant)
