"""Tries, in a sealed throwaway child, everything that no program may do. What works is an escape."""

from __future__ import annotations

import ctypes
import os
import resource
import socket
from collections.abc import Callable, Iterator, Mapping

from clarify_rl.executor.capabilities import Layer
from clarify_rl.executor.fork_server.jail import SCRATCH
from clarify_rl.executor.fork_server.seal import CHANNEL, Sandbox, seal
from clarify_rl.executor.fork_server.syscalls import CLONE_NEWUSER, unshare

PTRACE_ATTACH = 16
FOLDERS = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/", ".")


def escapes(sandbox: Sandbox) -> list[str]:
    """What a sealed program can do here although it must not, in plain words."""
    reader, writer = os.pipe()
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            seal(sandbox, server, writer, None)
            os.write(CHANNEL, "\n".join(["tried", *_working(_acts(sandbox))]).encode())
        finally:
            os._exit(0)
    os.close(writer)
    failures = os.read(reader, 1 << 16).decode()
    os.close(reader)
    os.waitpid(pid, 0)
    tried, *escaped = failures.split("\n")
    return escaped if tried == "tried" else ["run at all: the sealed process died"]


def _acts(sandbox: Sandbox) -> dict[str, Callable[[], object]]:
    """Forbidden acts by what they do; each raises when it is refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getppid()

    def trace() -> None:
        if libc.ptrace(PTRACE_ATTACH, parent, 0, 0) < 0:
            raise PermissionError

    def start_process() -> None:
        if os.fork() == 0:
            os._exit(0)

    def write(folder: str) -> None:
        path = f"{folder}/clarify-executor-probe-{os.getpid()}"
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.unlink(path)

    acts: dict[str, Callable[[], object]] = {
        "open a socket": socket.socket,
        "start a process": start_process,
        "run a program": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "read /etc/passwd": lambda: os.open("/etc/passwd", os.O_RDONLY),
        "raise its limits": lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 50, 1 << 50)),
        "signal the fork server": lambda: os.kill(parent, 0),
        "signal everybody": lambda: os.kill(-1, 0),
        "trace the fork server": trace,
        "enter new namespaces": lambda: unshare(CLONE_NEWUSER),
        "become another user": lambda: os.setresuid(0, 0, 0) if os.getuid() else os.chroot("/"),
    }
    own = SCRATCH if sandbox.limits.files_mb and sandbox.works(Layer.FILES) else ""
    return acts | {f"write to {folder}": lambda folder=folder: write(folder) for folder in FOLDERS if folder != own}


def _working(acts: Mapping[str, Callable[[], object]]) -> Iterator[str]:
    for name, act in acts.items():
        try:
            act()
        except (OSError, ValueError):
            continue
        yield name
