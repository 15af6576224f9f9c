"""A world of its own for the fork server: no network, no other processes, and no files but Python's. Needs namespaces.

Standard library only; runs in the fork server before it has seen any program.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from clarify_rl.executor.fork_server.syscalls import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MS_BIND,
    MS_NOATIME,
    MS_NODEV,
    MS_NODIRATIME,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_RELATIME,
    MS_REMOUNT,
    PR_SET_PDEATHSIG,
    cpu_clock_s,
    mount,
    pivot_root,
    prctl,
    unmount,
    unshare,
)

DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
# The new root is built over one of these folders, so that nothing has to be made on the machine's own disks.
STAGES = ("/tmp", "/mnt", "/run", "/var/tmp")
SCRATCH = "/tmp"
PROCESSES = 21  # the descriptor of /proc, open in the fork server alone
# Options that a mount inherits and that only the machine's root may take off.
KEPT = {
    os.ST_NOSUID: MS_NOSUID,
    os.ST_NODEV: MS_NODEV,
    os.ST_NOEXEC: MS_NOEXEC,
    os.ST_NOATIME: MS_NOATIME,
    os.ST_NODIRATIME: MS_NODIRATIME,
    os.ST_RELATIME: MS_RELATIME,
}


def enter_namespaces() -> None:
    """Moves this process into namespaces of its own; OSError where the machine does not allow it."""
    user, group = os.geteuid(), os.getegid()
    flags = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS
    if user == 0:
        unshare(flags)
        return
    unshare(flags | CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def become_first_process(descriptors: Iterable[int]) -> None:
    """Goes on as process 1 of the new namespace; the old process closes these descriptors and only waits."""
    pid = os.fork()
    if pid:
        for descriptor in descriptors:
            os.close(descriptor)
        os.waitpid(pid, 0)
        os._exit(0)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def build_root(readable: Iterable[str], hidden: Iterable[str], scratch_bytes: int) -> None:
    """Leaves only these files and folders, read-only and at their own paths, and /tmp if programs may write there.

    /proc is mounted where no path leads: whoever holds PROCESSES can look at processes, and programs do not hold it.
    """
    mount("", "/", "", MS_REC | MS_PRIVATE)
    stage = next(folder for folder in STAGES if os.path.isdir(folder))
    # Opened first: the stage may cover them.
    sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in (*readable, *DEVICES) if os.path.exists(path)}
    umask = os.umask(0o022)
    mount("tmpfs", stage, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,nr_inodes=4k,mode=755")
    for path, source in sources.items():
        _bind(source, stage + path)
        os.close(source)
    empty = stage + "/empty"
    os.mkdir(empty)
    for path in hidden:
        if os.path.isdir(stage + path):
            mount(empty, stage + path, "", MS_BIND)
    os.makedirs(stage + SCRATCH, exist_ok=True)
    works(lambda: _mount_processes(stage))
    pivot_root(stage)
    if scratch_bytes:
        options = f"size={scratch_bytes},nr_inodes=4k,mode=1777"
        mount("tmpfs", SCRATCH, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options)
    mount("", "/", "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    os.umask(umask)


def sees_processes() -> bool:
    """Whether PROCESSES is open."""
    return works(lambda: os.fstat(PROCESSES))


@dataclass(frozen=True)
class Rest:
    """Seconds in which processes neither ran nor waited for a processor, and what threads ran that have ended since."""

    asleep_s: float
    of_ended_s: float


def rest_of(pids: Iterable[int], wall_s: float) -> Rest | None:
    """How much of `wall_s` these processes were at rest; None if that is unknown.

    A thread's schedstat holds the nanoseconds that it ran and that it waited; those of all threads are added up, so
    that several busy ones hide a sleeping one. What threads ran that have ended is in the process's own clock alone.
    """
    used_s, ran_s, waited_s = 0.0, 0.0, 0.0
    try:
        for pid in pids:
            rows = [_read(f"{pid}/task/{thread}/schedstat").split() for thread in _names(f"{pid}/task")]
            ran_s += sum(int(ran) for ran, _, _ in rows) / 1e9
            waited_s += sum(int(waited) for _, waited, _ in rows) / 1e9
            used_s += cpu_clock_s(pid)
    except (OSError, ValueError):
        return None
    return Rest(max(0.0, wall_s - used_s - waited_s), max(0.0, used_s - ran_s))


def _names(path: str) -> list[str]:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY, dir_fd=PROCESSES)
    try:
        return os.listdir(folder)
    finally:
        os.close(folder)


def _read(path: str) -> bytes:
    file = os.open(path, os.O_RDONLY, dir_fd=PROCESSES)
    try:
        return os.read(file, 1 << 10)
    finally:
        os.close(file)


def _mount_processes(stage: str) -> None:
    folder = stage + "/processes"
    os.mkdir(folder)
    mount("proc", folder, "proc", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    open_processes(folder)
    unmount(folder)
    os.rmdir(folder)


def open_processes(folder: str = "/proc") -> None:
    """Opens PROCESSES; OSError where there is no such folder."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.dup2(opened, PROCESSES, inheritable=False)
    os.close(opened)


def _bind(source: int, target: str) -> None:
    is_folder = os.path.isdir(f"/proc/self/fd/{source}")
    os.makedirs(target if is_folder else os.path.dirname(target), exist_ok=True)
    if not is_folder and not os.path.exists(target):
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
    is_device = target.endswith(DEVICES)
    if not works(lambda: mount(f"/proc/self/fd/{source}", target, "", MS_BIND)):
        mount(f"/proc/self/fd/{source}", target, "", MS_BIND | MS_REC)  # with mounts inside, it is all or nothing
    if not is_device:
        present = os.statvfs(target).f_flag
        kept = sum(flag for bit, flag in KEPT.items() if present & bit)
        mount("", target, "", MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def works(act: Callable[[], object]) -> bool:
    """Whether an act raises no OSError."""
    try:
        act()
    except OSError:
        return False
    return True
