"""Programs that read and print: each case is a process of its own, and only what it prints counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from clarify_rl.errors import ExecutorError
from clarify_rl.executor import Executor, Layer, Limits
from clarify_rl.types import Execution, Stdio, StdioCase, Verdict
from tests.executor_cases import BRIEF, GOOD, LIMITS, RESTLESS, left_behind, needs, on_linux

pytestmark = on_linux

SUM = "print(sum(map(int, input().split())))"
FAST_IO = """
import os, sys
from io import BytesIO, IOBase
class FastIO(IOBase):
    newlines = 0
    def __init__(self, file):
        self._fd, self.buffer = file.fileno(), BytesIO()
        self.writable = "x" in file.mode or "r" not in file.mode
        self.write = self.buffer.write if self.writable else None
    def readline(self):
        while self.newlines == 0:
            b = os.read(self._fd, max(os.fstat(self._fd).st_size, 8192))
            self.newlines = b.count(b"\\n") + (not b)
            ptr = self.buffer.tell()
            self.buffer.seek(0, 2), self.buffer.write(b), self.buffer.seek(ptr)
        self.newlines -= 1
        return self.buffer.readline()
    def flush(self):
        if self.writable:
            os.write(self._fd, self.buffer.getvalue())
            self.buffer.truncate(0), self.buffer.seek(0)
class IOWrapper(IOBase):
    def __init__(self, file):
        self.buffer = FastIO(file)
        self.flush, self.writable = self.buffer.flush, self.buffer.writable
        self.write = lambda s: self.buffer.write(s.encode("ascii"))
        self.readline = lambda: self.buffer.readline().decode("ascii")
sys.stdin, sys.stdout = IOWrapper(sys.stdin), IOWrapper(sys.stdout)
"""


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(LIMITS, servers=1) as executor:
        yield executor


@pytest.fixture(scope="module")
def brief() -> Iterator[Executor]:
    with Executor(BRIEF, servers=1) as executor:
        yield executor


def stdio(*cases: tuple[str, str], compare: str = "lines") -> Stdio:
    return Stdio(tuple(StdioCase(*case) for case in cases), compare)


def printed(executor: Executor, program: str, expected: str, given: str = "") -> Execution:
    """The outcome of one case whose output must be exactly this."""
    return executor.run(program, "", stdio((given, expected), compare="exact"))


# Reading and printing.


@pytest.mark.parametrize(
    "read",
    [
        "int(input()) + int(input())",
        "sum(map(int, __import__('sys').stdin))",
        "sum(map(int, __import__('sys').stdin.read().split()))",
        "sum(map(int, __import__('sys').stdin.buffer.readlines()))",
        "sum(map(int, open(0)))",
        "sum(map(int, __import__('os').read(0, 100).split()))",
        "sum(map(int, __import__('fileinput').input()))",
    ],
)
def test_a_program_may_read_in_any_way(executor: Executor, read: str) -> None:
    assert executor.run(f"print({read})", "", stdio(("1\n2\n", "3\n"), ("5\n6", "11"))).solved


@pytest.mark.parametrize(
    "write",
    [
        "print('a b')",
        "print('a', 'b', flush=True)",
        "sys.stdout.write('a b\\n')",
        "sys.stdout.buffer.write(b'a b\\n')",
        "os.write(1, b'a b\\n')",
        "print('a', end=' ', file=sys.stderr); print('a b')",
        "t = threading.Thread(target=lambda: (time.sleep(0.05), print('a b'))); t.start()",
        "atexit.register(print, 'a b')",
        "out = sys.stdout; sys.stdout = io.StringIO(); out.write('a b\\n')",
        "sys.stdout = all = io.StringIO(); print('a b'); atexit.register(lambda: sys.__stdout__.write(all.getvalue()))",
        "out = open(1, 'w'); out.write('a b\\n')",
        "print('a b'); sys.stdout.close()",
        "print('a b', flush=True); os.close(1)",
        "print('a b'); sys.stdout = None",
        "threading.Thread(target=lambda: (time.sleep(0.05), print('a b'))).start(); sys.exit()",
    ],
)
def test_a_program_may_print_in_any_way(executor: Executor, write: str) -> None:
    program = f"import atexit, io, os, sys, threading, time\n{write}"
    assert printed(executor, program, "a b\n").solved


def test_a_program_runs_as_the_main_module(executor: Executor) -> None:
    program = "import sys\ndef main():\n    print(int(input()) * 2)\nif __name__ == '__main__':\n    main()"
    assert executor.run(program, "ignored", stdio(("4", "8"))).solved
    assert printed(executor, "import __main__\nx = 3\nprint(__main__.x, len(__import__('sys').argv))", "3 1\n").solved


def test_fast_input_and_output_of_contests_work(executor: Executor) -> None:
    program = FAST_IO + "input = lambda: sys.stdin.readline().rstrip()\nprint(int(input()) + int(input()))"
    assert executor.run(program, "", stdio(("1\n2\n", "3"), ("30\n4", "34"))).solved


def test_deep_recursion_in_a_thread_with_a_stack_of_its_own_works(executor: Executor) -> None:
    program = "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(2**26)\n"
    program += "def depth(n): return n and 1 + depth(n - 1)\n"
    program += "t = threading.Thread(target=lambda: print(depth(20000)))\nt.start()\nt.join()"
    assert printed(executor, program, "20000\n").solved


def test_reading_beyond_the_end_is_end_of_file(executor: Executor) -> None:
    program = "import os, sys\nprint(repr(sys.stdin.read()), repr(sys.stdin.read()), os.read(0, 9))"
    assert printed(executor, program, "'x' '' b''\n", "x").solved
    execution = printed(executor, "input()\ninput()", "", "x")
    assert execution.verdict is Verdict.ERROR
    assert "EOFError" in execution.detail


def test_an_empty_input_is_no_input(executor: Executor) -> None:
    assert printed(executor, "import sys\nprint(sys.stdin.read() == '')", "True\n").solved


def test_text_of_every_language_goes_in_and_out(executor: Executor) -> None:
    assert printed(executor, "print(input()[::-1])", "☃öß\n", "ßö☃").solved


def test_bytes_that_are_no_text_are_wrong_and_nothing_worse(executor: Executor) -> None:
    program = "import os\nos.write(1, bytes(range(256)))"
    assert printed(executor, program, "x").verdict is Verdict.WRONG


def test_large_input_and_output_pass_through(executor: Executor) -> None:
    lines = "".join(f"{n}\n" for n in range(160_000))
    assert len(lines) > 1_000_000
    program = "import sys\nsys.stdout.write(sys.stdin.read())"
    assert executor.run(program, "", stdio((lines, lines), compare="exact")).solved
    assert executor.run("for _ in range(10**5): input()\nprint(input())", "", stdio((lines, "100000"))).solved


def test_input_that_nobody_reads_does_not_matter(executor: Executor) -> None:
    assert printed(executor, "print('x')", "x\n", "y" * 3_000_000).solved
    assert printed(executor, "import os\nos.close(0)\nprint('x')", "x\n", "y" * 3_000_000).solved


# What counts as right.


@pytest.mark.parametrize(
    ("compare", "text", "expected", "right"),
    [
        ("lines", "1  \n2\n\n", "1\n2", True),
        ("lines", "1\n2", "1\n2\n", True),
        ("lines", "1\r\n2\r\n", "1\n2", True),
        ("lines", " 1", "1", False),
        ("lines", "1\n\n2", "1\n2", False),
        ("lines", "1 2", "1  2", False),
        ("lines", "", "1", False),
        ("lines", "\n\n", "", True),
        ("exact", "1\n", "1\n", True),
        ("exact", "1", "1\n", False),
        ("close", "1.0000001\n2", "1 2", True),
        ("close", "1.1", "1", False),
        ("close:0.2", "1.1 x", "1 x", True),
        ("close:1e-6", "0.3333333", "0.333333333", True),
        ("close:1e-6", "1 2", "1", False),
        ("close", "nan inf", "nan inf", True),
        ("close", "yes", "no", False),
        ("close", str(10**18 + 1), str(10**18), False),
        ("close", "+007 -0", "7 0", True),
        ("close", "1_0", "10", False),
        ("close", "1e18", str(10**18), True),
        ("close", "1E-3 .5 5. INF", "0.001 0.5 5 inf", True),
        ("close", chr(0x661), "1", False),
    ],
)
def test_output_is_compared_as_the_rule_says(
    executor: Executor, compare: str, text: str, expected: str, right: bool
) -> None:
    program = f"print({text!r}, end='')"
    execution = executor.run(program, "", stdio(("", expected), compare=compare))
    assert execution.verdict is (Verdict.PASS if right else Verdict.WRONG)


def test_each_case_has_a_mark_of_its_own(executor: Executor) -> None:
    program = "n = int(input())\nif n == 3: raise KeyError(n)\nprint(2 * n if n < 2 else 0)"
    execution = executor.run(program, "", stdio(("1", "2"), ("2", "4"), ("3", "6"), ("0", "0")))
    assert execution.verdict is Verdict.WRONG
    assert execution.per_test == ("pass", "wrong", "error", "pass")
    assert execution.detail == "case 1: printed '0\\n'"


@pytest.mark.parametrize(
    ("end", "passes"),
    [
        ("", True),
        ("sys.exit()", True),
        ("sys.exit(0)", True),
        ("raise SystemExit", True),
        ("exit(0)", True),
        ("quit()", True),
        ("sys.stdout.flush(); os._exit(0)", True),
        ("sys.exit(1)", False),
        ("sys.exit('failed')", False),
        ("sys.stdout.flush(); os._exit(3)", False),
        ("sys.stdout.flush(); os.kill(os.getpid(), 9)", False),
        ("sys.stdout.flush(); os.abort()", False),
        ("1 / 0", False),
        ("raise KeyboardInterrupt", False),
    ],
)
def test_a_right_output_with_a_failure_at_the_end_is_an_error(executor: Executor, end: str, passes: bool) -> None:
    execution = printed(executor, f"import os, sys\nprint('x')\n{end}", "x\n")
    assert execution.verdict is (Verdict.PASS if passes else Verdict.ERROR)
    assert execution.per_test == (("pass",) if passes else ("error",))


def test_an_exception_is_named(executor: Executor) -> None:
    assert "raised ZeroDivisionError: division by zero" in printed(executor, "1 / 0", "").detail
    assert "SyntaxError" in printed(executor, "print(", "").detail


def test_a_thread_that_raises_is_no_failure_of_the_program(executor: Executor) -> None:
    assert printed(
        executor, "import threading\nthreading.Thread(target=int, args=('x',)).start()\nprint(1)", "1\n"
    ).solved


@pytest.mark.parametrize(
    "line",
    [
        b'{"n":0,"x":0}\n',
        b'{"n":0,"x":0}',
        b"garbage\n",
        b"[1]\n",
        b'{"r":"x"}\n',
        b'{"e":["A","b"],"x":0}\n',
        b"S" * 9000,
    ],
    ids=lambda line: line[:20].decode(),
)
def test_forging_the_end_does_not_make_an_output_right(executor: Executor, line: bytes) -> None:
    for end in ("os._exit(0)", "sys.exit(0)", "pass"):
        execution = printed(executor, f"import os, sys\nos.write(1, b'wrong')\nos.write(3, {line!r})\n{end}", "right\n")
        assert execution.measured and execution.passed == 0


def test_forging_the_end_does_not_stop_the_clock(brief: Executor) -> None:
    program = "import os\nos.write(1, b'x\\n')\nos.write(3, b'{\"n\":0,\"x\":0}\\n')\nwhile True: pass"
    assert printed(brief, program, "x\n").verdict is Verdict.CPU_TIMEOUT


# Limits.


def test_endless_output_is_cut_at_the_limit(executor: Executor) -> None:
    execution = printed(executor, "while True: print('x' * 1000)", "x")
    assert execution.verdict is Verdict.PROTOCOL
    assert "more output than the limit" in execution.detail
    assert not left_behind(executor)


def test_output_up_to_the_limit_passes_and_beyond_does_not() -> None:
    with Executor(replace(LIMITS, output_mb=1), servers=1) as executor:
        program = "print('x' * int(input()), end='')"
        tests = stdio((str(1 << 20), "x" * (1 << 20)), (str(2 << 20), "x" * (2 << 20)))
        assert executor.run(program, "", tests).per_test == ("pass", "error")


def test_an_endless_loop_is_a_cpu_timeout_and_ends_the_cases(brief: Executor) -> None:
    program = "n = int(input())\nprint(n)\nwhile n == 2: pass"
    execution = brief.run(program, "", stdio(("1", "1"), ("2", "2"), ("3", "3")))
    assert execution.verdict is Verdict.CPU_TIMEOUT
    assert execution.per_test == ("pass", "missing", "missing")


def test_processor_time_is_limited_over_all_cases_together(brief: Executor) -> None:
    program = "import time\nend = time.process_time() + 0.1\nwhile time.process_time() < end: pass\nprint('x')"
    execution = brief.run(program, "", stdio(*[("", "x")] * 8))
    assert execution.verdict is Verdict.CPU_TIMEOUT
    assert "missing" in execution.per_test


def test_sleeping_is_an_idle_timeout() -> None:
    needs(Layer.NAMESPACES, Layer.FILES)
    with Executor(RESTLESS, servers=1) as executor:
        execution = printed(executor, "import time\nprint('x', flush=True)\ntime.sleep(60)", "x\n")
        assert execution.verdict is Verdict.IDLE_TIMEOUT
        assert execution.passed == 0


def test_time_asleep_is_limited_over_all_cases_together() -> None:
    needs(Layer.NAMESPACES, Layer.FILES)
    with Executor(Limits(cpu_s=0.3, wall_s=0.3, idle_s=0.2), servers=1) as executor:
        execution = executor.run("import time\ntime.sleep(0.1)\nprint('x')", "", stdio(*[("", "x")] * 8))
        assert execution.verdict in (Verdict.IDLE_TIMEOUT, Verdict.WALL_TIMEOUT)


def test_a_memory_blow_up_is_memory(executor: Executor) -> None:
    assert printed(executor, "x = [0] * (1 << 40)", "").verdict is Verdict.MEMORY


# What stays apart.


def test_cases_share_no_state(executor: Executor) -> None:
    program = "import builtins, sys\nprint(getattr(builtins, 'seen', 0), 'seen' in sys.modules)\n"
    program += "builtins.seen = sys.modules['seen'] = 1"
    assert executor.run(program, "", stdio(*[("", "0 False")] * 3)).solved


def test_the_same_program_prints_the_same_in_every_case(executor: Executor) -> None:
    program = "import random\nprint(random.random(), list(set('clarify')))"
    execution = executor.run(program, "", stdio(("", "?")))
    text = execution.detail.removeprefix("case 0: printed ")
    assert executor.run(program, "", stdio(*[("", eval(text))] * 3)).solved


def test_other_kinds_of_tests_run_on_the_same_fork_server(executor: Executor) -> None:
    assert executor.run(SUM, "", stdio(("1 2", "3"))).solved
    before = executor.server_pids
    for tests in (stdio(("1 2", "3")), stdio(("", "x"))):
        executor.run(SUM, "", tests)
    assert executor.server_pids == before
    assert not left_behind(executor)


# Mistakes of the caller.


def test_a_rule_that_nobody_knows_is_refused(executor: Executor) -> None:
    with pytest.raises(ExecutorError, match=r"'line'\. Did you mean 'lines'.*Known: close, exact, lines"):
        executor.run(GOOD, "", stdio(("", ""), compare="line"))
    with pytest.raises(ExecutorError, match="tolerance"):
        executor.run(GOOD, "", stdio(("", ""), compare="close:much"))


def test_input_that_cannot_be_encoded_is_the_callers_mistake(executor: Executor) -> None:
    with pytest.raises(ExecutorError):
        executor.run(SUM, "", stdio(("\ud800", "")))
