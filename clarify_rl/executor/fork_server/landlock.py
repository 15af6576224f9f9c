"""Landlock: the kernel lets a process read only the folders that it names, for good. Standard library only.

Rulesets cover what the running kernel knows: files since 5.13, TCP since 6.7, signals and abstract sockets since 6.12.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable

from clarify_rl.executor.fork_server.syscalls import syscall

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture
VERSION = 1
PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
TRUNCATE = 1 << 14
# Links, special files and devices stay forbidden even where a program may write.
REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG, MAKE_SYM, REFER = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 12, 1 << 13
READ = READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SYM | REFER | TRUNCATE
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
HANDLED_FILES = {
    1: (1 << 13) - 1,
    2: (1 << 14) - 1,
    3: (1 << 15) - 1,
    5: (1 << 16) - 1,
}  # by the version that added them
HANDLED_NETWORK = {4: 3}
HANDLED_SCOPES = {6: 3}


def version() -> int:
    """The kernel's Landlock version; OSError where it has none."""
    return syscall(CREATE_RULESET, None, 0, VERSION)


def ruleset(readable: Iterable[str], writable: Iterable[str] = (), opened: Iterable[int] = ()) -> int:
    """The descriptor of rules that take every right to files, TCP and other processes' signals, but for these paths.

    `opened` are folders that stay readable for whoever holds their descriptors.
    """
    known = version()
    files, network, scopes = (_newest(table, known) for table in (HANDLED_FILES, HANDLED_NETWORK, HANDLED_SCOPES))
    attributes = struct.pack("QQQ", files, network, scopes)[: 8 * (1 + (known >= 4) + (known >= 6))]
    rules = syscall(CREATE_RULESET, attributes, len(attributes), 0)
    for rights, paths in ((READ, readable), (WRITE, writable)):
        for path in paths:
            _allow_path(rules, path, rights & files)
    for folder in opened:
        _allow(rules, folder, READ & files)
    return rules


def restrict(rules: int) -> None:
    """Puts the rules on this process and all that it forks, for good."""
    syscall(RESTRICT_SELF, rules, 0)


def _newest(table: dict[int, int], known: int) -> int:
    return max((rights for since, rights in table.items() if since <= known), default=0)


def _allow_path(rules: int, path: str, rights: int) -> None:
    """Adds a rule; a path that is not there needs none."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        _allow(rules, descriptor, rights)
    finally:
        os.close(descriptor)


def _allow(rules: int, descriptor: int, rights: int) -> None:
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        rights &= OF_FILES
    syscall(ADD_RULE, rules, PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
