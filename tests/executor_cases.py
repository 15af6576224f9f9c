"""What the tests of the executor share: small programs, their hidden tests, and a look at its processes.

Every hostile program in these tests runs inside the executor only, and is harmless if it gets out.
"""

from __future__ import annotations

import ast
import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from clarify_rl.executor import Executor, Layer, Limits, Trial, capabilities
from clarify_rl.executor.process import LAUNCH
from clarify_rl.types import Assertions, Case, Execution, Tests

ROOT = Path(__file__).parents[1]
# No test depends on how fast the machine is: what must end well has time enough on one that is thirty times slower, and
# what must run out of its time does nothing else.
LIMITS = Limits(cpu_s=10.0, wall_s=200.0, idle_s=100.0, memory_mb=256)
BRIEF = Limits(cpu_s=0.3, wall_s=200.0, idle_s=100.0, memory_mb=256)
RESTLESS = Limits(cpu_s=10.0, wall_s=200.0, idle_s=0.3, memory_mb=256)
DOUBLE = Tests(tuple(Case((n,), 2 * n) for n in (1, 2, 3)))
GOOD = "def f(n):\n    return 2 * n\n"
SLEEPER = "import time\ndef f(n):\n    time.sleep(60)\n"
SLOW = "import time\ndef f(n):\n    time.sleep(0.2)\n    return 2 * n\n"
SPAN = "import time\ndef f():\n    start = time.monotonic()\n    time.sleep(0.05)\n    return [start, time.monotonic()]"
# For programs that ask whether something forbidden works: `attempt(act, *arguments)`.
ATTEMPT = (
    "def attempt(act, *args, **named):\n    try:\n        act(*args, **named)\n        return True\n"
    "    except (OSError, ValueError, RuntimeError):\n        return False\n"
)
# Says whether `needle-7777` is anywhere in the process that it runs in: among Python's objects, or in what C allocated.
# The kernel reads the memory for it, and refuses what is not mapped.
SEARCH = """
import ctypes, gc, os, re
PAGE, REGION = 1 << 12, 1 << 20
READER, WRITER = os.pipe()
LIBC = ctypes.CDLL(None)
LIBC.sbrk.restype = ctypes.c_void_p
def page(start):
    try:
        os.write(WRITER, (ctypes.c_char * PAGE).from_address(start))
    except OSError:
        return None
    return os.read(READER, PAGE)
def pages():
    for region in {id(each) // REGION for each in gc.get_objects()}:
        yield from (page(start) for start in range(region * REGION, (region + 1) * REGION, PAGE))
    start = LIBC.sbrk(0) // PAGE * PAGE - PAGE
    while found := page(start):
        yield found
        start -= PAGE
def f(*given):
    found = any(each and re.search(b'needle-[7]{4}', each) for each in pages())
    return 'found' if found else 'nothing'
"""

HASHABLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4),
    max_leaves=6,
)
PLAIN_VALUES = st.recursive(
    HASHABLE | st.floats() | st.complex_numbers() | st.integers(min_value=10**30) | st.sets(HASHABLE, max_size=4),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(HASHABLE, inner, max_size=5) | st.tuples(inner),
    max_leaves=12,
)
# Few enough to be equal by chance, or nearly.
NEARLY_EQUAL = st.sampled_from([0, 0.0, -0.0, False, 1, 1.0, True, "1", b"1", 1 + 0j, None, 1 << 53, float(1 << 53)])
FEW_VALUES = st.recursive(
    NEARLY_EQUAL | st.just(math.nan) | st.sets(NEARLY_EQUAL, max_size=2) | st.frozensets(NEARLY_EQUAL, max_size=2),
    lambda inner: (
        st.lists(inner, max_size=2) | st.tuples(inner, inner) | st.dictionaries(NEARLY_EQUAL, inner, max_size=2)
    ),
    max_leaves=4,
)
# What JSON can hold, whether or not `encode` would make it.
TAGS = st.sampled_from("t s z d i f c b o h".split()) | st.text(max_size=2)
JSON_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
    | st.sampled_from(["nan", "inf", "0x1f", "-0x1", "zz", "ff", "fff"]),
    lambda tree: st.lists(tree, max_size=4)
    | st.builds(lambda tag, body: {tag: body}, TAGS, tree)
    | st.dictionaries(TAGS, tree, max_size=2),
    max_leaves=12,
)  # fmt: skip

# A busy machine must not fail a property.
quickly = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the executor needs Linux")


def one(expected: object, *args: object) -> Tests:
    """A single pair."""
    return Tests((Case(args, expected),))


def checks(*checks: str, setup: str = "") -> Assertions:
    """Assertions, one test each."""
    return Assertions(checks, setup)


def same(left: object, right: object) -> bool:
    """Whether two plain values are equal in type and value, nan equal to itself. Written without the codec."""
    if type(left) is not type(right):
        return False
    match left, right:
        case ([*items], [*others]):
            return len(items) == len(others) and all(map(same, items, others))
        case (set() | frozenset(), set() | frozenset()):
            return _same_items([*left], [*right])
        case (dict(), dict()):
            return _same_items([*left.items()], [*right.items()])
        case (complex(real=real, imag=imaginary), complex(real=other_real, imag=other_imaginary)):
            return same(real, other_real) and same(imaginary, other_imaginary)
    return left == right or (left != left and right != right)


def _same_items(left: list[object], right: list[object]) -> bool:
    """Whether each item has one of its own in the other list."""
    for item in left:
        place = next((place for place, other in enumerate(right) if same(item, other)), None)
        if place is None:
            return False
        del right[place]
    return not right


def needs(*layers: Layer) -> None:
    """Skips a test where one of these layers does not work."""
    found = capabilities()
    for layer in layers:
        if not found.works(layer):
            pytest.skip(f"no {layer} here: {found.layers[layer]}")


def launch(folder: Path, patch: str) -> Path:
    """A script that starts the fork server like the real one, after `patch` has changed some of its modules."""
    text = LAUNCH.read_text(encoding="utf-8").replace("Path(__file__)", f"Path({str(LAUNCH)!r})")
    call = "    serve(int(sys.argv[1]))"
    assert call in text
    path = folder / "launch.py"
    path.write_text(text.replace(call, f"    exec({patch!r}, {{}})\n{call}"), encoding="utf-8")
    return path


def in_thread(act: Callable[[], object]) -> threading.Thread:
    """A started thread that runs this."""
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def in_threads(executor: Executor, trials: Sequence[Trial], threads: int) -> list[Execution]:
    """The outcomes of these, in order, with so many callers at once."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda each: executor.run(each.program, each.entry_point, each.tests), trials))


def _span(execution: Execution) -> list[float]:
    """When a program of SPAN began and ended, by the clock that all processes share."""
    found: list[float] = ast.literal_eval(execution.detail.removeprefix("case 0: returned "))
    return found


def most_at_once(executions: list[Execution]) -> int:
    """How many programs ran at one time, at most."""
    changes = sorted((at, change) for each in executions for at, change in zip(_span(each), (1, -1), strict=True))
    running = [sum(change for _, change in changes[: n + 1]) for n in range(len(changes))]
    return max(running)


def descendants(pid: int) -> list[int]:
    """The processes below a process, itself left out. Without /proc, or when it is gone, none."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    children = [int(child) for child in text.split()]
    return children + [grandchild for child in children for grandchild in descendants(child)]


def alive(pid: int) -> bool:
    """Whether a process runs, or could."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def left_behind(executor: Executor, ready: int = 1) -> list[int]:
    """Processes below the fork servers that are neither theirs nor the `ready` ones that wait for the next job."""
    own = executor.capabilities.is_process_one + ready

    def extra() -> list[int]:
        return [pid for server in executor.server_pids for pid in descendants(server)[own:]]

    wait_until(lambda: not extra(), 30.0)
    return extra()


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether this came to hold in time."""
    deadline = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return held


def wait_until_gone(pids: Iterable[int], seconds: float = 60.0) -> bool:
    """Whether all these processes ended in time."""
    return wait_until(lambda: not any(map(alive, pids)), seconds)
