"""The fork server: forks one sealed child for each job, watches its processor time, and kills whatever it leaves.

It never sees a program or a test: the caller and the child talk over a socket that is only passed through here. A job
is a JSON header (the limits) with one descriptor; any other message during a job cancels it; end of file ends it all.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from clarify_rl.executor.candidate import run_candidate
from clarify_rl.executor.capabilities import Capabilities
from clarify_rl.executor.limits import Limits
from clarify_rl.executor.report import Report
from clarify_rl.executor.seal import CHANNEL, Sandbox, become, prepare, seal
from clarify_rl.executor.syscalls import PR_GET_NO_NEW_PRIVS, cpu_clock_s, prctl

MESSAGE_BYTES = 1 << 16
# Programs expect these to import even where the standard library is unreadable to the user they run as.
PRELOADED = (
    "math re typing collections itertools functools heapq bisect string random datetime copy operator fractions "
    "decimal statistics json textwrap cmath array queue enum dataclasses abc io types warnings contextlib calendar "
    "numbers hashlib struct threading _strptime unicodedata traceback inspect ast pprint secrets zlib base64 "
    "uuid logging collections.abc encodings.idna encodings.latin_1 encodings.ascii"
).split()


def serve(control_descriptor: int) -> None:
    """Answers jobs on the control socket until the caller closes it or dies."""
    control = socket.socket(fileno=control_descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in PRELOADED:
        importlib.import_module(name)
    sandbox = prepare()
    control.send(json.dumps(vars(_capabilities(sandbox))).encode())
    _forget_traces()
    while True:
        header, descriptors = _receive(control)
        if not header:
            return
        if not descriptors:  # a cancellation that came after its job had ended
            continue
        report = _run_job(control, sandbox, Limits(**json.loads(header)), descriptors[0])
        control.send(json.dumps(vars(report)).encode())


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    """The next message and its descriptors; an empty message when the caller is gone."""
    try:
        header, descriptors, _, _ = socket.recv_fds(control, MESSAGE_BYTES, 1)
    except ConnectionResetError:
        return b"", []
    return header, descriptors


def _forget_traces() -> None:
    """Leaves nothing of the caller's for a program to find, and a heap that forks cheaply."""
    os.environ.clear()
    sys.argv = [""]
    for name in [name for name in sys.modules if name.startswith("clarify_rl")]:
        del sys.modules[name]
    sys.set_int_max_str_digits(0)  # the processor limit takes care of slow conversions
    gc.collect()
    gc.freeze()


def _run_job(control: socket.socket, sandbox: Sandbox, limits: Limits, channel: int) -> Report:
    started_s = time.monotonic()
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        _be_child(sandbox, limits, channel, server)
    os.close(channel)
    why = _watch(control, pid, limits, started_s)
    _, status, usage = os.wait4(pid, 0)
    cpu_s = usage.ru_utime + usage.ru_stime + _sweep(sandbox, pid)
    if why == "gone":
        os._exit(0)
    if cpu_s >= limits.cpu_s and why != "cancelled":  # also when it ended between two looks, or in other processes
        why = "cpu"
    return Report(os.waitstatus_to_exitcode(status), cpu_s, time.monotonic() - started_s, why)


def _be_child(sandbox: Sandbox, limits: Limits, channel: int, server: int) -> NoReturn:
    status = 70
    try:
        seal(sandbox, limits, channel, server)
        run_candidate(CHANNEL, limits.output_bytes)
        status = 0
    finally:
        os._exit(status)


def _watch(control: socket.socket, pid: int, limits: Limits, started_s: float) -> str:
    """Waits for the child to end and kills it when it must; says why it was killed, or ""."""
    ended = os.pidfd_open(pid)
    poller = select.poll()
    poller.register(ended, select.POLLIN)
    poller.register(control, select.POLLIN)
    cores = os.cpu_count() or 1
    why = ""
    while True:
        cpu_left_s = limits.cpu_s - cpu_clock_s(pid)
        wall_left_s = limits.wall_s - (time.monotonic() - started_s)
        why = why or ("cpu" if cpu_left_s <= 0 else "wall" if wall_left_s <= 0 else "")
        if why:
            _kill_group(pid)
        # Threads use up to one second per core and second, so this is the soonest that the limit can be reached.
        pause_s = 0.05 if why else max(0.002, min(cpu_left_s / cores, wall_left_s))
        events = dict(poller.poll(pause_s * 1000))
        if ended in events:
            os.close(ended)
            return why
        if control.fileno() in events:
            why = "cancelled" if _receive(control)[0] else "gone"
            if why == "gone":
                poller.unregister(control)


def _sweep(sandbox: Sandbox, leader: int) -> float:
    """Kills what the child left running; gives the processor seconds that those processes used.

    The server is their subreaper: whatever outlives its parent becomes its child, however it hides.
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
        _kill_group(leader)
        if os.getpid() == 1:
            os.kill(-1, signal.SIGKILL)  # everything else in this namespace
        elif sandbox.user_id is None:
            _kill_children()
        else:
            _kill_user(sandbox.user_id)
        time.sleep(0.001)


def _kill_group(leader: int) -> None:
    for kill in (os.kill, os.killpg):
        try:
            kill(leader, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def _kill_children() -> None:
    for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        os.kill(int(pid), signal.SIGKILL)


def _kill_user(user_id: int) -> None:
    """Kills every process of the sandbox's user at once, which even a fork bomb cannot outrun."""
    pid = os.fork()
    if pid == 0:
        try:
            become(user_id)
            if os.getresuid() == (user_id, user_id, user_id):  # as root this would end the machine
                os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def _capabilities(sandbox: Sandbox) -> Capabilities:
    """What holds, tried in a throwaway child: each forbidden act that works is a layer that does not."""
    reader, writer = os.pipe()
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            seal(sandbox, Limits(), writer, server)
            os.write(CHANNEL, json.dumps(_probe()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    found: dict[str, bool] = json.loads(os.read(reader, MESSAGE_BYTES) or b"{}")
    os.close(reader)
    return Capabilities(
        user_drop=sandbox.user_id is not None and found.get("user_drop", False),
        network_namespace=found.get("network_namespace", False),
        process_namespace=found.get("process_namespace", False),
        process_limit=sandbox.counts_processes,
        resource_limits=found.get("resource_limits", False),
        no_new_privileges=found.get("no_new_privileges", False),
    )


def _works(act: Callable[[], object]) -> bool:
    try:
        act()
    except (OSError, ValueError):
        return False
    return True


def _probe() -> dict[str, bool]:
    return {
        "user_drop": not _works(lambda: os.setresuid(0, 0, 0)),
        "network_namespace": {name for _, name in socket.if_nameindex()} <= {"lo"},
        "process_namespace": os.getppid() == 1,
        "resource_limits": not _works(lambda: resource.setrlimit(resource.RLIMIT_CPU, (1 << 20, 1 << 20))),
        "no_new_privileges": prctl(PR_GET_NO_NEW_PRIVS) == 1,
    }
