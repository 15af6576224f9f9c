"""What a sealed program cannot do, in a world of its own (tier A) and without one (tier B), and what it still can."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from clarify_rl.executor import Executor, Layer
from clarify_rl.types import Verdict
from tests.executor_cases import ATTEMPT, GOOD, LIMITS, alive, needs, on_linux, one

pytestmark = on_linux

WORLDS = {"a world of its own": (), "no namespaces": ("namespaces",), "no Landlock": ("landlock",)}
START = (
    "import ctypes, fcntl, mmap, multiprocessing, os, resource, signal, socket, subprocess, sys, threading, time\n"
    "libc = ctypes.CDLL(None, use_errno=True)\n"
    "def call(name, *args):\n    if getattr(libc, name)(*args) < 0: raise OSError(ctypes.get_errno(), name)\n" + ATTEMPT
)


@dataclass(frozen=True)
class Victim:
    """A file that everybody may read and write, and a port that anybody may connect to."""

    file: Path
    port: int


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as server:
        folder, file = Path(name), Path(name) / "precious"
        folder.chmod(0o777)
        file.write_text("precious", encoding="utf-8")
        file.chmod(0o666)
        yield Victim(file, server.getsockname()[1])


@pytest.fixture(scope="module", params=WORLDS)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with Executor(LIMITS, servers=1, without=WORLDS[request.param]) as executor:
        yield executor


def works(executor: Executor, expression: str, victim: Victim | None = None, start: str = START) -> bool:
    """Whether an expression is true in a program; @FILE@ and @PORT@ stand for the victim's, @US@ for this process."""
    if victim:
        expression = expression.replace("@FILE@", repr(str(victim.file))).replace("@PORT@", str(victim.port))
    program = f"{start}def f():\n    return bool({expression.replace('@US@', str(os.getpid()))})"
    execution = executor.run(program, "f", one(True))
    assert execution.verdict in (Verdict.PASS, Verdict.WRONG), execution.detail
    return execution.solved


FORBIDDEN = {
    "open an internet socket": "attempt(socket.socket)",
    "open a unix socket": "attempt(socket.socket, socket.AF_UNIX)",
    "connect": "attempt(socket.create_connection, ('127.0.0.1', @PORT@), 1)",
    "look up a name": "attempt(socket.gethostbyname, 'example.org')",
    "pass descriptors": "attempt(lambda: socket.send_fds(socket.socketpair()[0], [b'x'], [0]))",
    "fork": "attempt(os.fork)",
    "vfork": "attempt(call, 'vfork')",
    "run a program": "attempt(subprocess.run, ['/bin/true'])",
    "run a program by exec": "attempt(os.execv, sys.executable, ['python', '-c', 'pass'])",
    "run a program by spawn": "attempt(os.posix_spawn, sys.executable, ['python', '-c', 'pass'], {})",
    "start a process of Python's": "attempt(multiprocessing.Process(target=print).start)",
    "run a command": "os.system('true') == 0",
    "read /etc/passwd": "attempt(open, '/etc/passwd')",
    "read a file of ours": "attempt(open, @FILE@)",
    "list a folder of the machine": "attempt(os.listdir, '/var')",
    "list a folder of ours": "attempt(os.listdir, os.path.dirname(@FILE@))",
    "read a device": "attempt(open, '/dev/kmsg')",
    "read /proc/self": "attempt(open, '/proc/self/status')",
    "list /proc": "attempt(os.listdir, '/proc')",
    "read the memory of the fork server": "attempt(open, '/proc/%d/mem' % os.getppid(), 'rb')",
    "read /sys": "attempt(open, '/sys/kernel/mm/transparent_hugepage/enabled')",
    "write a file of ours": "attempt(open, @FILE@, 'r+')",
    "append to a file of ours": "attempt(open, @FILE@, 'a')",
    "empty a file of ours": "attempt(os.truncate, @FILE@, 0)",
    "remove a file of ours": "attempt(os.unlink, @FILE@)",
    "rename a file of ours": "attempt(os.rename, @FILE@, @FILE@ + '2')",
    "link to a file of ours": "attempt(os.link, @FILE@, @FILE@ + '2')",
    "make a symbolic link": "attempt(os.symlink, @FILE@, @FILE@ + '2')",
    "make a file beside ours": "attempt(open, @FILE@ + '2', 'w')",
    "make a file without a name": "attempt(os.open, os.path.dirname(@FILE@), os.O_TMPFILE | os.O_RDWR)",
    "make a folder": "attempt(os.mkdir, @FILE@ + '2')",
    "make a fifo": "attempt(os.mkfifo, @FILE@ + '2')",
    "change the mode of a file of ours": "attempt(os.chmod, @FILE@, 0o600)",
    "change the time of a file of ours": "attempt(os.utime, @FILE@)",
    "change the owner of a file of ours": "attempt(os.chown, @FILE@, os.getuid(), os.getgid())",
    "write anywhere else": "any(attempt(open, f'{folder}/clarify-test', 'w') for folder in "
    "('/tmp', '/var/tmp', '/dev/shm', '/run', '/', '.', os.path.dirname(os.__file__), '/dev'))",
    "change a module": "attempt(open, os.__file__, 'r+')",
    "make memory that is a file": "attempt(os.memfd_create, 'x')",
    "change its root": "attempt(os.chroot, '/')",
    "mount": "attempt(call, 'mount', b'none', b'/tmp', b'tmpfs', 0, None)",
    "enter a user namespace": "attempt(call, 'unshare', 0x10000000)",
    "trace the fork server": "attempt(call, 'ptrace', 16, os.getppid(), 0, 0)",
    "be traced": "attempt(call, 'ptrace', 0, 0, 0, 0)",
    "ask whether the fork server lives": "attempt(os.kill, os.getppid(), 0)",
    "signal process 1": "attempt(os.kill, 1, 0)",
    "signal everybody": "attempt(os.kill, -1, 0)",
    "signal its group": "attempt(os.killpg, 0, 0)",
    "signal us": "attempt(os.kill, @US@, 0)",
    "open a descriptor of the fork server": "attempt(os.pidfd_open, os.getppid())",
    "have the kernel signal others": "attempt(fcntl.fcntl, 3, fcntl.F_SETOWN, os.getppid())",
    "raise its memory limit": "attempt(resource.setrlimit, resource.RLIMIT_AS, (-1, -1))",
    "raise its processor limit": "attempt(resource.setrlimit, resource.RLIMIT_CPU, (-1, -1))",
    "raise its limit on files": "attempt(resource.setrlimit, resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))",
    "lower the limits of the fork server": "attempt(resource.prlimit, os.getppid(), resource.RLIMIT_CPU, (1, 1))",
    "become root": "os.getuid() != 0 and attempt(os.setuid, 0)",
    "become another user": "attempt(os.setresuid, 12345, 12345, 12345)",
    "be more urgent": "attempt(os.nice, -5)",
    "move to other cores": "attempt(os.sched_setaffinity, 0, {0})",
    "lock memory": "attempt(call, 'mlock', id(libc), 4096)",
    "use keys of the kernel": "attempt(call, 'syscall', 250, 0, -4, 0)",
    "set up io_uring": "attempt(call, 'syscall', 425, 8, ctypes.create_string_buffer(120))",
    "leave its session": "attempt(os.setsid)",
    "lift the filter": "attempt(call, 'prctl', 22, 0, 0, 0, 0) or attempt(call, 'prctl', 38, 0, 0, 0, 0)",
    "be dumped again": "attempt(call, 'prctl', 4, 1, 0, 0, 0)",
    "outlive the fork server": "attempt(call, 'prctl', 1, 0, 0, 0, 0)",
    "see our environment": "os.environ or attempt(open, '/proc/self/environ')",
    "see our descriptors": "any(attempt(os.fstat, descriptor) for descriptor in range(5, 1024))",
    "see where we are": "os.getcwd() != '/'",
    "be root": "os.getuid() == 0 or os.getgid() == 0 or 0 in os.getgroups()",
    "see network devices": "attempt(socket.if_nameindex)",
}


@pytest.mark.parametrize("act", FORBIDDEN)
def test_a_program_cannot(executor: Executor, victim: Victim, act: str) -> None:
    if act == "be root" and not executor.capabilities.works(Layer.USER):
        pytest.skip(executor.capabilities.layers[Layer.USER])
    assert not works(executor, FORBIDDEN[act], victim)
    assert victim.file.read_text(encoding="utf-8") == "precious"
    assert [path.name for path in victim.file.parent.iterdir()] == ["precious"]


@pytest.mark.parametrize("act", ["read a file of ours", "write a file of ours", "list a folder of the machine"])
def test_the_same_acts_work_where_nothing_forbids_them(victim: Victim, act: str) -> None:
    with Executor(LIMITS, servers=1, without=("namespaces", "landlock"), allow_weak=True) as executor:
        assert works(executor, FORBIDDEN[act], victim, f"import os\n{ATTEMPT}")
        victim.file.write_text("precious", encoding="utf-8")


@pytest.mark.parametrize("process", ["the caller", "the fork server"])
@pytest.mark.parametrize("signal", [9, 15, 19])
def test_a_program_cannot_kill(executor: Executor, process: str, signal: int) -> None:
    assert executor.run(GOOD, "f", one(2, 1)).solved
    before = executor.server_pids
    pid = os.getpid() if process == "the caller" else before[0]
    for victim in (pid, "os.getppid()", -1, 0, -pid):
        program = f"import os\ntry:\n    os.kill({victim}, {signal})\nexcept OSError:\n    pass\n"
        assert executor.run(program + GOOD, "f", one(2, 1)).solved
    assert executor.server_pids == before and alive(before[0])


# What a program still can.

CAN = {
    "use threads": "list(__import__('concurrent.futures').futures.ThreadPoolExecutor(4).map(abs, [-1, 2])) == [1, 2]",
    "wait on a condition": "threading.Condition().__enter__() and threading.Event().wait(0.01) is False",
    "read its standard library": "len(open(os.__file__).read()) > 1000",
    "write to /dev/null": "open('/dev/null', 'w').write('x') == 1",
    "read /dev/zero": "open('/dev/zero', 'rb').read(2) == bytes(2)",
    "draw chance": "len(os.urandom(8)) == len(open('/dev/urandom', 'rb').read(8)) == 8",
    "use a pipe": "(lambda r, w: os.write(w, b'x') and os.read(r, 1) == b'x')(*os.pipe())",
    "use a pair of sockets": "(lambda a, b: a.sendall(b'x') or b.recv(1) == b'x')(*socket.socketpair())",
    "map memory": "len(mmap.mmap(-1, 4096)) == 4096",
    "set an alarm": "signal.signal(signal.SIGALRM, lambda *_: None) is not None and signal.alarm(1) == 0",
    "signal itself": "signal.signal(10, lambda *_: None) is not None and os.kill(os.getpid(), 10) is None",
    "read its limits": "resource.getrlimit(resource.RLIMIT_AS)[0] > 0",
    "sleep a little": "time.sleep(0.01) is None",
    "keep a database in memory": "__import__('sqlite3').connect(':memory:').execute('select 2').fetchone() == (2,)",
    "know time zones": "__import__('zoneinfo').ZoneInfo('Europe/Berlin').key == 'Europe/Berlin'",
    "write to a file in memory": "__import__('tempfile').SpooledTemporaryFile(99).write(b'x') == 1",
    "know its own name": "os.getpid() > 0 and os.uname().sysname == 'Linux'",
}


@pytest.mark.parametrize("act", CAN)
def test_a_program_can(executor: Executor, act: str) -> None:
    assert works(executor, CAN[act])


def test_asyncio_works(executor: Executor) -> None:
    program = "import asyncio\nasync def g(n):\n    await asyncio.sleep(0.01)\n"
    program += "    return n + await asyncio.to_thread(int, n)\n"
    program += "def f(n):\n    async def both():\n        return sum(await asyncio.gather(g(n), g(0)))\n"
    program += "    return asyncio.run(both())"
    assert executor.run(program, "f", one(4, 2)).solved


def test_threads_are_limited() -> None:
    needs(Layer.NAMESPACES)
    program = (
        "import threading\ndef f():\n    stop, count = threading.Event(), 1\n    try:\n        while count < 60:\n"
    )
    program += "            threading.Thread(target=stop.wait).start()\n            count += 1\n"
    program += "    except RuntimeError:\n        pass\n    stop.set()\n    return count"
    for threads in (2, 8):
        with Executor(replace(LIMITS, threads=threads), servers=1) as executor:
            detail = executor.run(program, "f", one(0)).detail
            assert threads <= int(detail.removeprefix("case 0: returned ")) <= threads + 2
            assert executor.run(GOOD, "f", one(2, 1)).solved


def test_every_program_finds_a_fresh_process(executor: Executor) -> None:
    program = "import builtins, math, os, sys, threading\n"
    program += "def f():\n    fresh = math.pi > 3 and not hasattr(builtins, 'mine') and threading.active_count() == 1\n"
    program += "    builtins.mine, math.pi = 1, 0\n    os.environ['x'] = 'y'\n"
    program += "    threading.Thread(target=threading.Event().wait, daemon=True).start()\n    return fresh"
    for _ in range(3):
        assert executor.run(program, "f", one(True)).solved
