"""The filter of system calls, as programs for the kernel's classic BPF machine. Standard library only.

Two filters lie on each other, and a call must pass both. The wide one is installed once in the fork server and lists
everything that it or a program may call. The narrow one is installed in every child and takes the fork server's calls
away, so that a child pays for a short filter only. What a filter refuses fails with EPERM.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from clarify_rl.executor.fork_server.syscall_numbers import AUDIT_ARCHITECTURES, NUMBERS
from clarify_rl.executor.fork_server.syscalls import prepared, syscall

SET_MODE_FILTER = 1
CLONE_THREAD = 0x00010000
CLONE_NEW = 0x7E020000  # every namespace flag
AF_UNIX = 1
PR_SET_NAME, PR_GET_NAME = 15, 16
FCNTL_COMMANDS = (0, 1, 2, 3, 4, 5, 6, 7, 1030)  # dup, flags, locks. Not F_SETOWN: it sends signals to others
IOCTL_REQUESTS = (0x5401, 0x5421, 0x541B, 0x5450, 0x5451)  # is it a terminal, non-blocking, how much is there, cloexec

# What any program may call: its own memory, threads, clock and signals, and files that other layers let it reach.
PLAIN = frozenset(
    """
    read write close fstat lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn pread64 pwrite64
    readv writev open stat lstat newfstatat openat statx poll ppoll select pselect6 sched_yield mremap madvise msync
    dup dup2 dup3 pause nanosleep clock_nanosleep getitimer alarm setitimer getpid gettid getppid exit exit_group
    wait4 waitid uname flock fsync fdatasync ftruncate getdents64 getcwd chdir fchdir rename renameat
    renameat2 mkdir mkdirat rmdir unlink unlinkat readlink readlinkat access faccessat faccessat2 umask gettimeofday
    getrlimit getrusage sysinfo times time getuid getgid geteuid getegid getpgrp getgroups getresuid getresgid
    getpgid getsid rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack statfs fstatfs futex sched_getaffinity
    getcpu set_tid_address set_robust_list rseq restart_syscall clock_gettime clock_getres epoll_create1 epoll_ctl
    epoll_wait epoll_pwait eventfd2 pipe pipe2 preadv pwritev preadv2 pwritev2 getrandom membarrier close_range
    recvfrom shutdown
    """.split()
)
# Landlock knows no right for these, so only a program with a folder of its own gets them.
OF_SCRATCH = frozenset("chmod fchmod fchmodat utimensat symlink symlinkat creat truncate".split())
# What the fork server calls and no program may.
OF_SERVER = frozenset(
    "kill tgkill prctl prlimit64 setrlimit sendmsg recvmsg pidfd_open setsid seccomp landlock_restrict_self".split()
)

Instruction: TypeAlias = tuple[int, int, int, int]
LOAD, AND, JUMP, IF_EQUAL, IF_AT_LEAST, RETURN = 0x20, 0x54, 0x05, 0x15, 0x35, 0x06
KILL_PROCESS, ERRNO, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
NUMBER_OFFSET, ARCHITECTURE_OFFSET, ARGUMENTS_OFFSET = 0, 4, 16
LONGEST_JUMP = 255


@dataclass(frozen=True)
class Argument:
    """A condition on the low or high half of an argument: these of its bits have this value."""

    index: int
    value: int
    bits: int = 0xFFFFFFFF
    high: bool = False


@dataclass(frozen=True)
class CallRule:
    """What happens to a call: allowed if all conditions of one alternative hold, else refused with this error."""

    alternatives: tuple[tuple[Argument, ...], ...]
    error: int = errno.EPERM


ALLOWED = CallRule(((),))
REFUSED = CallRule(())


def is_null(index: int) -> tuple[Argument, Argument]:
    """The conditions that a pointer is null."""
    return Argument(index, 0), Argument(index, 0, high=True)


@functools.cache
def wide_filter(scratch: bool, emptying: bool = True) -> bytes:
    """The fork server's filter: everything that it or a program may call.

    `scratch`: programs have a folder to write to. `emptying`: other layers see to it that no other file is emptied.
    """
    rules = dict.fromkeys(PLAIN | OF_SERVER | (OF_SCRATCH if scratch else frozenset()), ALLOWED)
    rules["clone"] = CallRule(((Argument(0, 0, CLONE_NEW),),))
    if not emptying:
        rules["open"] = CallRule(((Argument(1, 0, os.O_TRUNC),),))
        rules["openat"] = CallRule(((Argument(2, 0, os.O_TRUNC),),))
    rules["clone3"] = CallRule((), errno.ENOSYS)  # the C library then uses clone, whose flags a filter can read
    rules["fcntl"] = CallRule(tuple((Argument(1, command),) for command in FCNTL_COMMANDS))
    rules["ioctl"] = CallRule(tuple((Argument(1, request),) for request in IOCTL_REQUESTS), errno.ENOTTY)
    rules["socketpair"] = CallRule(((Argument(0, AF_UNIX),),))
    rules["sendto"] = CallRule((is_null(4),))  # to the other end only, never to an address
    return _compiled(rules, otherwise=REFUSED, check_architecture=True)


def narrow_filter(own_pid: int) -> bytes:
    """A program's filter on top of the wide one."""
    return _narrow_template().replace(struct.pack("I", _PID_MARK), struct.pack("I", own_pid))


_PID_MARK = 0x5EA1ED00


@functools.cache
def _narrow_template() -> bytes:
    rules = dict.fromkeys(OF_SERVER, REFUSED)
    rules["clone"] = CallRule(((Argument(0, CLONE_THREAD, CLONE_THREAD),),))
    rules["kill"] = rules["tgkill"] = CallRule(((Argument(0, _PID_MARK),),))
    rules["prlimit64"] = CallRule((is_null(2),))
    rules["prctl"] = CallRule(((Argument(0, PR_SET_NAME),), (Argument(0, PR_GET_NAME),)))
    return _compiled(rules, otherwise=ALLOWED, check_architecture=False)


def install(program: bytes) -> None:
    """Puts a filter on this process and all that it forks, for good; OSError when the kernel refuses."""
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    syscall(_numbers()["seccomp"], SET_MODE_FILTER, 0, header)


class _Narrow:
    """The narrow filter, laid out before the fork: a child sets its own pid and makes one call."""

    def __init__(self) -> None:
        program = _narrow_template()
        self.buffer = ctypes.create_string_buffer(program, len(program))
        self.header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(self.buffer))
        self.call = prepared(_numbers()["seccomp"], SET_MODE_FILTER, 0, self.header)
        mark = struct.pack("I", _PID_MARK)
        self.places = [at for at in range(0, len(program), 4) if program[at : at + 4] == mark]


_narrow = functools.cache(_Narrow)


def is_known() -> bool:
    """Whether there is a table of system calls for this architecture."""
    return platform.machine() in NUMBERS


def lay_out_narrow() -> None:
    """Prepares for `install_narrow`, where that can be done at all."""
    if is_known():
        _narrow()


def install_narrow(own_pid: int) -> None:
    """Puts the narrow filter on this process, which has this pid."""
    narrow = _narrow()
    for place in narrow.places:
        struct.pack_into("I", narrow.buffer, place, own_pid)
    narrow.call()


def _numbers() -> Mapping[str, int]:
    machine = platform.machine()
    if machine not in NUMBERS:
        raise OSError(errno.ENOSYS, f"no table of system calls for {machine}")
    return NUMBERS[machine]


def _compiled(rules: Mapping[str, CallRule], otherwise: CallRule, check_architecture: bool) -> bytes:
    """Rules as a search tree over the call's number, so that installing and passing it cost little."""
    numbers = _numbers()
    steps = {0: otherwise}
    for name, rule in sorted(rules.items(), key=lambda item: numbers.get(item[0], -1)):
        if name in numbers:
            steps[numbers[name]] = rule
            steps[numbers[name] + 1] = otherwise
    code: list[Instruction] = []
    if check_architecture:
        code += [(LOAD, 0, 0, ARCHITECTURE_OFFSET)]
        code += [(IF_EQUAL, 1, 0, AUDIT_ARCHITECTURES[platform.machine()]), (RETURN, 0, 0, KILL_PROCESS)]
    code += [(LOAD, 0, 0, NUMBER_OFFSET), *_tree(_merged(steps))]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)


def _merged(steps: Mapping[int, CallRule]) -> list[tuple[int, CallRule]]:
    """Where each run of equal rules begins."""
    merged: list[tuple[int, CallRule]] = []
    for number, rule in sorted(steps.items()):
        if not merged or merged[-1][1] != rule:
            merged.append((number, rule))
    return merged


def _tree(steps: Sequence[tuple[int, CallRule]]) -> list[Instruction]:
    if len(steps) == 1:
        return _block(steps[0][1])
    middle = len(steps) // 2
    below, above = _tree(steps[:middle]), _tree(steps[middle:])
    if len(below) <= LONGEST_JUMP:
        return [(IF_AT_LEAST, len(below), 0, steps[middle][0]), *below, *above]
    return [(IF_AT_LEAST, 0, 1, steps[middle][0]), (JUMP, 0, 0, len(below)), *below, *above]


def _block(rule: CallRule) -> list[Instruction]:
    code = [instruction for conditions in rule.alternatives for instruction in _alternative(conditions)]
    return code if () in rule.alternatives else [*code, (RETURN, 0, 0, ERRNO | rule.error)]


def _alternative(conditions: Sequence[Argument]) -> list[Instruction]:
    """Allows the call if all conditions hold, and goes on behind itself if not."""
    code: list[Instruction] = [(RETURN, 0, 0, ALLOW)]
    for condition in reversed(conditions):
        code.insert(0, (IF_EQUAL, 0, len(code), condition.value))
        if condition.bits != 0xFFFFFFFF:
            code.insert(0, (AND, 0, 0, condition.bits))
        code.insert(0, (LOAD, 0, 0, ARGUMENTS_OFFSET + 8 * condition.index + 4 * condition.high))
    return code
