"""How many more episodes a second several learners play than one, where environments are what takes the time.

    python benchmarks/learner_scaling.py --learners 2 --rounds 3

One learner and several take turns, each in a run of its own with the embedded model, so that whatever else this machine
does falls on both. Each learner has one environment, which takes `--delay-s` for a reply. A run's speed is that of its
steps behind the first one, which also pays for the start.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SLOW = Path(__file__).with_name("slow_env.py")
CONFIG = f"""
data: {{demonstrated: [count_beyond, chunk_list], held_out: [points_beyond], rl: {{count: 64, clear_share: 0.25}}}}
dialogue: {{max_questions: 2, turn_tokens: 96, total_tokens: 256}}
sft: null
env: {{use: "{SLOW}:Slow"}}
rl:
  trainer:
    {{num_generations: 4, per_device_train_batch_size: 4, gradient_accumulation_steps: 2, save_strategy: "no"}}
eval:
  suites:
    held_out: {{families: held_out, count: 4}}
"""


def main() -> None:
    """Prints a line for each run, and the ratio of each round; exits with 1 when its median is below --at-least."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learners", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--delay-s", type=float, default=1.0)
    parser.add_argument("--at-least", type=float, default=1.6)
    arguments = parser.parse_args()
    ratios = []
    for number in range(1, arguments.rounds + 1):
        one, many = (episodes_a_second(count, arguments) for count in (1, arguments.learners))
        ratios.append(many / one)
        print(f"round {number}: {many / one:.2f} times the episodes a second", flush=True)
    median = statistics.median(ratios)
    print(
        f"{arguments.learners} learners: {median:.2f} times the episodes a second of one "
        f"(median of {len(ratios)}, {min(ratios):.2f} to {max(ratios):.2f})"
    )
    sys.exit(median < arguments.at_least)


def episodes_a_second(learners: int, arguments: argparse.Namespace) -> float:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "slow.yaml").write_text(CONFIG)
        overrides = [f"learners.count={learners}", f"env.options.delay_s={arguments.delay_s}"]
        overrides += [f"rl.trainer.max_steps={arguments.steps}", "out=run"]
        for stage in ("data", "rl"):
            command = [sys.executable, "-m", "clarify_rl", stage, "slow.yaml", *overrides]
            done = subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
        rows = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in rows if "rollout/episodes" in row][1:]
    speed = sum(row["rollout/episodes"] for row in steps) / sum(row["time/step_s"] for row in steps)
    waiting = sum(row["time/env_s"] + row["time/score_s"] for row in steps) / sum(row["time/step_s"] for row in steps)
    print(f"  {learners} learner(s): {speed:.2f} episodes a second, {waiting:.0%} of the time environments", flush=True)
    return speed


if __name__ == "__main__":
    main()
