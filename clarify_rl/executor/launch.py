"""Starts the fork server: `python -s -S -P -B launch.py <descriptor of the control socket>`.

It makes this folder importable under its own name without running any package's `__init__`, so that the fork server
stays small and shares nothing with the caller.
"""

import sys
import types
from pathlib import Path


def main() -> None:
    folder = Path(__file__).resolve().parent
    for name, path in (("clarify_rl", folder.parent), ("clarify_rl.executor", folder)):
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    from clarify_rl.executor.server import serve

    serve(int(sys.argv[1]))


if __name__ == "__main__":
    main()
