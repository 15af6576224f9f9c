"""What a program can do to look right without being right, and what a cheat may harm. Tests are pairs here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from clarify_rl.executor import Executor, Limits
from clarify_rl.types import Verdict
from tests.executor_cases import DOUBLE, GOOD, LIMITS, SEARCH, left_behind, on_linux, one

pytestmark = on_linux

PATIENT = Limits(cpu_s=30.0)


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(LIMITS, servers=1) as executor:
        yield executor


CHEATS = {
    "exits with 0": "import os\nos._exit(0)",
    "exits with 0 in the call": "import os\ndef f(n):\n    os._exit(0)",
    "exits through sys": "import sys\ndef f(n):\n    sys.exit(0)",
    "exits through a thread": "import os, threading\nthreading.Timer(0.05, os._exit, (0,)).start()\n"
    "def f(n):\n    threading.Event().wait(1)",
    "exits at exit": "import atexit, os\natexit.register(os._exit, 0)\ndef f(n):\n    return -1",
    "exits in the parent": "import os\nif os.fork():\n    os._exit(0)\ndef f(n):\n    return -1",
    "prints results": "def f(n):\n    print('{\"n\": 0, \"r\": 2}')\n    print('pass')",
    "claims equality": "class A:\n    def __eq__(s, o): return True\n    def __ne__(s, o): return False\n"
    "    __hash__ = None\ndef f(n):\n    return A()",
    "claims equality as int": "class A(int):\n    def __eq__(s, o): return True\n    __hash__ = int.__hash__\n"
    "def f(n):\n    return A(-1)",
    "claims to be int": "class A:\n    __class__ = int\n    def __reduce__(s): return (int, (2,))\n"
    "def f(n):\n    return A()",
    "claims equality as a class": "class M(type):\n    def __eq__(s, o): return True\n    __hash__ = type.__hash__\n"
    "class A(float, metaclass=M): pass\ndef f(n):\n    return A(-1)",
    "patches json": "import json\njson.dumps = json.JSONEncoder.encode = lambda *a: 'pass'\ndef f(n):\n    return -1",
    "patches builtins": "import builtins\nbuiltins.len = lambda x: 3\n"
    "builtins.all = builtins.isinstance = lambda *a: True\n"
    "def f(n):\n    return -1",
    "deletes builtins": "import builtins\nfor name in list(vars(builtins)):\n    delattr(builtins, name)\n"
    "def f(n):\n    return -1",
    "deletes modules": "import sys\nsys.modules.clear()\ndef f(n):\n    return -1",
    "closes descriptors": "import os\nos.closerange(0, 256)\ndef f(n):\n    return 2 * n",
    "evil exception": "class E(Exception):\n    def __str__(s): raise SystemExit(0)\ndef f(n):\n    raise E",
    "crashes": "import ctypes\ndef f(n):\n    ctypes.string_at(0)",
    "kills its group": "import os\nos.killpg(0, 9)\ndef f(n):\n    return 2 * n",
    "raises the recursion limit": "import sys\nsys.setrecursionlimit(10**9)\ndef f(n):\n    class A:\n"
    "        def __repr__(s): return repr(s)\n    return repr(A())",
}


@pytest.mark.parametrize("program", CHEATS.values(), ids=CHEATS.keys())
def test_a_cheat_does_not_pass_and_harms_nobody(executor: Executor, program: str) -> None:
    before = executor.server_pids
    execution = executor.run(program, "f", DOUBLE)
    assert execution.passed == 0
    assert execution.measured
    assert not left_behind(executor)
    assert executor.run(GOOD, "f", DOUBLE).solved
    assert executor.server_pids == before or not before


@pytest.mark.parametrize(
    "lines",
    [
        b"garbage\n",
        b"\xff\xfe\n",
        b"half a line",
        b'{"n":0,"r":2}\n',
        b'{"n":1,"r":2}\n',
        b'{"n":0,"r":2,"e":["A","b"]}\n',
        b'{"n":-1,"e":["ValueError",""]}\n',
        b'{"n":0,"r":{"d":[[[1],2]],"x":1}}\n',
        b'{"n":0,"r":1e999}\n',
        b"[" * 50_000 + b"\n",
        b"x" * (6 << 20),
    ],
    ids=lambda lines: lines[:30].decode("latin-1").strip(),
)
def test_writing_on_the_channel_is_a_protocol_verdict(executor: Executor, lines: bytes) -> None:
    write = (
        f"import os\nline = {lines[:1]!r} * {len(lines)}\n" if len(lines) > 60_000 else f"import os\nline = {lines!r}\n"
    )
    execution = executor.run(write + "while line:\n    line = line[os.write(3, line):]\n" + GOOD, "f", DOUBLE)
    assert execution.verdict is Verdict.PROTOCOL
    assert execution.passed == 0
    assert executor.run(GOOD, "f", DOUBLE).solved


@pytest.mark.parametrize("compare", ["exact", "unordered", "close"])
@pytest.mark.parametrize(
    "tree",
    [
        "1e999",
        "[-1e999]",
        '{"f":"1e999"}',
        '{"f":"nan"}',
        '{"i":"zz"}',
        '{"i":["0x1"]}',
        '{"t":1}',
        '{"d":[[1]]}',
        '{"s":[[]]}',
        '{"o":"int"}',
        '{"h":0}',
        "[" * 900 + "]" * 900,
    ],
)
def test_a_forged_result_is_no_pass_and_no_error_of_ours(executor: Executor, tree: str, compare: str) -> None:
    program = f'import os\nos.write(3, b\'{{"n":0,"r":{tree}}}\\n\')\nos._exit(0)'
    for expected in (1.5, [1.5], (1.5,), {1: 1.5}, 10**30):
        execution = executor.run(program, "f", replace(one(expected), compare=compare))
        assert execution.verdict in (Verdict.PROTOCOL, Verdict.WRONG, Verdict.UNSUPPORTED_TYPE)


def test_results_after_the_last_one_are_a_protocol_verdict(executor: Executor) -> None:
    program = 'import os\ndef f(n):\n    if n == 3:\n        os.write(3, b\'{"n":2,"r":6}\\n\')\n    return 2 * n'
    assert executor.run(program, "f", DOUBLE).verdict is Verdict.PROTOCOL


def test_the_expected_values_are_nowhere_in_the_programs_process() -> None:
    with Executor(PATIENT, servers=1) as executor:
        execution = executor.run(SEARCH, "f", one("needle-7777"))
    assert execution.verdict is Verdict.WRONG
    assert "nothing" in execution.detail


@pytest.mark.parametrize("padding", [0, 1000, 100_000])
def test_the_search_for_expected_values_does_find_what_is_there(padding: int) -> None:
    with Executor(PATIENT, servers=1) as executor:
        assert executor.run(SEARCH, "f", one("found", "needle-7777" + padding * " ")).solved
