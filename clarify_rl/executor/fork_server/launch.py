"""Starts the fork server: `python -s -S -P -B launch.py <descriptor of the control socket>`.

It makes these folders importable under their own names without running any package's `__init__`, so that the fork
server stays small and shares nothing with the caller.
"""

import os
import sys
import types
from pathlib import Path


def main() -> None:
    # What modules do in every forked child (threading, random, logging) is for forks with threads; the fork server has
    # one thread, and a child would spend half its start on it. Set before any of them is imported.
    os.register_at_fork = lambda **_: None
    folder = Path(__file__).resolve().parent
    executor = folder.parent
    names = {"clarify_rl": executor.parent, "clarify_rl.executor": executor, "clarify_rl.executor.fork_server": folder}
    for name, path in names.items():
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    from clarify_rl.executor.fork_server.server import serve

    serve(int(sys.argv[1]))


if __name__ == "__main__":
    main()
