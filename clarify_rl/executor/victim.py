"""What a hostile program would like to reach: files of its caller, with the tests among them, and a local server."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from clarify_rl.executor.corpus import CHECKS, Program

# Corpora from elsewhere name these.
FIXED_FOLDER, FIXED_PORT = Path("/tmp/victim"), 9999
FILES = {
    "home/keep2.txt": "Whoever reads this may also destroy it.\n",
    "tests/hidden_tests.py": "\n    ".join(["def check(candidate):", *CHECKS]) + "\n",
}


@dataclass(frozen=True)
class Victim:
    """A folder and a server that programs can see if they get out. `before` is what the folder held at first."""

    folder: Path
    listener: socket.socket | None
    before: dict[str, tuple[object, ...]] = field(repr=False)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1]) if self.listener else FIXED_PORT

    def harm(self) -> list[str]:
        """What was done to it, in plain words."""
        after = _contents(self.folder)
        changes = [
            (self.before.keys() - after.keys(), "destroyed"),
            (after.keys() - self.before.keys(), "made"),
            ({name for name in self.before.keys() & after.keys() if self.before[name] != after[name]}, "changed"),
        ]
        traces = [f"{self.folder / name} was {what}" for names, what in changes for name in sorted(names)]
        return traces + [f"a program connected to port {self.port}"] * _was_called(self.listener)


@contextmanager
def victims_of(programs: Sequence[Program]) -> Iterator[list[Victim]]:
    """Victims for these programs: a new one, and the fixed one if some of them name it. They are removed afterwards."""
    names_fixed = any(str(FIXED_FOLDER) in program.text or str(FIXED_PORT) in program.text for program in programs)
    with contextlib.ExitStack() as stack:
        victims = [stack.enter_context(_new_victim())]
        if names_fixed:
            victims.append(stack.enter_context(_fixed_victim()))
        yield victims


@contextmanager
def _new_victim() -> Iterator[Victim]:
    folder = Path(tempfile.mkdtemp(prefix="clarify-check-"))
    try:
        _lay_out(folder)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            yield Victim(folder, listener, _contents(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _fixed_victim() -> Iterator[Victim]:
    """The victim at the fixed place. What stands there already is only watched."""
    with contextlib.ExitStack() as stack:
        if not FIXED_FOLDER.exists():
            FIXED_FOLDER.mkdir()
            stack.callback(shutil.rmtree, FIXED_FOLDER, ignore_errors=True)
            _lay_out(FIXED_FOLDER)
        listener = None
        with contextlib.suppress(OSError):  # somebody else's server, which programs must not reach either
            listener = stack.enter_context(socket.create_server(("127.0.0.1", FIXED_PORT)))
        yield Victim(FIXED_FOLDER, listener, _contents(FIXED_FOLDER))


def _lay_out(folder: Path) -> None:
    """Files that every user of the machine may read, change and destroy: only the executor stands before them."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir()
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o666)
    for inside in (folder, *folder.iterdir()):
        inside.chmod(0o777)


def _contents(folder: Path) -> dict[str, tuple[object, ...]]:
    """Everything in a folder: owner, rights, and the bytes of a file or the target of a link."""
    contents: dict[str, tuple[object, ...]] = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        inside = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        contents[str(path.relative_to(folder))] = (status.st_mode, status.st_uid, inside)
    return contents


def _was_called(listener: socket.socket | None) -> bool:
    if listener is None:
        return False
    listener.setblocking(False)
    try:
        listener.accept()[0].close()
    except OSError:
        return False
    return True
