"""Takes rights away from the process that will run a program. Runs in the fork server, with the standard library only.

`prepare` is called once in the fork server and finds out what works on this machine, by trying it in a throwaway child.
`seal` is called in every forked child, before the program arrives.
"""

from __future__ import annotations

import os
import pwd
import resource
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clarify_rl.executor.limits import Limits
from clarify_rl.executor.syscalls import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    drop_capabilities,
    prctl,
    unshare,
)

# Neither systemd nor the distributions give out these user ids.
USER_IDS = range(60600, 61100)
CHANNEL = 3
OPEN_FILES = 64
STACK_BYTES = 64 << 20


@dataclass(frozen=True)
class Sandbox:
    """What works on this machine. `user_id` None: programs run as the caller's user.

    `isolated`: the fork server has its own network, process ids and, where it is not root, user namespace. It is then
    the first process there: no program can signal it or anything outside, and its end is the end of all of them.
    """

    user_id: int | None
    isolated: bool
    claim: socket.socket | None = None

    @property
    def counts_processes(self) -> bool:
        """Whether a limit on processes counts the program's alone, not the caller's too."""
        return self.isolated or self.user_id is not None


def prepare() -> Sandbox:
    """Isolates the fork server as far as this machine allows. Root must be able to become another user."""
    is_root = os.geteuid() == 0
    user_id, claim = _claim_user_id() if is_root else (None, None)
    if user_id is not None and not attempt(lambda: become(user_id)):
        raise PermissionError("root cannot change to another user here; run as an ordinary user")
    flags = CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | (0 if is_root else CLONE_NEWUSER)
    isolated = attempt(lambda: unshare(flags))
    if isolated:
        unshare(flags)
        _become_first_process()
        if not is_root:
            drop_capabilities()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_DUMPABLE, 0)
    return Sandbox(user_id, isolated, claim)


def _become_first_process() -> None:
    """Goes on as process 1 of the new namespace; the old process only waits for it."""
    pid = os.fork()
    if pid:
        os.closerange(CHANNEL, 1 << 20)
        os.waitpid(pid, 0)
        os._exit(0)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def attempt(act: Callable[[], object]) -> bool:
    """Whether an act works, tried in a throwaway child."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            act()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


def become(user_id: int) -> None:
    """Changes to an unprivileged user for good."""
    os.setgroups([])
    os.setresgid(user_id, user_id, user_id)
    os.setresuid(user_id, user_id, user_id)


def seal(sandbox: Sandbox, limits: Limits, channel: int, server: int) -> None:
    """Leaves this process with the channel as descriptor 3, /dev/null as 0 to 2, and few rights."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(CHANNEL):
        os.dup2(null, descriptor)
    os.dup2(channel, CHANNEL)
    os.closerange(CHANNEL + 1, 1 << 20)
    _limit(limits, sandbox.counts_processes)
    if sandbox.user_id is not None:
        become(sandbox.user_id)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of user, which resets it
    if os.getppid() != server:
        raise ProcessLookupError("the fork server died first")
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _limit(limits: Limits, counts_processes: bool) -> None:
    cpu_s = int(limits.cpu_s) + 1  # whole seconds: the server's own clock is the exact one
    hard = {
        resource.RLIMIT_CPU: cpu_s + 1,
        resource.RLIMIT_AS: limits.memory_bytes,
        resource.RLIMIT_FSIZE: limits.files_mb << 20,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_STACK: STACK_BYTES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
    }
    if counts_processes:  # elsewhere the count would include the caller's own processes
        hard[resource.RLIMIT_NPROC] = limits.processes
    for kind, most in hard.items():
        allowed = resource.getrlimit(kind)[1]
        most = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
        resource.setrlimit(kind, (min(cpu_s, most) if kind == resource.RLIMIT_CPU else most, most))


def _claim_user_id() -> tuple[int, socket.socket]:
    """A user id that nobody else uses. The socket's name is the claim: it frees itself when the fork server dies."""
    known = {entry.pw_uid for entry in pwd.getpwall()}
    for user_id in USER_IDS:
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0clarify-executor-{user_id}")
        except OSError:
            claim.close()
            continue
        if user_id not in known and not _in_use(user_id):
            return user_id, claim
        claim.close()
    raise OSError(f"no free user id from {USER_IDS.start} to {USER_IDS.stop - 1}")


def _in_use(user_id: int) -> bool:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == user_id:
                return True
        except OSError:
            continue
    return False
