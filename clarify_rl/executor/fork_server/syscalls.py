"""The few Linux calls that Python 3.11 does not offer. Standard library only; runs in the fork server."""

from __future__ import annotations

import ctypes
import os
import platform
import time
from collections.abc import Callable

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_RELATIME = 1 << 21
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39
CAPABILITY_VERSION_3 = 0x20080522
LAST_CAPABILITY = 40
CPUCLOCK_SCHED = 2
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def syscall(number: int, *arguments: int | bytes | None) -> int:
    """The result of a system call; OSError when it fails."""
    passed = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *passed))


def prepared(number: int, *arguments: int | bytes | None) -> Callable[[], int]:
    """A system call with its arguments converted, ready to be made: a forked child then touches little memory."""
    passed = [
        ctypes.c_long(number),
        *(ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments),
    ]
    return lambda: _checked(_libc.syscall(*passed))


def prctl(option: int, value: int = 0) -> int:
    """The result of prctl(2); OSError when it fails."""
    return _checked(_libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)))


_die_with_parent = tuple(ctypes.c_ulong(value) for value in (PR_SET_PDEATHSIG, 9, 0, 0, 0))


def die_with_parent() -> None:
    """Has the kernel kill this process when its parent dies. Made to touch little memory, which a fork would copy."""
    _checked(_libc.prctl(*_die_with_parent))


def unshare(flags: int) -> None:
    """Moves this process into new namespaces; OSError when it may not."""
    _checked(_libc.unshare(flags))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """mount(2); OSError when it fails."""
    _checked(_libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()))


def unmount(target: str) -> None:
    """Takes a mount out of sight; it ends when nobody uses it."""
    _checked(_libc.umount2(target.encode(), MNT_DETACH))


def pivot_root(new_root: str) -> None:
    """Makes a mounted folder the root of this mount namespace and lets go of the old root."""
    os.chdir(new_root)
    syscall(PIVOT_ROOT[platform.machine()], b".", b".")
    unmount(".")
    os.chdir("/")


def drop_capabilities() -> None:
    """Gives up every capability of this process, and of whatever it could run."""
    for capability in range(LAST_CAPABILITY + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            break  # an unknown one, or no right to drop: then there is nothing to give up
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, (ctypes.c_uint32 * 6)()))


def cpu_clock_s(pid: int) -> float:
    """Processor seconds that a process has used so far; 0.0 when it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)
    except OSError:
        return 0.0


def _checked(result: int) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno))
    return result
