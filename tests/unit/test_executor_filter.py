"""The filter of system calls, read as the kernel reads it: an interpreter of its programs says what each call gets."""

from __future__ import annotations

import errno
import platform
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clarify_rl.executor.fork_server import seccomp
from clarify_rl.executor.fork_server.syscall_numbers import AUDIT_ARCHITECTURES, NUMBERS

PID = 4711
ALLOWED, KILLED, EPERM, ENOSYS, ENOTTY = "allowed", "killed", "EPERM", "ENOSYS", "ENOTTY"
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
# Flags, as the kernel's headers have them.
CLONE_VM, CLONE_THREAD, CLONE_VFORK = 0x100, 0x10000, 0x4000
THREAD = CLONE_THREAD | CLONE_VM | 0x200 | 0x400 | 0x800 | 0x40000 | 0x80000 | 0x100000 | 0x200000 | 0x1000000
NAMESPACES = (0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
SIGCHLD = 17
# Calls that escape, harm others, or have needed security fixes often; what they are called on x86_64 and on aarch64.
DANGEROUS = {
    "x86_64": "fork=57 vfork=58 execve=59 execveat=322 ptrace=101 socket=41 connect=42 bind=49 listen=50 accept=43 "
    "accept4=288 mount=165 umount2=166 pivot_root=155 chroot=161 unshare=272 setns=308 bpf=321 perf_event_open=298 "
    "userfaultfd=323 io_uring_setup=425 io_uring_enter=426 io_uring_register=427 keyctl=250 add_key=248 "
    "request_key=249 memfd_create=319 memfd_secret=447 process_vm_readv=310 process_vm_writev=311 kcmp=312 "
    "pidfd_getfd=438 pidfd_send_signal=424 tkill=200 rt_sigqueueinfo=129 rt_tgsigqueueinfo=297 setuid=105 setgid=106 "
    "setreuid=113 setresuid=117 setgroups=116 capset=126 link=86 linkat=265 mknod=133 mknodat=259 chown=92 lchown=94 "
    "fchown=93 fchownat=260 setxattr=188 shmget=29 shmat=30 semget=64 msgget=68 mq_open=240 inotify_init=253 "
    "inotify_init1=294 fanotify_init=300 open_by_handle_at=304 name_to_handle_at=303 quotactl=179 swapon=167 "
    "reboot=169 kexec_load=246 init_module=175 finit_module=313 delete_module=176 iopl=172 ioperm=173 modify_ldt=154 "
    "personality=135 acct=163 settimeofday=164 clock_settime=227 adjtimex=159 setpriority=141 sched_setaffinity=203 "
    "sched_setscheduler=144 sched_setattr=314 ioprio_set=251 migrate_pages=256 move_pages=279 mbind=237 sendmmsg=307 "
    "recvmmsg=299 splice=275 tee=276 vmsplice=278 sendfile=40 setpgid=109 timer_create=222 timerfd_create=283 "
    "signalfd4=289 openat2=437 landlock_create_ruleset=444 landlock_add_rule=445 open_tree=428 move_mount=429 "
    "fsopen=430 fsmount=432 mount_setattr=442 process_madvise=440 sethostname=170 vhangup=153 syslog=103 "
    "lookup_dcookie=212 nfsservctl=180 uselib=134 set_thread_area=205 arch_prctl=158",
    "aarch64": "execve=221 execveat=281 ptrace=117 socket=198 connect=203 bind=200 listen=201 accept=202 accept4=242 "
    "mount=40 umount2=39 pivot_root=41 chroot=51 unshare=97 setns=268 bpf=280 perf_event_open=241 userfaultfd=282 "
    "io_uring_setup=425 keyctl=219 memfd_create=279 process_vm_readv=270 process_vm_writev=271 kcmp=272 "
    "pidfd_getfd=438 pidfd_send_signal=424 tkill=130 rt_sigqueueinfo=138 setuid=146 setgid=144 setresuid=147 capset=91 "
    "linkat=37 mknodat=33 fchown=55 fchownat=54 setxattr=5 shmget=194 semget=190 msgget=186 mq_open=180 "
    "inotify_init1=26 open_by_handle_at=265 reboot=142 kexec_load=104 init_module=105 personality=92 setpriority=140 "
    "sched_setaffinity=122 sendmmsg=269 recvmmsg=243 splice=76 sendfile=71 setpgid=154 timer_create=107 openat2=437 "
    "syslog=116 sethostname=161",
}


@pytest.fixture(params=["x86_64", "aarch64"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The filters of one architecture, whichever this is."""
    monkeypatch.setattr(platform, "machine", lambda: request.param)
    caches = (seccomp.wide_filter, seccomp._narrow_template)
    for cache in caches:
        cache.cache_clear()
    yield request.param
    for cache in caches:
        cache.cache_clear()


def decided(
    program: bytes, machine: str, number: int, arguments: Sequence[int], architecture: int | None = None
) -> str:
    """What one filter says to a call: the kernel's classic BPF machine, with the few instructions that are used."""
    audit = AUDIT_ARCHITECTURES[machine] if architecture is None else architecture
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, audit, 0, *(each & 0xFFFFFFFFFFFFFFFF for each in padded))
    code = list(struct.iter_unpack("<HBBI", program))
    place = accumulator = 0
    while True:  # jumps go forwards only, so this ends
        operation, if_true, if_false, constant = code[place]
        place += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, constant)
            case 0x54:
                accumulator &= constant
            case 0x05:
                place += constant
            case 0x15:
                place += if_true if accumulator == constant else if_false
            case 0x35:
                place += if_true if accumulator >= constant else if_false
            case 0x06:
                return said(constant)
            case _:
                raise AssertionError(f"an instruction that the kernel would refuse or we do not use: {operation:#x}")


def said(result: int) -> str:
    actions = {0x7FFF0000: ALLOWED, 0x80000000: KILLED}
    return actions[result] if result in actions else errno.errorcode[result - 0x00050000]


def outcome(
    machine: str, call: str | int, *arguments: int, scratch: bool = False, architecture: int | None = None
) -> str:
    """What a program's call gets: both filters see it, and the stricter one decides."""
    number = NUMBERS[machine][call] if isinstance(call, str) else call
    both = [
        decided(program, machine, number, arguments, architecture)
        for program in (seccomp.wide_filter(scratch), seccomp.narrow_filter(PID))
    ]
    return KILLED if KILLED in both else next((each for each in both if each != ALLOWED), ALLOWED)


def of_server(machine: str, call: str, *arguments: int) -> str:
    """What a call of the fork server's own gets."""
    return decided(seccomp.wide_filter(False), machine, NUMBERS[machine][call], arguments)


# Numbers.


def test_every_number_is_the_kernels(machine: str) -> None:
    if not HEADERS[machine].is_file():
        pytest.skip(f"no {HEADERS[machine]} here")
    text = HEADERS[machine].read_text()
    known = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    aliases = {"newfstatat": "fstatat"} if machine == "aarch64" else {}
    ours = {name: number for name, number in NUMBERS[machine].items() if aliases.get(name, name) in known}
    assert ours == {name: known[aliases.get(name, name)] for name in ours}
    assert len(ours) > 0.9 * len(NUMBERS[machine])  # a new call may be missing from an old header


def test_no_two_calls_have_one_number(machine: str) -> None:
    assert len(set(NUMBERS[machine].values())) == len(NUMBERS[machine])


def test_every_call_that_the_rules_name_is_known_on_some_machine() -> None:
    named = seccomp.PLAIN | seccomp.OF_SCRATCH | seccomp.OF_SERVER
    assert named <= NUMBERS["x86_64"].keys() | NUMBERS["aarch64"].keys()


# What is allowed, and what is not.


@pytest.mark.parametrize("scratch", [False, True])
def test_exactly_the_listed_calls_are_allowed(machine: str, scratch: bool) -> None:
    listed = seccomp.PLAIN | (seccomp.OF_SCRATCH if scratch else frozenset()) | {"sendto"}  # without an address
    numbers = {number for name, number in NUMBERS[machine].items() if name in listed}
    assert {number for number in range(1000) if outcome(machine, number, scratch=scratch) == ALLOWED} - numbers <= {
        NUMBERS[machine]["fcntl"],  # command 0 duplicates
        NUMBERS[machine]["prlimit64"],  # reads
    }
    assert numbers <= {number for number in range(1000) if outcome(machine, number, scratch=scratch) == ALLOWED}


@pytest.mark.parametrize("scratch", [False, True])
def test_no_dangerous_call_is_allowed(machine: str, scratch: bool) -> None:
    for entry in DANGEROUS[machine].split():
        name, number = entry.split("=")
        for arguments in ((), (0,) * 6, (PID,) * 6, (1, 1, 1, 1, 1, 1), (2**64 - 1,) * 6):
            assert outcome(machine, int(number), *arguments, scratch=scratch) == EPERM, name


def test_only_a_program_with_a_folder_of_its_own_may_change_modes(machine: str) -> None:
    for name in seccomp.OF_SCRATCH & NUMBERS[machine].keys():
        assert outcome(machine, name) == EPERM
        assert outcome(machine, name, scratch=True) == ALLOWED


def test_a_call_that_no_table_knows_is_refused(machine: str) -> None:
    for number in (*range(450, 700), 999, 1 << 16, (1 << 30) - 1, (1 << 32) - 1):
        assert outcome(machine, number) == EPERM


def test_no_call_in_the_x32_numbers_is_allowed(machine: str) -> None:
    for number in range(1000):
        assert outcome(machine, number | 0x40000000, PID) == EPERM


@pytest.mark.parametrize("architecture", [0x40000003, 0x40000028, 0xC000003E, 0xC00000B7, 0, 0xC00000F3])
def test_a_call_in_the_manner_of_another_architecture_kills(machine: str, architecture: int) -> None:
    own = architecture == AUDIT_ARCHITECTURES[machine]
    for name in ("read", "execve", "exit_group"):
        number = NUMBERS[machine].get(name, 59)
        assert (outcome(machine, number, architecture=architecture) == KILLED) is not own


# Arguments.


@pytest.mark.parametrize(
    ("flags", "allowed"),
    [
        (THREAD, True),
        (CLONE_THREAD, True),
        (THREAD | 0xFFFFFFFF << 32, True),  # the kernel looks at the low half only
        (SIGCHLD, False),
        (CLONE_VM | CLONE_VFORK | SIGCHLD, False),
        (CLONE_THREAD << 32 | SIGCHLD, False),
        (0, False),
        *((flag, False) for flag in NAMESPACES),
        *((THREAD | flag, False) for flag in NAMESPACES),
    ],
)
def test_clone_starts_threads_and_nothing_else(machine: str, flags: int, allowed: bool) -> None:
    assert outcome(machine, "clone", flags) == (ALLOWED if allowed else EPERM)


def test_the_fork_server_may_fork_but_enter_no_namespace(machine: str) -> None:
    assert of_server(machine, "clone", SIGCHLD) == ALLOWED
    assert {of_server(machine, "clone", SIGCHLD | flag) for flag in NAMESPACES} == {EPERM}


def test_clone3_is_as_if_it_did_not_exist(machine: str) -> None:
    assert outcome(machine, "clone3") == of_server(machine, "clone3") == ENOSYS


@pytest.mark.parametrize("call", ["kill", "tgkill"])
def test_a_program_may_signal_itself_and_nobody_else(machine: str, call: str) -> None:
    assert outcome(machine, call, PID, 9) == ALLOWED
    for other in (0, 1, -1, PID - 1, PID + 1, -PID, PID << 32, 2**31 - 1):
        assert outcome(machine, call, other, 9) == EPERM


def test_a_limit_may_be_read_and_not_set(machine: str) -> None:
    assert outcome(machine, "prlimit64", 0, 9, 0, 0x7FFF0000) == ALLOWED
    for pointer in (0x7FFF0000, 1 << 32, 1, 2**64 - 1):
        assert outcome(machine, "prlimit64", 0, 9, pointer, 0) == EPERM
    assert outcome(machine, "setrlimit", 0, 0) == EPERM


def test_a_thread_may_be_named_and_nothing_else_be_set_with_prctl(machine: str) -> None:
    for option in range(80):
        assert outcome(machine, "prctl", option) == (ALLOWED if option in (15, 16) else EPERM)


def test_socketpair_makes_unix_sockets_only(machine: str) -> None:
    for family in range(46):
        assert outcome(machine, "socketpair", family, 1) == (ALLOWED if family == 1 else EPERM)


@pytest.mark.parametrize("pointer", [1, 0x7FFF0000, 1 << 32, 1 << 63])
def test_nothing_is_sent_to_an_address(machine: str, pointer: int) -> None:
    assert outcome(machine, "sendto", 3, 0x1000, 5, 0, 0, 0) == ALLOWED
    assert outcome(machine, "sendto", 3, 0x1000, 5, 0, pointer, 16) == EPERM


def test_descriptors_do_not_cross_to_a_program(machine: str) -> None:
    for call in ("sendmsg", "recvmsg", "pidfd_open", "seccomp", "setsid"):
        assert outcome(machine, call) == EPERM
        assert of_server(machine, call) == ALLOWED


def test_fcntl_cannot_make_the_kernel_signal_others(machine: str) -> None:
    f_setown, f_setsig, f_setlease, f_notify, f_setpipe_sz = 8, 10, 1024, 1026, 1031
    for command in (f_setown, f_setsig, 15, f_setlease, f_notify, f_setpipe_sz, 1033):
        assert outcome(machine, "fcntl", 3, command) == EPERM
    for command in (0, 1, 2, 3, 4, 1030):
        assert outcome(machine, "fcntl", 3, command) == ALLOWED


def test_ioctl_cannot_type_into_a_terminal(machine: str) -> None:
    tiocsti, tioclinux, fionbio, tcgets = 0x5412, 0x541C, 0x5421, 0x5401
    assert {outcome(machine, "ioctl", 0, request) for request in (tiocsti, tioclinux, 0, 0x8933)} == {ENOTTY}
    assert {outcome(machine, "ioctl", 0, request) for request in (fionbio, tcgets, tcgets | 5 << 32)} == {ALLOWED}


# The programs as such.


def test_filters_are_short_and_end_whatever_the_call(machine: str) -> None:
    wide, narrow = seccomp.wide_filter(True), seccomp.narrow_filter(PID)
    assert len(wide) // 8 < 1000
    assert len(narrow) // 8 < 100
    for program in (wide, narrow):
        code = list(struct.iter_unpack("<HBBI", program))
        for place, (operation, if_true, if_false, constant) in enumerate(code):
            furthest = constant if operation == 0x05 else max(if_true, if_false)
            assert operation == 0x06 or place + 1 + furthest < len(code)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    number=st.integers(0, 2**32 - 1) | st.integers(0, 500), arguments=st.lists(st.integers(0, 2**64 - 1), max_size=6)
)
def test_every_call_gets_one_of_the_known_answers(machine: str, number: int, arguments: list[int]) -> None:
    assert outcome(machine, number, *arguments) in {ALLOWED, EPERM, ENOSYS, ENOTTY}


@given(pid=st.integers(1, 2**22))
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_own_pid_is_put_into_the_narrow_filter_wherever_it_belongs(machine: str, pid: int) -> None:
    narrow = seccomp.narrow_filter(pid)
    for call in ("kill", "tgkill"):
        number = NUMBERS[machine][call]
        assert decided(narrow, machine, number, (pid, 9)) == ALLOWED
        assert decided(narrow, machine, number, (pid + 1, 9)) == EPERM


def test_a_machine_without_a_table_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    seccomp.wide_filter.cache_clear()
    with pytest.raises(OSError, match="no table of system calls for riscv64"):
        seccomp.wide_filter(False)
