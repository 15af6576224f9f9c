"""What a submitted job runs on the cluster before the run itself: python -m clarify_rl.launch.on_cluster OPTIONS."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

HOME_FOLDER = "clarify-rl"  # in the home folder of the cluster's user: where relative run folders lie


def main() -> None:
    """Checks what is installed here, says where the results lie, and becomes the run. Exits with 2 if it cannot."""
    (order,) = sys.argv[1:]
    job = json.loads(order)
    if missing := unmet(job["requirements"]):
        quoted = " ".join(f"'{item}'" for item in missing)
        print(f"clarify-rl: this cluster's Python lacks what the run needs. On every machine: pip install {quoted}")
        sys.exit(2)
    here = ".".join(platform.python_version_tuple()[:2])
    if here != job["python"]:
        print(f"Python {here} runs here, {job['python']} submitted: the results may differ from those made there.")
    # A relative folder would lie in the copy of the job's files, which the cluster deletes.
    folder = str(Path.home() / HOME_FOLDER / job["out"])
    print(f"The run folder is {folder.format(name=job['name'])} on {platform.node()}.", flush=True)
    resume = ["--resume"] if job["resume"] else []
    os.execv(sys.executable, [sys.executable, "-u", "-m", "clarify_rl", "run", "config.yaml", f"out={folder}", *resume])


def unmet(requirements: list[str]) -> list[str]:
    """Those that are not installed, or in a version that does not do."""
    return [line for line in requirements if not _is_met(Requirement(line))]


def _is_met(requirement: Requirement) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False


if __name__ == "__main__":
    main()
