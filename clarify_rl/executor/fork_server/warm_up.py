"""Runs small jobs of our own: in the fork server before it forks anything, and in a process that waits for its job.

Python tunes code while it runs it, and builds much when it is first needed. A child would do both in memory that it
shares with the fork server, and copy each page that it touches: a third of its processor time. The pages that it must
copy all the same, for their reference counts, it copies while nobody waits for it.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

from clarify_rl.executor.codec import Tree, dumps
from clarify_rl.executor.fork_server.candidate import SEALED, run_candidate, run_pairs
from clarify_rl.executor.fork_server.judge import Bench, Remote, run_judge
from clarify_rl.executor.fork_server.lines import Channel

ROUNDS = 20  # Python tunes a function after some eight calls
OUTPUT_BYTES = 1 << 20
PATIENCE_MS = 3
NOWHERE = 0  # in a sealed process, /dev/null
PROGRAM = """
class Pair:
    def __init__(self, left, right):
        self.left, self.right = left, right


def double(numbers, text="", pairs=None):
    total = 0
    for number in sorted(numbers):
        total += number * 2 if number % 3 else len(text)
    return [total, f"{total:.1f}", {"a": (1.5, True, None)}]
"""
CHECKS = """
def check(candidate):
    assert candidate([1, 2], text="a") == 3
    assert candidate([3])[0] == 0


check(candidate)
"""


PAIRS: dict[str, Tree] = {
    "mode": "pairs",
    "program": PROGRAM,
    "prelude": "",
    "entry_point": "double",
    "printed": False,
    "inputs": [{"t": [[3, 1, 2], "text", {"d": [["a", 1.5]]}]}, {"t": [[]]}, {"t": [1]}],
}
ASSERTIONS: dict[str, Tree] = {
    "program": PROGRAM,
    "prelude": "",
    "entry_point": "double",
    "setup": "import math\n",
    "checks": [CHECKS],
}
ANSWERS: tuple[Tree, ...] = ({"ok": ["double"]}, {"r": 3}, {"r": [0, "0.0"], "m": [[[3]], {"d": []}], "o": []})


def warm_up() -> None:
    """Runs each kind of job a few times."""
    for _ in range(ROUNDS):
        _warm_pairs()
        _warm_judge()


def _warm_pairs() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.send(_lines(PAIRS))
        run_candidate(theirs.fileno(), None, OUTPUT_BYTES)


def _warm_judge() -> None:
    """The program's answers lie ready in the socket before the judge asks."""
    ours, theirs = socket.socketpair()
    link, program = socket.socketpair()
    with ours, theirs, link, program:
        ours.send(_lines(ASSERTIONS))
        program.send(SEALED + _lines(*ANSWERS))
        run_judge(theirs.fileno(), link.fileno(), OUTPUT_BYTES)


def rehearse(channel: int, run: Callable[[], None]) -> None:
    """Runs a job of our own unless one comes on the channel right away."""
    poller = select.poll()
    poller.register(channel, select.POLLIN)
    if not poller.poll(PATIENCE_MS):
        run()


def rehearse_pairs() -> None:
    link = Channel(NOWHERE, _lines(PAIRS))
    request = link.receive(OUTPUT_BYTES)
    assert isinstance(request, dict)
    run_pairs(link, request, OUTPUT_BYTES)


def rehearse_judge() -> None:
    caller, link = Channel(NOWHERE, _lines(ASSERTIONS)), Channel(NOWHERE, _lines(*ANSWERS))
    request = caller.receive(OUTPUT_BYTES)
    assert isinstance(request, dict)
    remote = Remote(link, OUTPUT_BYTES)
    remote.load()
    bench = Bench(remote, str(request["entry_point"]))
    bench.set_up(str(request["setup"]))
    caller.send(bench.run(CHECKS))


def _lines(*trees: Tree) -> bytes:
    return b"".join(dumps(tree) + b"\n" for tree in trees)
