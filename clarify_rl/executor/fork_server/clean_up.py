"""Removes what a program left: files in its private /tmp, and processes where no filter forbade them."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from clarify_rl.executor.fork_server.jail import SCRATCH
from clarify_rl.executor.fork_server.seal import Sandbox


def empty_scratch() -> None:
    """Empties the private /tmp; an error ends the fork server, and the folder with it.

    Works with descriptors and one level at a time, so that neither links nor the depth of a tree matter: what a folder
    holds is moved to the top and waits there for its turn.
    """
    top = os.open(SCRATCH, os.O_RDONLY | os.O_DIRECTORY)
    numbers = itertools.count()
    while names := os.listdir(top):
        for name in names:
            if _is_folder(name, top):
                _empty_folder(name, top, numbers)
                os.rmdir(name, dir_fd=top)
            else:
                os.unlink(name, dir_fd=top)
    os.close(top)


def _empty_folder(name: str, top: int, numbers: Iterator[int]) -> None:
    os.chmod(name, 0o700, dir_fd=top)
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
    for inner in os.listdir(folder):
        if _is_folder(inner, folder):
            os.chmod(inner, 0o700, dir_fd=folder)
            os.rename(inner, _unused(top, numbers), src_dir_fd=folder, dst_dir_fd=top)
        else:
            os.unlink(inner, dir_fd=folder)
    os.close(folder)


def _unused(top: int, numbers: Iterator[int]) -> str:
    """A name that is not taken."""
    taken = set(os.listdir(top))
    return next(name for number in numbers if (name := f"moved-{number}") not in taken)


def _is_folder(name: str, parent: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def sweep(sandbox: Sandbox, leader: int) -> float:
    """Kills what a program left running; gives the processor seconds that those processes used.

    The fork server is their subreaper: whatever outlives its parent becomes its child, however it hides.
    """
    cpu_s = 0.0
    while True:
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return cpu_s
        if pid:
            cpu_s += usage.ru_utime + usage.ru_stime
            continue
        if os.getpid() == 1:
            os.kill(-1, signal.SIGKILL)  # everything else in this namespace
        elif sandbox.user_id is not None:
            _kill_user(sandbox.user_id)
        else:
            _kill_children(leader)
        time.sleep(0.001)


def _kill_children(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        os.kill(int(pid), signal.SIGKILL)


def _kill_user(user_id: int) -> None:
    """Kills every other process of the sandbox's user at once, which even a fork bomb cannot outrun."""
    if os.getresuid() == (user_id, user_id, user_id):  # as anyone else this would reach processes of the caller
        os.kill(-1, signal.SIGKILL)
