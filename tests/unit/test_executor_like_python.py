"""Programs that read and print do in the executor what they do when Python itself runs them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clarify_rl.executor import Executor
from clarify_rl.types import Stdio, StdioCase, Verdict
from tests.executor_cases import LIMITS, on_linux

pytestmark = on_linux

GIVEN = "3\n1 2 3\nlast"
PROGRAMS = {
    "reads and prints": "n = int(input())\nprint(n, *map(int, input().split()), sep='-', end='!')\nprint(input())",
    "asks with a prompt": "print(input('how many? '))",
    "mixes buffers": "import os, sys\nprint('a', flush=True)\nos.write(1, b'b\\n')\nsys.stdout.buffer.write(b'c')",
    "mixes buffers without flushing": "import os, sys\nprint('a')\nos.write(1, b'b\\n')\nsys.stdout.buffer.write(b'c')",
    "exits in a function": "import sys\ndef f():\n    print('x')\n    sys.exit()\nf()\nprint('y')",
    "exits with a number": "import sys\nprint('x')\nsys.exit(3)",
    "exits with text": "import sys\nprint('x')\nsys.exit('bad')",
    "exits with False": "import sys\nprint('x')\nsys.exit(False)",
    "exits at once": "import os\nprint('lost')\nos._exit(0)",
    "exits in finally": "import sys\ntry:\n    1 / 0\nfinally:\n    print('x')\n    sys.exit(0)",
    "raises at the end": "print('x')\n[][0]",
    "raises its own": "class E(Exception): pass\nprint('x')\nraise E('bad')",
    "is interrupted": "print('x')\nraise KeyboardInterrupt",
    "runs exit functions in order": "import atexit\natexit.register(print, 1)\natexit.register(print, 2)\nprint(0)",
    "runs exit functions after a failure": "import atexit\natexit.register(print, 1)\nprint(0)\n1 / 0",
    "runs exit functions after sys.exit": "import atexit, sys\natexit.register(print, 1)\nprint(0)\nsys.exit()",
    "raises in an exit function": "import atexit\natexit.register(lambda: 1 / 0)\natexit.register(print, 1)\nprint(0)",
    "uses its names at exit": "import atexit\ndef f():\n    print(g(x))\ng = str\nx = 5\natexit.register(f)",
    "deletes objects at the end": "class A:\n    def __del__(self): print('gone')\na = A()\nprint('end')",
    "deletes what uses modules": "import math\nclass A:\n    def __del__(self): print(math.pi)\na = A()\nb = [a]",
    "closes generators": "def g():\n    try:\n        yield 1\n    finally:\n        print('closed')\n"
    "x = g()\nprint(next(x))",
    "leaves a file of its own open": "out = open(1, 'w', closefd=False)\nout.write('a')\nprint('b')",
    "leaves a buffer open": "import io\nout = io.BufferedWriter(io.FileIO(1, 'w', closefd=False))\nout.write(b'a')",
    "replaces its output": "import io, sys\nold, sys.stdout = sys.stdout, io.StringIO()\nprint('a')\n"
    "old.write(sys.stdout.getvalue() + 'b')",
    "replaces its output for good": "import io, sys\nsys.stdout = io.StringIO()\nprint('lost')",
    "wraps its output": "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'utf-8')\nprint('ü')",
    "wraps its input": "import io, sys\nsys.stdin = io.TextIOWrapper(sys.stdin.buffer, 'utf-8')\nprint(input())",
    "detaches its output": "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.detach())\nprint('ü')",
    "asks what its streams are": "import sys\nprint(sys.stdin.seekable(), sys.stdout.seekable(), sys.stdin.isatty())",
    "asks for their encodings": "import sys\nprint(*((s.encoding, s.errors) for s in (sys.stdin, sys.stdout)))",
    "sets their encodings": "import sys\nsys.stdout.reconfigure(encoding='utf-8')\nprint('ü', sys.stdin.fileno())",
    "flushes by a method of its own": "import os, sys\nclass Out:\n    text = ''\n"
    "    def write(self, s): self.text += s\n    def flush(self): os.write(1, self.text.encode())\n"
    "sys.stdout = Out()\nprint('a')",
    "reads by a class of its own": "import sys\nclass In:\n    def readline(self): return 'mine\\n'\n"
    "sys.stdin = In()\nprint(input())",
    "closes its output": "import sys\nprint('a')\nsys.stdout.close()",
    "closes its input": "import sys\nsys.stdin.close()\nprint('a')",
    "has no output any more": "import sys\nprint('a')\nsys.stdout.flush()\nsys.stdout = None\nprint('b')",
    "waits for threads": "import threading, time\ndef f():\n    time.sleep(0.05)\n    print('x')\n"
    "threading.Thread(target=f).start()\nprint('y')",
    "leaves a daemon": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    "print('x')",
    "waits for threads after an exit": "import sys, threading, time\ndef f():\n    time.sleep(0.05)\n    print('x')\n"
    "threading.Thread(target=f).start()\nsys.exit(2)",
    "waits for threads after a failure": "import threading, time\ndef f():\n    time.sleep(0.05)\n    print('x')\n"
    "threading.Thread(target=f).start()\n1 / 0",
    "raises in a thread": "import threading\nthreading.Thread(target=int, args=('x',)).start()\nprint('y')",
    "exits in a thread": "import sys, threading\nthreading.Thread(target=sys.exit, args=(3,)).start()\nprint('y')",
    "leaves an executor to its end": "from concurrent.futures import ThreadPoolExecutor\n"
    "ThreadPoolExecutor(2).submit(print, 'x')",
    "is the main module": "import sys\nprint(__name__, sys.modules['__main__'].__name__, len(sys.argv), __doc__)",
    "has a docstring": "'about'\nprint(__doc__)",
    "defines a dataclass": "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int = 1\n"
    "print(P(), P.__module__)",
    "has annotations": "x: int = 1\ndef f(a: int) -> str: ...\nprint(__annotations__, f.__annotations__)",
    "pickles its classes": "import pickle\nclass P: pass\nprint(type(pickle.loads(pickle.dumps(P()))) is P)",
    "is wrong Python": "print('x')\nprint(",
    "prints what no encoding knows": "print('\\ud800')",
    "prints in every language": "print('☃ ü')",
    "reads beyond the end": "while True: print(input())",
    "reads bytes and text": "import sys\nprint(sys.stdin.buffer.readline(), sys.stdin.read())",
    "draws from sets": "print(list({'a', 'b', 'c', 'd'}))",
    "warns": "import warnings\nwarnings.warn('x')\nprint('y')",
    "exits by a builtin": "print('x')\nexit()",
    "quits with a number": "print('x')\nquit(1)",
    "catches its exit": "try:\n    exit()\nexcept SystemExit:\n    print('caught')",
}


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(LIMITS, servers=1) as executor:
        yield executor


@pytest.mark.parametrize(
    "what",
    PROGRAMS,
)
def test_a_program_does_what_it_does_in_python_if_it(executor: Executor, tmp_path: Path, what: str) -> None:
    file = tmp_path / "program.py"
    file.write_text(PROGRAMS[what], encoding="utf-8")
    environment = {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}
    python = subprocess.run(
        [sys.executable, file], input=GIVEN.encode(), capture_output=True, env=environment, timeout=60, check=False
    )
    tests = Stdio((StdioCase(GIVEN, python.stdout.decode()),), compare="exact")
    execution = executor.run(PROGRAMS[what], "", tests)
    assert execution.verdict is (Verdict.ERROR if python.returncode else Verdict.PASS), execution.detail
