"""Runs untrusted programs on hidden tests, and is useful on its own:

    from clarify_rl.executor import Executor, Limits
    from clarify_rl.types import Case, Tests

    with Executor(Limits(cpu_s=2)) as executor:
        execution = executor.run("def double(n): return 2 * n", "double", Tests((Case((3,), 6),)))
    print(execution.verdict, execution.passed, "of", execution.total)

How it holds: a fork server, started by exec, forks one sealed process for each program. Program and inputs go in, plain
data comes out; expected values never leave the caller, so a program can only pass by computing them. What the sealed
process cannot do is in `capabilities().summary`; `clarify-rl doctor` says it in plain words.

Follow one program: client.py (takes a free fork server) -> pairs.py, assertions.py or stdio.py (the request, and the
verdict) -> process.py (the caller's end) -> fork_server/: server.py -> seal.py (its layers: jail.py, landlock.py,
seccomp.py) -> candidate.py, judge.py (inside).
"""

from clarify_rl.executor.capabilities import Capabilities, Layer
from clarify_rl.executor.client import Executor, capabilities
from clarify_rl.executor.limits import Limits, Profile
from clarify_rl.executor.pairs import Output
from clarify_rl.executor.trial import Trial

__all__ = ["Capabilities", "Executor", "Layer", "Limits", "Output", "Profile", "Trial", "capabilities"]
