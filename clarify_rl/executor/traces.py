"""What an executor and its programs leave behind on this machine: processes, files, open descriptors."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")
DYING_S = 5.0  # how long a process that was killed may take to go


@dataclass(frozen=True)
class Process:
    """A running process, as /proc tells it. A number is used again, a number with its start is not."""

    pid: int
    name: str
    parent: int
    session: int
    started: int


@dataclass(frozen=True)
class Traces:
    """What there is at one moment. `files` are those of FOLDERS with their owners."""

    processes: Mapping[int, Process]
    files: Mapping[str, int]
    descriptors: Mapping[int, str]


class Witness:
    """Knows what there was before an executor started, looks while it runs, and says afterwards what is left.

    A new file counts if it belongs to the user that programs ran as. Where that is the caller's own, others may make
    files too, so that only those count whose name is in the text of a program.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self.before = _traces()
        self.sessions: set[int] = set()
        self.users: set[int] = set()

    def look(self) -> None:
        """Remembers whatever runs below this process, so that it is known even when it has got away from there."""
        processes = _processes()
        for pid in _descendants(os.getpid(), processes) - self.before.processes.keys():
            if processes[pid].session != os.getsid(0):  # not one that has only just been forked
                self.sessions.add(processes[pid].session)
                self.users |= _users(pid)

    def left_behind(self) -> list[str]:
        """What is left, in plain words. Called after the executor was closed."""
        deadline_s = time.monotonic() + DYING_S
        while (processes := self._processes()) and time.monotonic() < deadline_s:
            time.sleep(0.02)
        after = _traces()
        files = [
            path for path, owner in after.files.items() if path not in self.before.files and self._made(path, owner)
        ]
        descriptors = after.descriptors.items() - self.before.descriptors.items()
        return [
            *(f"process {process.pid} ({process.name}) is still running" for process in processes),
            *(f"{path} was left behind" for path in sorted(files)),
            *(f"descriptor {number} is still open ({target})" for number, target in sorted(descriptors)),
        ]

    def _made(self, path: str, owner: int) -> bool:
        """Whether a program made this file, as far as one can tell."""
        others = self.users - {os.getuid()}
        return owner in others if others else any(Path(path).name in text for text in self.texts)

    def _processes(self) -> list[Process]:
        now = _processes()
        known = {(process.pid, process.started) for process in self.before.processes.values()}
        mine = _descendants(os.getpid(), now)
        new = [process for process in now.values() if (process.pid, process.started) not in known]
        return [process for process in new if process.pid in mine or process.session in self.sessions]


def _traces() -> Traces:
    files = {entry.path: owner for folder in FOLDERS for entry, owner in _entries(folder)}
    return Traces(_processes(), files, dict(_descriptors()))


def _processes() -> dict[int, Process]:
    processes = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, _, rest = path.read_text(encoding="utf-8", errors="replace").partition(" (")
        except OSError:
            continue
        name, _, fields = rest.rpartition(") ")  # a name may hold brackets and spaces
        numbers = fields.split()
        processes[int(pid)] = Process(int(pid), name, int(numbers[1]), int(numbers[3]), int(numbers[19]))
    return processes


def _descendants(pid: int, processes: Mapping[int, Process]) -> set[int]:
    children: dict[int, list[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    descendants: set[int] = set()
    pending = [pid]
    while pending:
        new = children.get(pending.pop(), [])
        descendants.update(new)
        pending += new
    return descendants


def _users(pid: int) -> set[int]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return {int(line.split()[1]) for line in lines if line.startswith("Uid:")}


def _entries(folder: str) -> Iterator[tuple[os.DirEntry[str], int]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            yield entry, entry.stat(follow_symlinks=False).st_uid
        except OSError:
            continue


def _descriptors() -> Iterator[tuple[int, str]]:
    for link in Path("/proc/self/fd").glob("*"):
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if not target.startswith("/proc/"):  # the listing's own
            yield int(link.name), target
