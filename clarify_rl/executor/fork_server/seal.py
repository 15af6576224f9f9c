"""Takes rights away: once from the fork server, for all that it forks, and the rest from each child.

`prepare` applies one layer after the other to the fork server, each after it has been tried in a throwaway child: the
layer went on, and the act that it forbids failed. `seal` is called in every forked child before the program arrives.
"""

from __future__ import annotations

import os
import pwd
import resource
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clarify_rl.executor.capabilities import Layer
from clarify_rl.executor.fork_server import jail, landlock, seccomp
from clarify_rl.executor.fork_server.syscalls import (
    CLONE_NEWNS,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    die_with_parent,
    drop_capabilities,
    prctl,
    unshare,
)
from clarify_rl.executor.limits import Limits, Settings

# Neither systemd nor the distributions give out these user ids.
USER_IDS = range(60600, 61100)
CHANNEL, STREAM = 3, 4
RULES = 22
OPEN_FILES = 64
STACK_BYTES = 64 << 20
OTHER_PROCESSES = 3  # of the same user, besides a program's threads: the fork server, its first process, a judge
# Shared libraries that Python's own modules load, and what tells where they are.
LIBRARIES = (
    "/lib64",
    "/usr/lib64",
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/etc/ld.so.cache",
    "/usr/share/zoneinfo",
)
HIDDEN = ("site-packages", "dist-packages", "test")
OWN = "clarify_rl"  # our own problems come with their solutions


@dataclass(frozen=True)
class Sandbox:
    """What the fork server found out about this machine, and holds on to."""

    limits: Limits
    layers: dict[str, str]
    user_id: int | None
    claim: socket.socket | None
    rules: int | None
    """Landlock's rules, if each child is to put them on itself."""

    def works(self, layer: Layer) -> bool:
        return self.layers[layer] == ""


class _Layers:
    """Applies layers in turn and writes down why one could not be applied."""

    def __init__(self, without: tuple[str, ...]) -> None:
        self.without = without
        self.found: dict[str, str] = {}

    def add(self, layer: Layer, trial: Callable[[], None], apply: Callable[[], object]) -> bool:
        """Applies a layer if its trial, in a throwaway child, raises nothing."""
        self.found[layer] = "turned off" if layer in self.without else tried(trial)
        if self.found[layer]:
            return False
        apply()
        return True


def tried(trial: Callable[[], None]) -> str:
    """What went wrong when a throwaway child tried this; "" when nothing did."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        why = "the child died"
        try:
            trial()
            why = ""
        except BaseException as error:
            why = f"{type(error).__name__}: {error}"
        finally:
            os.write(writer, b"." + why.encode())
            os._exit(0)
    os.close(writer)
    answer = os.read(reader, 1 << 12)
    os.close(reader)
    os.waitpid(pid, 0)
    return answer[1:].decode("utf-8", "replace") if answer else "the child was killed"


def must_fail(act: Callable[[], object], what: str) -> None:
    """RuntimeError when a forbidden act works."""
    try:
        act()
    except (OSError, ValueError):
        return
    raise RuntimeError(f"{what} still works")


def prepare(settings: Settings, keep: tuple[int, ...]) -> Sandbox:
    """Applies every layer that this machine allows. A process that is left behind closes the descriptors `keep`."""
    limits, layers = settings.limits, _Layers(settings.without)
    user_id, claim = _claim_user_id() if os.geteuid() == 0 else (None, None)
    readable, hidden = _python_files(settings.profile.packages)
    if layers.add(Layer.NAMESPACES, _try_namespaces, jail.enter_namespaces):
        jail.become_first_process(keep)
    scratch_bytes = limits.files_mb << 20
    _add_files(layers, lambda: jail.build_root(readable, hidden, scratch_bytes))
    dropped = _add_user(layers, user_id)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    drop_capabilities()
    prctl(PR_SET_DUMPABLE, 0)
    if layers.found[Layer.NAMESPACES] == "":
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # once more: a change of user takes it away
    counts = dropped or layers.found[Layer.NAMESPACES] == ""  # elsewhere the caller's own processes would count
    layers.add(Layer.LIMITS, lambda: _try_limits(limits, counts), lambda: _limit(limits, counts))
    scratch = bool(scratch_bytes) and layers.found[Layer.FILES] == ""
    allowed = _without_hidden(readable)
    writable = (jail.SCRATCH,) if scratch else ()

    # Where programs would find the fork server's /proc, only they must be kept from it: each child restricts itself.
    late = layers.found[Layer.NAMESPACES] != "" and jail.works(jail.open_processes)
    processes = (jail.PROCESSES,) if jail.sees_processes() and not late else ()

    def rules() -> int:
        return landlock.ruleset((*allowed, *jail.DEVICES), (*writable, "/dev/null"), processes)

    apply = lambda: _keep(rules(), RULES) if late else landlock.restrict(rules())  # noqa: E731 - one of two acts
    late = layers.add(Layer.LANDLOCK, lambda: _try_landlock(rules), apply) and late
    emptying = layers.found[Layer.FILES] == "" or not jail.works(landlock.version) or landlock.version() >= 3
    wide = seccomp.wide_filter(scratch, emptying) if seccomp.is_known() else b""
    layers.add(Layer.SECCOMP, lambda: _try_seccomp(wide), lambda: seccomp.install(wide))
    seccomp.lay_out_narrow()
    return Sandbox(limits, layers.found, user_id if dropped else None, claim, RULES if late else None)


def _keep(descriptor: int, number: int) -> None:
    os.dup2(descriptor, number, inheritable=False)
    os.close(descriptor)


def seal(sandbox: Sandbox, server: int, channel: int, stream: int | None) -> None:
    """Leaves this child with the channel as descriptor 3, the stream as 4, /dev/null as 0 to 2, and no rights."""
    if sandbox.rules is not None:
        landlock.restrict(sandbox.rules)
    os.dup2(channel, CHANNEL)
    if stream is not None:
        os.dup2(stream, STREAM)
    null = os.open("/dev/null", os.O_RDWR)  # one of its own: flags and locks on a shared one would outlive the program
    for descriptor in range(CHANNEL):
        os.dup2(null, descriptor)
    os.closerange(STREAM + 1 if stream is not None else STREAM, 1 << 20)
    cpu_s = int(sandbox.limits.cpu_s) + 1  # whole seconds: the server's own clock is the exact one
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    die_with_parent()
    if os.getppid() != server:
        raise ProcessLookupError("the fork server died first")
    if sandbox.works(Layer.SECCOMP):
        seccomp.install_narrow(os.getpid())
    else:
        os.setsid()


def become(user_id: int) -> None:
    """Changes to an unprivileged user for good."""
    os.setgroups([])
    os.setresgid(user_id, user_id, user_id)
    os.setresuid(user_id, user_id, user_id)


def _try_namespaces() -> None:
    jail.enter_namespaces()
    if {name for _, name in socket.if_nameindex()} > {"lo"}:
        raise RuntimeError("network devices are still there")
    pid = os.fork()
    if pid == 0:
        os._exit(os.getpid() != 1)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("processes are still in sight")


def _add_files(layers: _Layers, build: Callable[[], None]) -> None:
    if layers.found[Layer.NAMESPACES]:
        layers.found[Layer.FILES] = "needs namespaces"
        return

    def trial() -> None:
        unshare(CLONE_NEWNS)  # the fork server's own mounts stay as they are
        build()
        must_fail(lambda: os.open("/etc/passwd", os.O_RDONLY), "reading /etc/passwd")
        must_fail(lambda: os.open("/x", os.O_CREAT | os.O_WRONLY), "writing to /")

    layers.add(Layer.FILES, trial, build)


def _add_user(layers: _Layers, user_id: int | None) -> bool:
    if user_id is None:
        layers.found[Layer.USER] = "programs run as the caller's user" if os.geteuid() else "no free user id"
        return False
    landlocked = Layer.LANDLOCK not in layers.without and jail.works(landlock.version)
    if landlocked and (why := tried(lambda: _read_python_as(user_id))):
        # Without its standard library Python is of little use, and Landlock keeps root from files just as well.
        layers.found[Layer.USER] = f"only root can read Python's own files here ({why})"
        return False

    def trial() -> None:
        become(user_id)
        must_fail(lambda: os.setresuid(0, 0, 0), "becoming root again")

    return layers.add(Layer.USER, trial, lambda: become(user_id))


def _read_python_as(user_id: int) -> None:
    become(user_id)
    os.close(os.open(os.__file__, os.O_RDONLY))


def _limit(limits: Limits, counts_processes: bool) -> None:
    most = {
        resource.RLIMIT_AS: limits.memory_bytes,
        resource.RLIMIT_FSIZE: limits.files_mb << 20,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_STACK: STACK_BYTES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if counts_processes:
        most[resource.RLIMIT_NPROC] = limits.threads + OTHER_PROCESSES
    for kind, bound in most.items():
        allowed = resource.getrlimit(kind)[1]
        bound = bound if allowed == resource.RLIM_INFINITY else min(bound, allowed)
        resource.setrlimit(kind, (bound, bound))


def _try_limits(limits: Limits, counts_processes: bool) -> None:
    _limit(limits, counts_processes)
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE):
        must_fail(lambda kind=kind: resource.setrlimit(kind, (1 << 50, 1 << 50)), "raising a limit")  # type: ignore[misc]  # a lambda with a default
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _try_landlock(rules: Callable[[], int]) -> None:
    landlock.restrict(rules())
    must_fail(lambda: os.listdir("/"), "listing /")


def _try_seccomp(wide: bytes) -> None:
    seccomp.install(wide)
    must_fail(socket.socket, "opening a socket")
    pid = os.fork()
    if pid == 0:
        seccomp.install(seccomp.narrow_filter(os.getpid()))
        try:
            os.fork()
        except OSError:
            os._exit(0)
        os._exit(1)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("starting a process still works")


def _python_files(packages: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Files and folders that programs may read, and folders in them that they may not."""
    folders = [folder for folder in sys.path if os.path.isdir(folder)]
    given = [folder for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder]
    readable = tuple(dict.fromkeys(path for path in (*folders, *given, *LIBRARIES) if os.path.exists(path)))
    hidden = [f"{folder}/{name}" for folder in folders for name in (*HIDDEN, OWN) if not packages or name == OWN]
    return readable, tuple(hidden)


def _without_hidden(readable: tuple[str, ...]) -> tuple[str, ...]:
    """The same with folders that hold hidden ones given entry by entry: a rule cannot make exceptions."""
    allowed: list[str] = []
    for path in readable:
        names = os.listdir(path) if os.path.isdir(path) and os.access(path, os.R_OK) else []
        hidden = set(HIDDEN) & set(names)
        own = {name for name in names if name.startswith(OWN)}
        if hidden or own:
            allowed += [f"{path}/{name}" for name in names if name not in hidden | own]
        else:
            allowed.append(path)
    return tuple(allowed)


def _claim_user_id() -> tuple[int | None, socket.socket | None]:
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
    return None, None


def _in_use(user_id: int) -> bool:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == user_id:
                return True
        except OSError:
            continue
    return False
