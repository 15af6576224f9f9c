"""Runs untrusted programs on hidden tests: `Executor(Limits()).run(program, entry_point, tests)` gives an `Execution`.

How it holds: a fork server of its own forks one sealed child for each program. Program and inputs go in, plain data
comes out; expected values never leave the caller, so a program can only pass by computing them.

What this first version leaves out: system call filtering (seccomp), Landlock, private mounts and pivot_root, tests
written as assertions (judge) and programs that read and print (stdio). Until then a program can read whatever every
user of the machine can read, and write to world-writable folders. Where the caller is not root it has the caller's own
file rights: `capabilities().summary` says which layers work here. A program that only sleeps is unmeasured: nothing
yet tells it from one that a busy machine starves.
"""

from clarify_rl.executor.capabilities import Capabilities
from clarify_rl.executor.client import Executor, capabilities
from clarify_rl.executor.limits import Limits

__all__ = ["Capabilities", "Executor", "Limits", "capabilities"]
