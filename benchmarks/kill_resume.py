"""Kills a run at random moments and resumes it, and compares the result with that of a run that nobody disturbed.

    python benchmarks/kill_resume.py demo --kills 20 --seconds 600 rl.trainer.save_steps=2

Both runs start from the data and the SFT model of one run, so only the RL stage is repeated. The kill is SIGKILL to the
whole process group, as when a machine loses power.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMAND = (sys.executable, "-m", "clarify_rl")


def main() -> None:
    """Prints each kill and what differs; exits with 1 when anything does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=300.0, help="about how long an undisturbed RL stage takes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs"))
    arguments = parser.parse_intermixed_args()
    calm, killed = arguments.folder / "calm", arguments.folder / "killed"
    wanted = [arguments.config, *arguments.overrides]
    for stage in ("data", "sft"):
        run(stage, [*wanted, f"out={calm}"])
    copy_start(calm, killed)
    started = time.monotonic()
    run("rl", [*wanted, f"out={calm}"])
    print(f"undisturbed: {time.monotonic() - started:.0f} s", flush=True)
    kill_again_and_again([*wanted, f"out={killed}"], arguments.kills, arguments.seconds, random.Random(arguments.seed))
    run("rl", [*wanted, f"out={killed}"])
    different = differences(calm, killed)
    print("different:", "; ".join(different) or "nothing: weights, episodes and record are equal")
    sys.exit(bool(different))


def copy_start(source: Path, target: Path) -> None:
    """A second run folder that has come as far as the first: data and SFT are done."""
    if target.exists():
        sys.exit(f"{target} exists already; remove it, or name another --folder.")
    shutil.copytree(source, target)
    config = target / "config.yaml"
    config.write_text(config.read_text().replace(f"out: {source}", f"out: {target}"))


def run(stage: str, wanted: list[str]) -> None:
    subprocess.run([*COMMAND, stage, *wanted], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_again_and_again(wanted: list[str], kills: int, seconds: float, chance: random.Random) -> None:
    """Starts the stage and kills it at a random moment, so often that the moments cover its whole length."""
    for number in range(1, kills + 1):
        after_s = chance.uniform(0.2, 2.0) * seconds / kills + chance.choice((0.0, START_S))
        process = subprocess.Popen(
            [*COMMAND, "rl", *wanted], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        print(f"kill {number}: after {after_s:.1f} s, exit {process.returncode}, {state(wanted)}", flush=True)


START_S = 10.0  # about what importing and loading take


def state(wanted: list[str]) -> str:
    folder = Path(next(each for each in wanted if each.startswith("out=")).removeprefix("out="))
    saved = [path.parent.name for path in sorted((folder / "checkpoints" / "rl").glob("checkpoint-*/COMPLETE"))]
    return f"complete checkpoints: {', '.join(saved) or 'none'}"


def differences(calm: Path, killed: Path) -> list[str]:
    """What is not the same in two runs: the weights, the episodes with their tokens and rewards, the record."""
    found = []
    digests = [
        hashlib.sha256((folder / "models" / "rl" / "model.safetensors").read_bytes()).digest()
        for folder in (calm, killed)
    ]
    if digests[0] != digests[1]:
        found.append("the weights")
    for what in ("episodes/rl.jsonl", "episodes/rl-dev.jsonl", "metrics.jsonl"):
        first, second = rows(calm / what), rows(killed / what)
        if len(first) != len(second):
            found.append(f"{len(first)} and {len(second)} rows of {what}")
        unequal = sum(one != other for one, other in zip(first, second, strict=False))
        if unequal:
            found.append(f"{unequal} rows of {what}")
    return found


CLOCK = ("time/", "pool/", "rollout/tokens_per_s")


def rows(file: Path) -> list[dict[str, object]]:
    """Rows without what a clock decides; none where there is no such file, as without held-out evaluation."""
    found = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    for row in found:
        for name in ("cpu_s", "wall_s"):
            (row.get("execution") or {}).pop(name, None)
    return [{name: value for name, value in row.items() if not name.startswith(CLOCK)} for row in found]


if __name__ == "__main__":
    main()
