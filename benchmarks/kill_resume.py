"""Kills parts of a run at random moments, and compares the result with that of a run that nobody disturbed.

    python benchmarks/kill_resume.py demo --kills 20 --seconds 600 rl.trainer.save_steps=2
    python benchmarks/kill_resume.py demo --victim worker --kills 20 --seconds 600 env.workers=2
    python benchmarks/kill_resume.py demo --victim node --kills 20 --seconds 900 env.workers=2

Both runs start from the data and the SFT model of one run, so only the RL stage is repeated. The kill is SIGKILL: to
the whole process group of the learner, as when a machine loses power, and the run is resumed; to one environment
worker; or to all that belongs to a node of a local Ray cluster, for which another node comes. After the last two the
run has to go on by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from clarify_rl.config_files import load_config

COMMAND = (sys.executable, "-m", "clarify_rl")


def main() -> None:
    """Prints each kill and what differs; exits with 1 when anything does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--victim", choices=("learner", "worker", "node"), default="learner")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=300.0, help="about how long an undisturbed RL stage takes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs"))
    arguments = parser.parse_intermixed_args()
    calm, killed = arguments.folder / "calm", arguments.folder / "killed"
    wanted = [arguments.config, *arguments.overrides]
    for stage in ("data", "sft") if load_config(arguments.config, arguments.overrides).sft else ("data",):
        run(stage, [*wanted, f"out={calm}"])
    copy_start(calm, killed)
    started = time.monotonic()
    run("rl", [*wanted, f"out={calm}"])
    print(f"undisturbed: {time.monotonic() - started:.0f} s", flush=True)
    kill = {"learner": kill_learners, "worker": kill_workers, "node": kill_nodes}[arguments.victim]
    kill([*wanted, f"out={killed}"], arguments.kills, arguments.seconds, random.Random(arguments.seed))
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
    done = subprocess.run([*COMMAND, stage, *wanted], check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{stage} failed with {done.returncode}: {done.stderr[-2000:]}")


def kill_learners(wanted: list[str], kills: int, seconds: float, chance: random.Random) -> None:
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


def kill_workers(wanted: list[str], kills: int, seconds: float, chance: random.Random) -> None:
    """Runs the stage once, and kills one of its environment workers again and again."""
    learner = start_learner(wanted, {})

    def kill() -> str:
        if not (workers := [pid for pid in descendants(learner.pid) if is_worker(pid)]):
            return ""
        victim = chance.choice(workers)
        os.kill(victim, signal.SIGKILL)
        return f"worker {victim}, one of {len(workers)}"

    disturb(learner, kill, kills, seconds, chance)


def kill_nodes(wanted: list[str], kills: int, seconds: float, chance: random.Random) -> None:
    """Runs the stage once on a cluster, and loses one of the nodes with environment workers again and again."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(NODES)]

    def kill() -> str:
        workers = {node: [pid for pid in descendants(raylet(node)) if is_worker(pid)] for node in nodes}
        if not (at_work := [node for node in nodes if workers[node]]):
            return ""
        victim = chance.choice(at_work)
        lost = [*descendants(raylet(victim)), raylet(victim)]
        for pid in lost:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        cluster.remove_node(victim, allow_graceful=False)
        nodes.remove(victim)
        nodes.append(cluster.add_node(num_cpus=1))
        count = f"{len(workers[victim])} of {sum(map(len, workers.values()))} workers"
        return f"node {victim.node_id[:8]}, {len(lost)} processes, {count}"

    disturb(start_learner(wanted, {"RAY_ADDRESS": cluster.address}), kill, kills, seconds, chance)
    cluster.shutdown()


NODES = 2


def start_learner(wanted: list[str], more: Mapping[str, str]) -> subprocess.Popen[bytes]:
    silent = subprocess.DEVNULL
    return subprocess.Popen([*COMMAND, "rl", *wanted], stdout=silent, stderr=silent, env={**os.environ, **more})


def disturb(
    learner: subprocess.Popen[bytes], kill: Callable[[], str], kills: int, seconds: float, chance: random.Random
) -> None:
    """Calls `kill` at random moments until that many have hit or the learner ends; "" says that nothing was there."""
    done = 0
    while done < kills and learner.poll() is None:
        time.sleep(chance.uniform(0.2, 1.6) * seconds / kills)
        if killed := kill():
            done += 1
            print(f"kill {done}: {killed}", flush=True)
    if learner.wait() or done < kills:
        sys.exit(f"The learner ended with {learner.returncode} after {done} kills. Name fewer --seconds.")


def raylet(node: Any) -> int:  # Any: a node of Ray, which has no types
    """The process that stands for a node; Ray starts from it all that belongs to the node."""
    return int(node.all_processes["raylet"][0].process.pid)


def descendants(pid: int) -> list[int]:
    """All processes that a process started, and those that they started."""
    children = [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]
    return [*children, *(grandchild for child in children for grandchild in descendants(child))]


def is_worker(pid: int) -> bool:
    """Whether a process is an actor of Ray that has started work; Ray names it so."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::EnvActor")
    return False


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
