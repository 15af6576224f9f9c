"""The executor, attacked. Every hostile program here runs inside the executor only, and is harmless if it gets out."""

from __future__ import annotations

import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from clarify_rl.errors import ExecutorError
from clarify_rl.executor import Executor, Limits, capabilities
from clarify_rl.types import Case, Execution, Raises, Tests, Verdict

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the executor needs Linux")

LIMITS = Limits(cpu_s=0.4, wall_s=20.0, memory_mb=256)
DOUBLE = Tests(tuple(Case((n,), 2 * n) for n in (1, 2, 3)))
GOOD = "def f(n):\n    return 2 * n\n"
SECRET = "secret-" + "9" * 4
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(LIMITS) as executor:
        yield executor


def one(expected: object, *args: object) -> Tests:
    return Tests((Case(args, expected),))


def server_pid(executor: Executor) -> int:
    assert executor._server is not None
    return executor._server.process.pid


def descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [grandchild for child in children for grandchild in descendants(child)]


def left_behind(executor: Executor) -> list[int]:
    """Every process of the executor but its own."""
    return descendants(server_pid(executor))[capabilities().process_namespace :]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pids: list[int], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(alive, pids))


# What a program can do honestly.


def test_a_right_program_passes_every_test(executor: Executor) -> None:
    execution = executor.run(GOOD, "f", DOUBLE)
    assert execution.verdict is Verdict.PASS
    assert (execution.passed, execution.total, execution.per_test) == (3, 3, ("pass",) * 3)
    assert 0 < execution.cpu_s < 0.4
    assert execution.wall_s > 0


def test_a_wrong_result_fails_its_own_test_only(executor: Executor) -> None:
    execution = executor.run("def f(n):\n    return 4 if n == 3 else 2 * n\n", "f", DOUBLE)
    assert execution.verdict is Verdict.WRONG
    assert execution.per_test == ("pass", "pass", "wrong")


def test_a_call_that_raises_fails_its_own_test_only(executor: Executor) -> None:
    execution = executor.run("def f(n):\n    return 2 * n if n > 1 else 1 / 0\n", "f", DOUBLE)
    assert execution.verdict is Verdict.WRONG
    assert execution.per_test == ("error", "pass", "pass")
    assert "ZeroDivisionError" in execution.detail


@pytest.mark.parametrize(
    ("program", "detail"),
    [
        ("def f(n:", "SyntaxError"),
        ("x = 1", "entry point 'f' is not defined"),
        ("f = 3", "int, not callable"),
        ("import no_such_module\ndef f(n): return 2 * n", "No module named"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import sys\nsys.exit(0)", "SystemExit"),
        ("\ud800", "UnicodeEncodeError"),
        ("\0", "null bytes"),
        ("(" * 5000 + ")" * 5000, ""),
        ("", "not defined"),
    ],
)
def test_a_program_that_cannot_be_loaded_is_an_error(executor: Executor, program: str, detail: str) -> None:
    execution = executor.run(program, "f", DOUBLE)
    assert execution.verdict in (Verdict.ERROR, Verdict.MEMORY)
    assert execution.per_test == ("missing",) * 3
    assert detail in execution.detail


def test_a_long_or_unprintable_message_is_cut_and_cleaned(executor: Executor) -> None:
    execution = executor.run("raise ValueError('\\ud800' + 'x' * 10_000)", "f", DOUBLE)
    assert len(execution.detail) <= 300
    assert execution.detail.encode("utf-8")


@pytest.mark.parametrize("error", ["RecursionError", "SystemExit", "KeyboardInterrupt", "GeneratorExit"])
def test_any_exception_in_a_call_is_an_error_of_that_test(executor: Executor, error: str) -> None:
    execution = executor.run(f"def f(n):\n    raise {error}", "f", DOUBLE)
    assert execution.verdict is Verdict.ERROR
    assert execution.per_test == ("error",) * 3


def test_endless_recursion_is_an_error(executor: Executor) -> None:
    assert executor.run("def f(n):\n    return f(n)", "f", DOUBLE).verdict is Verdict.ERROR


def test_changing_an_argument_changes_no_other_test(executor: Executor) -> None:
    shared = [1, 2]
    tests = Tests((Case((shared,), 3), Case((shared,), 3)))
    execution = executor.run("def f(xs):\n    xs.append(1) or xs.pop()\n    return xs.pop() + xs.pop()", "f", tests)
    assert execution.solved
    assert shared == [1, 2]


def test_the_usual_modules_import(executor: Executor) -> None:
    names = "math re typing collections itertools functools heapq bisect string random datetime copy operator"
    names += " fractions decimal statistics json textwrap dataclasses enum"
    program = "".join(f"import {name}\n" for name in names.split()) + GOOD
    assert executor.run(program, "f", DOUBLE).solved


def test_dataclasses_with_postponed_annotations_work(executor: Executor) -> None:
    program = "from __future__ import annotations\nimport dataclasses\n@dataclasses.dataclass\nclass P:\n    x: int\n"
    assert executor.run(program + "def f(n):\n    return P(n).x * 2", "f", DOUBLE).solved


def test_printing_and_asking_for_input_disturb_nothing(executor: Executor) -> None:
    program = (
        "def f(n):\n    print('pass' * 1000)\n    try:\n        input()\n    except EOFError:\n        return 2 * n"
    )
    assert executor.run(program, "f", DOUBLE).solved


def test_threads_work_and_may_be_left_running(executor: Executor) -> None:
    program = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n" + GOOD
    execution = executor.run(program, "f", DOUBLE)
    assert execution.solved
    assert execution.wall_s < 3


def test_chance_and_the_order_of_sets_are_the_same_on_every_run() -> None:
    program = "import random\ndef f():\n    return [list(set('clarify')), random.random()]"
    details = set()
    for _ in range(2):
        with Executor(LIMITS) as executor:
            details.add(executor.run(program, "f", one(0)).detail)
    assert len(details) == 1


# How results are compared.


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ("float('nan')", math.nan),
        ("[(1, {2}), {'a': b'x'}]", [(1, {2}), {"a": b"x"}]),
        ("{2: 1, 1: 2}", {1: 2, 2: 1}),
        ("-0.0", 0.0),
        ("10**50", 10**50),
        ("complex(1, float('inf'))", complex(1, math.inf)),
        ("frozenset([None, True])", frozenset([None, True])),
        ("__import__('collections').Counter('a')", {"a": 1}),
    ],
)
def test_equal_values_of_equal_type_pass(executor: Executor, result: str, expected: object) -> None:
    assert executor.run(f"def f():\n    return {result}", "f", one(expected)).solved


@pytest.mark.parametrize(
    ("result", "expected"),
    [("True", 1), ("1.0", 1), ("[1]", (1,)), ("[True]", [1]), ("{1}", {True}), ("{1: 0}", {1.0: 0}), ("'1'", 1)],
)
def test_equal_values_of_another_type_are_wrong(executor: Executor, result: str, expected: object) -> None:
    assert executor.run(f"def f():\n    return {result}", "f", one(expected)).verdict is Verdict.WRONG


def test_printed_comparison_takes_the_text_of_the_result(executor: Executor) -> None:
    tests = Tests((Case((1,), "[1, 'a']"), Case((2,), "[2, 'a']")), compare="printed")
    assert executor.run("def f(n):\n    return [n, 'a']", "f", tests).solved
    assert executor.run("def f(n):\n    return f'[{n}, \\'a\\']'", "f", tests).solved
    opaque = "class A:\n    def __str__(self):\n        return \"[1, 'a']\"\ndef f(n):\n    return A()"
    assert executor.run(opaque, "f", tests).verdict is Verdict.UNSUPPORTED_TYPE


@pytest.mark.parametrize(
    ("program", "solved"),
    [
        ("def f():\n    raise ValueError('x')", True),
        ("def f():\n    raise UnicodeError('x')", False),
        ("class ValueError(Exception): pass\ndef f():\n    raise ValueError", False),
        ("def f():\n    return ValueError('x')", False),
        ("def f():\n    return None", False),
        ("raise ValueError('x')", False),
    ],
)
def test_an_expected_exception_must_be_raised_by_the_call_and_be_exactly_that_one(
    executor: Executor, program: str, solved: bool
) -> None:
    assert executor.run(program, "f", one(Raises("ValueError"))).solved is solved


@pytest.mark.parametrize("result", ["object()", "iter([1])", "f", "[object()]", "range(3)"])
def test_a_result_that_is_not_data_is_unsupported(executor: Executor, result: str) -> None:
    execution = executor.run(f"def f():\n    return {result}", "f", one(1))
    assert execution.verdict is Verdict.UNSUPPORTED_TYPE
    assert execution.per_test == ("wrong",)


# What decides a timeout, and what too much memory or output gives.


def test_an_endless_loop_is_a_cpu_timeout(executor: Executor) -> None:
    execution = executor.run("def f(n):\n    while n > 1:\n        pass\n    return 2 * n", "f", DOUBLE)
    assert execution.verdict is Verdict.CPU_TIMEOUT
    assert execution.per_test == ("pass", "missing", "missing")
    assert execution.cpu_s >= LIMITS.cpu_s


def test_an_endless_loop_that_ignores_every_signal_is_a_cpu_timeout(executor: Executor) -> None:
    program = (
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except Exception: pass\n"
    )
    program += (
        "def f(n):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass"
    )
    assert executor.run(program, "f", DOUBLE).verdict is Verdict.CPU_TIMEOUT


def test_processor_time_of_other_processes_counts(executor: Executor) -> None:
    program = "import os\nif os.fork() == 0:\n    while True: pass\ndef f(n):\n    os.wait()\n"
    assert executor.run(program, "f", DOUBLE).verdict is Verdict.CPU_TIMEOUT


def test_sleeping_is_unmeasured_not_wrong() -> None:
    with Executor(Limits(cpu_s=0.2, wall_s=0.4)) as executor:
        execution = executor.run("import time\ndef f(n):\n    time.sleep(60)", "f", DOUBLE)
        assert execution.verdict is Verdict.WALL_TIMEOUT
        assert not execution.measured
        assert executor.run(GOOD, "f", DOUBLE).solved


def test_a_memory_blow_up_is_memory(executor: Executor) -> None:
    assert executor.run("def f(n):\n    return bytearray(1 << 40)", "f", DOUBLE).verdict is Verdict.MEMORY
    assert executor.run("x = [0] * (1 << 40)", "f", DOUBLE).verdict is Verdict.MEMORY


def test_a_result_larger_than_the_limit_is_not_read(executor: Executor) -> None:
    execution = executor.run("def f(n):\n    return 'x' * (30 << 20)", "f", DOUBLE)
    assert execution.verdict is Verdict.UNSUPPORTED_TYPE
    assert "too large" in execution.detail


def test_results_that_are_too_large_together_are_cut(executor: Executor) -> None:
    tests = Tests(tuple(Case((n,), "x" * (1 << 20)) for n in range(6)))
    execution = executor.run("def f(n):\n    return 'x' * (1 << 20)", "f", tests)
    assert execution.per_test == ("pass",) * 3 + ("wrong",) * 3


# What a program can do to look right without being right.

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
    execution = executor.run(program, "f", DOUBLE)
    assert execution.passed == 0
    assert execution.measured
    assert not left_behind(executor)
    assert executor.run(GOOD, "f", DOUBLE).solved


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


def test_results_after_the_last_one_are_a_protocol_verdict(executor: Executor) -> None:
    program = 'import os\ndef f(n):\n    if n == 3:\n        os.write(3, b\'{"n":2,"r":6}\\n\')\n    return 2 * n'
    assert executor.run(program, "f", DOUBLE).verdict is Verdict.PROTOCOL


def test_the_expected_values_are_nowhere_in_the_programs_process(executor: Executor) -> None:
    program = """
import gc, re, sys
def look(value, seen, depth=0):
    if isinstance(value, str) and re.search('secret-[9]+', value):
        return re.search('secret-[9]+', value)[0]
    if depth < 3 and isinstance(value, (dict, list, tuple)) and id(value) not in seen:
        seen.add(id(value))
        items = [*value, *value.values()] if isinstance(value, dict) else value
        for item in list(items):
            found = look(item, seen, depth + 1)
            if found:
                return found
def f():
    frame, seen = sys._getframe(1), set()
    while frame:
        found = look(dict(frame.f_locals), seen) or look(dict(frame.f_globals), seen)
        if found:
            return found
        frame = frame.f_back
    return next(filter(None, (look(value, seen) for value in gc.get_objects())), 'nothing')
"""
    with Executor(Limits(cpu_s=5.0, wall_s=20.0)) as patient:
        execution = patient.run(program, "f", one(SECRET))
    assert execution.verdict is Verdict.WRONG
    assert "nothing" in execution.detail


def test_the_search_for_expected_values_does_find_what_is_there() -> None:
    program = "import gc\ndef f(x):\n    return any(o == ['needle'] for o in gc.get_objects() if type(o) is list)"
    with Executor(Limits(cpu_s=5.0, wall_s=20.0)) as patient:
        assert patient.run(program, "f", one(True, ["needle"])).solved


# What a program may leave behind, and whom it may harm.


@pytest.mark.parametrize(
    "program",
    [
        "import os, time\nif os.fork() == 0:\n    time.sleep(60)\n",
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
        "    if os.fork() == 0:\n        time.sleep(60)\n    os._exit(0)\n",
        "import os, time\nfor _ in range(40):\n    try:\n        if os.fork() == 0:\n            os.setsid()\n"
        "            time.sleep(60)\n    except OSError:\n        pass\n",
    ],
    ids=["a child", "a daemon", "a bounded fork bomb"],
)
def test_processes_that_a_program_leaves_behind_are_killed(executor: Executor, program: str) -> None:
    execution = executor.run(program + GOOD, "f", DOUBLE)
    assert execution.solved
    assert execution.wall_s < 3
    assert not left_behind(executor)


def test_a_program_cannot_start_more_processes_than_its_limit() -> None:
    if not capabilities().process_limit:
        pytest.skip("processes cannot be counted here")
    program = "import os, time\ndef f():\n    for n in range(40):\n        try:\n            if os.fork() == 0:\n"
    program += (
        "                time.sleep(60)\n                os._exit(0)\n        except OSError:\n            return n\n"
    )
    with Executor(Limits(processes=5)) as executor:
        assert executor.run(program, "f", one(4)).solved


@pytest.mark.parametrize("victim", ["os.getppid()", "-1"])
def test_killing_others_does_not_reach_the_server(executor: Executor, victim: str) -> None:
    if not (capabilities().user_drop or capabilities().process_namespace):
        pytest.skip("programs run as this user here")
    executor.run(GOOD, "f", DOUBLE)
    before = server_pid(executor)
    with Executor(LIMITS) as neighbour:
        neighbour.run(GOOD, "f", DOUBLE)
        program = f"import os\ntry:\n    os.kill({victim}, 9)\nexcept OSError:\n    pass\n"
        assert executor.run(program + GOOD, "f", DOUBLE).solved
        assert alive(server_pid(neighbour))
    assert server_pid(executor) == before


@pytest.mark.parametrize(
    ("layer", "expression"),
    [
        ("user_drop", "os.getuid() == 0 or os.getgroups() != []"),
        ("user_drop", "attempt(os.setuid, 0)"),
        ("user_drop", "attempt(open, '/proc/%d/mem' % os.getppid(), 'rb')"),
        ("network_namespace", "attempt(socket.create_connection, ('127.0.0.1', PORT), 1)"),
        ("resource_limits", "attempt(resource.setrlimit, resource.RLIMIT_AS, (-1, -1))"),
        ("", "bool(os.environ)"),
        ("", "len(os.listdir('/proc/self/fd')) > 5"),
        ("", "os.getcwd() != '/'"),
    ],
)
def test_a_layer_holds(executor: Executor, layer: str, expression: str) -> None:
    if layer and not getattr(capabilities(), layer):
        pytest.skip(f"no {layer} here")
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        program = "import os, resource, socket\ndef attempt(act, *args):\n    try:\n        act(*args)\n"
        program += "        return True\n    except (OSError, ValueError):\n        return False\n"
        program += f"def f():\n    return {expression.replace('PORT', str(listener.getsockname()[1]))}"
        assert executor.run(program, "f", one(False)).solved


def test_a_program_cannot_write_a_large_file(executor: Executor, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    program = f"def f():\n    with open({str(tmp_path / 'x')!r}, 'wb') as file:\n        file.write(bytes(2 << 20))"
    assert not executor.run(program, "f", one(None)).solved
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1 << 20


# What happens when the machine fails.


def test_a_killed_server_is_replaced(executor: Executor) -> None:
    executor.run(GOOD, "f", DOUBLE)
    os.kill(server_pid(executor), signal.SIGKILL)
    assert executor.run(GOOD, "f", DOUBLE).solved


def test_a_server_that_dies_again_and_again_is_unmeasured() -> None:
    executions: list[Execution] = []
    with Executor(LIMITS) as executor:
        executor.run(GOOD, "f", DOUBLE)
        slow = "import time\ndef f(n):\n    time.sleep(2)\n    return 2 * n"
        job = threading.Thread(target=lambda: executions.append(executor.run(slow, "f", DOUBLE)))
        job.start()
        while job.is_alive():
            time.sleep(0.2)
            with suppress(AssertionError, ProcessLookupError):
                os.kill(server_pid(executor), signal.SIGKILL)
    assert executions[0].verdict is Verdict.INFRASTRUCTURE
    assert not executions[0].measured


def test_an_interrupted_job_does_not_answer_the_next_one(executor: Executor) -> None:
    def interrupt(*_: object) -> None:
        raise InterruptedError

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(InterruptedError):
            executor.run("import time\ndef f(n):\n    time.sleep(60)", "f", DOUBLE)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert executor.run(GOOD, "f", DOUBLE).solved


def test_a_killed_caller_leaves_no_process_behind() -> None:
    script = (
        "import sys, threading, time\nfrom clarify_rl.executor import Executor\n"
        "from clarify_rl.types import Case, Tests\nexecutor = Executor()\ntests = Tests((Case((), 1),))\n"
        "executor.run('def f(): return 1', 'f', tests)\n"
        "sleep = 'import os, time\\nos.fork()\\ndef f(): time.sleep(60)'\n"
        "threading.Thread(target=executor.run, args=(sleep, 'f', tests)).start()\n"
        "print(executor._server.process.pid, flush=True)\ntime.sleep(60)\n"
    )
    caller = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert caller.stdout is not None
    server = int(caller.stdout.readline())
    deadline = time.monotonic() + 30
    while len(pids := [server, *descendants(server)]) < 3 + capabilities().process_namespace:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    caller.kill()
    caller.wait()
    caller.stdout.close()
    assert wait_until_gone(pids)


def test_closing_ends_the_server_and_may_be_repeated() -> None:
    executor = Executor(LIMITS)
    executor.close()
    executor = Executor(LIMITS)
    executor.run(GOOD, "f", DOUBLE)
    pid = server_pid(executor)
    executor.close()
    executor.close()
    assert not alive(pid)
    with pytest.raises(ExecutorError, match="closed"):
        executor.run(GOOD, "f", DOUBLE)


def test_an_executor_pickles_as_its_limits(executor: Executor) -> None:
    executor.run(GOOD, "f", DOUBLE)
    with pickle.loads(pickle.dumps(executor)) as copy:
        assert copy.limits == LIMITS
        assert copy.run(GOOD, "f", DOUBLE).solved
        assert server_pid(copy) != server_pid(executor)


def test_a_fork_of_the_caller_gets_a_server_of_its_own(executor: Executor) -> None:
    executor.run(GOOD, "f", DOUBLE)
    script = (
        "import os\nfrom clarify_rl.executor import Executor\nfrom clarify_rl.types import Case, Tests\n"
        "executor = Executor()\nrun = lambda: executor.run('def f(): return 1', 'f', Tests((Case((), 1),))).solved\n"
        "assert run()\nserver = executor._server.process.pid\npid = os.fork()\n"
        "good = run() and (executor._server.process.pid != server) == (pid == 0)\nexecutor.close()\n"
        "if pid == 0: os._exit(not good)\nassert good and os.waitpid(pid, 0)[1] == 0\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60)


# Mistakes of the caller.


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        (Tests(()), "at least one hidden test"),
        (one(object()), "expected value of case 0 is not plain data"),
        (one(1, object()), "Input 0 is not plain data"),
        (Tests((Case((), 1),), compare="printed"), "not a string"),
        (Tests((Case((), 1),), compare="fuzzy"), "'exact' or 'printed'"),  # type: ignore[arg-type]  # the point
    ],
)
def test_malformed_tests_raise(executor: Executor, tests: Tests, message: str) -> None:
    with pytest.raises(ExecutorError, match=message):
        executor.run(GOOD, "f", tests)


@pytest.mark.parametrize(
    "limits",
    [{"cpu_s": 0}, {"cpu_s": math.nan}, {"wall_s": 1.0}, {"memory_mb": 10}, {"processes": 0}, {"output_mb": 0.5},
     {"files_mb": -1}, {"cpu_s": True}, {"cpu_s": "2"}],
)  # fmt: skip
def test_impossible_limits_raise(limits: dict[str, float]) -> None:
    with pytest.raises(ExecutorError, match=next(iter(limits))):
        Limits(**limits)  # type: ignore[arg-type]  # the point


def test_the_summary_says_in_words_what_works() -> None:
    assert "no system call filter" in capabilities().summary
