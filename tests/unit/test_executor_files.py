"""Files of a program's own (Limits.files_mb), and files that it finds: Python's, and packages where it may use them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clarify_rl.executor import Executor, Layer, Limits, Profile
from clarify_rl.types import Case, Stdio, StdioCase, Tests, Verdict
from tests.executor_cases import ATTEMPT, GOOD, LIMITS, ROOT, checks, needs, on_linux, one

pytestmark = on_linux

FILES = Limits(cpu_s=30.0, wall_s=200.0, idle_s=100.0, files_mb=2)
EMPTY = "import os\ndef f():\n    return os.listdir('/tmp')"


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    needs(Layer.NAMESPACES, Layer.FILES)
    with Executor(FILES, servers=1) as executor:
        yield executor


# A folder of its own.

USES = {
    "a temporary file": "with tempfile.TemporaryFile('w+') as file:\n        file.write('x')\n        file.seek(0)\n"
    "        return file.read() == 'x'",
    "a named temporary file": "with tempfile.NamedTemporaryFile() as file:\n        file.write(b'x')\n"
    "        file.flush()\n        return open(file.name).read() == 'x' and file.name.startswith('/tmp/')",
    "a temporary folder": "with tempfile.TemporaryDirectory() as name:\n        open(name + '/x', 'w').close()\n"
    "        return os.listdir(name) == ['x']",
    "a file of any name": "open('/tmp/a b', 'w').write('x')\n    os.rename('/tmp/a b', '/tmp/c')\n"
    "    return open('/tmp/c').read() == 'x'",
    "folders that are moved": "os.makedirs('/tmp/a/b')\n    os.mkdir('/tmp/c')\n"
    "    shutil.move('/tmp/a/b', '/tmp/c/d')\n    shutil.rmtree('/tmp/a')\n    return os.listdir('/tmp') == ['c']",
    "a database": "return sqlite3.connect('/tmp/x.db').execute('create table t (x)') is not None",
    "modes and times": "open('/tmp/x', 'w').close()\n    os.chmod('/tmp/x', 0o600)\n    os.utime('/tmp/x', (0, 0))\n"
    "    return os.stat('/tmp/x').st_mtime == 0",
    "a shelf": "shelf = shelve.open('/tmp/shelf')\n    shelf['x'] = [1]\n    shelf.close()\n"
    "    return shelve.open('/tmp/shelf')['x'] == [1]",
}


@pytest.mark.parametrize("use", USES)
def test_a_program_with_files_may_use(executor: Executor, use: str) -> None:
    program = f"import os, shelve, shutil, sqlite3, tempfile\ndef f():\n    {USES[use]}"
    execution = executor.run(program, "f", one(True))
    assert execution.solved, execution.detail


def test_each_kind_of_tests_finds_the_folder_empty(executor: Executor) -> None:
    write = "import os\nfound = os.listdir('/tmp')\nopen('/tmp/x', 'w').close()\n"
    for _ in range(2):
        assert executor.run(f"{write}def f():\n    return found", "f", one([])).solved
        assert executor.run(f"{write}def f():\n    return found", "f", checks("assert candidate() == []")).solved
        assert executor.run(f"{write}print(found)", "", Stdio((StdioCase("", "[]"),) * 2)).solved


def test_a_program_without_files_finds_no_place_to_write() -> None:
    program = f"import tempfile\n{ATTEMPT}def f():\n    return attempt(tempfile.TemporaryFile)"
    with Executor(LIMITS, servers=1) as executor:
        assert executor.run(program, "f", one(False)).solved


@pytest.mark.parametrize(
    "act",
    [
        "open('/tmp/x', 'wb').write(bytes(3 << 20))",
        "[open(f'/tmp/{n}', 'wb').write(bytes(1 << 20)) for n in range(3)]",
        "[open(f'/tmp/{n}', 'w').close() for n in range(5000)]",
        "os.mkfifo('/tmp/x')",
        "os.mknod('/tmp/x', 0o20666, os.makedev(1, 1))",
        "open('/tmp/x', 'w').close() or os.link('/tmp/x', '/tmp/y')",
        "os.symlink('/etc', '/tmp/x') or open('/tmp/x/passwd')",
        "open('/tmp/x', 'w').write('#!/bin/sh') and (os.chmod('/tmp/x', 0o777) or os.execv('/tmp/x', ['x']))",
        "open('/var/tmp/x', 'w')",
        "open('/x', 'w')",
        "os.mkdir('/tmp/../x')",
        "os.rename('/tmp', '/tnp')",
        "os.rmdir('/tmp')",
        "os.setxattr('/tmp', 'user.x', b'x')",
    ],
)
def test_a_program_with_files_still_cannot(executor: Executor, act: str) -> None:
    program = f"import os\ndef f():\n    try:\n        {act}\n    except OSError:\n        return 'refused'"
    assert executor.run(program, "f", one("refused")).solved
    assert executor.run(EMPTY, "f", one([])).solved


# What is left behind.

LEFT = {
    "files": "[open(f'/tmp/{n}', 'w').close() for n in range(3)]",
    "as many files as there can be": "attempt(lambda: [open(f'/tmp/{n}', 'w').close() for n in range(5000)])",
    "folders in folders": "os.makedirs('/tmp/a/b/c/d'), os.makedirs('/tmp/a/c/d/e')",
    "folders that nobody may enter": "os.makedirs('/tmp/a/b/c'), [os.chmod(p, 0) for p in "
    "('/tmp/a/b/c', '/tmp/a/b', '/tmp/a')]",
    "files that nobody may read": "os.mkdir('/tmp/a'), open('/tmp/a/b', 'w').close(), os.chmod('/tmp/a/b', 0), "
    "os.chmod('/tmp/a', 0o111)",
    "links": "os.symlink('/', '/tmp/root'), os.symlink('/tmp', '/tmp/self'), os.symlink('nowhere', '/tmp/nowhere'), "
    "os.makedirs('/tmp/a/b'), os.symlink('/tmp', '/tmp/a/up'), os.symlink('.', '/tmp/a/b/here')",
    "odd names": "[os.makedirs(b'/tmp/' + n + b'/y') for n in "
    "(b'\\xff\\xfe', b'a\\nb', b'-rf', b'...', b' ', b'*', b'x' * 255, b'\\x01')]",
    "names that the clean-up gives": "os.makedirs('/tmp/a/b'), os.makedirs('/tmp/moved-a-0/x'), "
    "open('/tmp/moved-moved-a-0-0', 'w').close()",
    "an open file": "globals().update(kept=open('/tmp/x', 'w'))",
    "the working directory": "os.mkdir('/tmp/a'), os.chdir('/tmp/a')",
    "a locked file": "fcntl.flock(os.open('/tmp/x', os.O_CREAT), fcntl.LOCK_EX)",
    "very deep folders": "attempt(dig, 5000)",
    "two deep folders": "[os.makedirs('/tmp/' + '/'.join([c] * 20)) for c in 'ab']",
    "long names of several bytes": "os.makedirs('/tmp/' + '\\U0001f600' * 63 + '/b/c')",
}


@pytest.mark.parametrize("left", LEFT)
def test_the_next_program_finds_nothing_of(executor: Executor, left: str) -> None:
    program = f"import fcntl, os\n{ATTEMPT}def dig(depth):\n    os.chdir('/tmp')\n    for _ in range(depth):\n"
    program += f"        os.mkdir('d')\n        os.chdir('d')\ndef f():\n    {LEFT[left]}\n    return 1"
    execution = executor.run(program, "f", one(1))
    assert execution.solved, execution.detail
    before = executor.server_pids
    execution = executor.run(EMPTY, "f", one([]))
    assert execution.solved, execution.detail
    assert executor.server_pids == before


def test_what_programs_leave_behind_makes_no_others_unmeasured() -> None:
    needs(Layer.NAMESPACES, Layer.FILES)
    hostile = (
        f"import os, time\ndef f(n):\n    {LEFT['long names of several bytes']}\n    time.sleep(0.3)\n    return n"
    )
    tests = Tests((Case((1,), 1),))
    with Executor(FILES, servers=4) as executor:
        with ThreadPoolExecutor(4) as threads:
            assert all(each.solved for each in threads.map(lambda _: executor.run(hostile, "f", tests), range(4)))
        assert executor.run(GOOD, "f", one(2, 1)).verdict is Verdict.PASS


# Packages.


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has a package, ours as it is installed, and ours as an editable installation shows it."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    packages = next(folder.glob("lib/python3*/site-packages"))
    (packages / "helpful").mkdir()
    (packages / "helpful" / "__init__.py").write_text("def double(n):\n    return 2 * n\n", encoding="utf-8")
    (packages / "clarify_rl").symlink_to(ROOT / "clarify_rl")
    (packages / "clarify_rl_editable.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    return folder


def python(environment: Path) -> str:
    return str(environment / "bin" / "python")


USES_PACKAGE = "import helpful\ndef f(n):\n    return helpful.double(n)"


def test_a_package_is_found_only_where_the_profile_says_so(environment: Path) -> None:
    needs(Layer.NAMESPACES, Layer.FILES)
    with Executor(LIMITS, servers=1, profile=Profile(python(environment))) as executor:
        assert "No module named 'helpful'" in executor.run(USES_PACKAGE, "f", one(2, 1)).detail
    with Executor(LIMITS, servers=1, profile=Profile(python(environment), packages=True)) as executor:
        assert executor.run(USES_PACKAGE, "f", one(2, 1)).solved


def test_a_preloaded_package_is_there_at_once(environment: Path) -> None:
    needs(Layer.NAMESPACES, Layer.FILES)
    program = "import sys\nfound = 'helpful' in sys.modules\nimport helpful\ndef f(): return found"
    for preload in ((), ("helpful",)):
        profile = Profile(python(environment), packages=True, preload=preload)
        with Executor(LIMITS, servers=1, profile=profile) as executor:
            assert executor.run(program, "f", one(bool(preload))).solved


OURS = f"""
import os, sys
def reachable():
    try:
        import clarify_rl.types
        return True
    except ImportError:
        pass
    folders = [*sys.path, {str(ROOT)!r}]
    return any(os.access(folder + '/clarify_rl/types.py', os.R_OK) and open(folder + '/clarify_rl/types.py')
               for folder in folders)
def f():
    try:
        return reachable()
    except OSError:
        return False
"""


@pytest.mark.parametrize(
    ("packages", "without"),
    [
        (False, ()),
        (True, ()),
        (False, ("namespaces",)),
        (True, ("namespaces",)),
        (False, ("landlock",)),
        (True, ("landlock",)),
    ],
)
def test_our_own_package_is_out_of_reach(environment: Path, packages: bool, without: tuple[str, ...]) -> None:
    profile = Profile(python(environment), packages)
    with Executor(LIMITS, servers=1, profile=profile, without=without) as executor:
        execution = executor.run(OURS, "f", one(False))
        assert execution.solved, execution.detail


def test_no_module_of_ours_is_left_in_the_process() -> None:
    program = "import sys\ndef f():\n    return [name for name in sys.modules if 'clarify' in name] + sys.argv"
    with Executor(LIMITS, servers=1) as executor:
        assert executor.run(program, "f", one([""])).solved


def test_the_interpreter_finds_nothing_in_folders_that_a_program_can_write(executor: Executor) -> None:
    program = "import sys\ndef f():\n    return any(path.startswith('/tmp') or not path for path in sys.path)"
    assert executor.run(program, "f", one(False)).solved
