"""How long a step takes beside plain TRL's, with the same model, prompts, rewards and options, and without questions.

    python -m benchmarks.trl_step --steps 20
    python -m benchmarks.trl_step --model path/or/name --vllm

Two trainers take turns in one process, step by step, so that a busy machine slows both alike: compare the ratios, not
the seconds. TRL generates with transformers' `generate` and calls a reward function for each reward; ours goes through
the dialogue loop, its own decoding and the environment. With --vllm each has a vLLM of its own. Both run the same
programs on the same executor.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from clarify_rl.config import Config
from clarify_rl.config_files import load_config
from clarify_rl.dialogue.chat import Chat
from clarify_rl.dialogue.replies import parse_reply
from clarify_rl.pipeline.data import family_roles
from clarify_rl.pipeline.environments import open_pool
from clarify_rl.players import chat_for, dialogue_limits, dtype_for
from clarify_rl.policies.models import device_named, load_model
from clarify_rl.rl_sections import GroupsSection
from clarify_rl.store import Run
from clarify_rl.synthesis.mix import Mix, sample_variants
from clarify_rl.training.groups import Groups
from clarify_rl.training.grpo import DialogueGRPOTrainer, Rollouts, grpo_config, prompt_dataset, reward_function
from clarify_rl.training.vllm import check_model, releasing, starting
from clarify_rl.types import Defect, Episode, Exchange, Pool, Turn, Variant

TRL, OURS = "trl.GRPOTrainer", "clarify-rl"
PARTS = ("generation", "environment", "update")
MOST = 1.05
_CONTEXT = 512  # tokens of a prompt and its reply, for vLLM


@dataclass
class Clock:
    """Seconds of each step, and of the parts of it that are told."""

    steps: list[float] = field(default_factory=list)
    parts: list[dict[str, float]] = field(default_factory=list)
    running: dict[str, float] = field(default_factory=dict)
    told: Callable[[], dict[str, float]] | None = None  # the parts of a step, where somebody else measures them
    started: float = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.running[name] = self.running.get(name, 0.0) + time.perf_counter() - started

    def start(self) -> None:
        self.running, self.started = {}, time.perf_counter()

    def stop(self) -> None:
        seconds = time.perf_counter() - self.started
        self.steps.append(seconds)
        running = self.told() if self.told else self.running
        self.parts.append({**running, "update": seconds - sum(running.values())})

    def median(self, part: str = "") -> float:
        """Of the whole step, or of a part of it. The first step is left out: it builds what later ones reuse."""
        return statistics.median(row[part] for row in self.parts[1:]) if part else statistics.median(self.steps[1:])


@dataclass
class Side:
    """One of two trainers that take turns."""

    clock: Clock = field(default_factory=Clock)
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    over: bool = False


class TakeTurns(TrainerCallback):
    """Lets the other trainer go on after each step, and waits until it has made one too, or has failed."""

    def __init__(self, mine: Side, other: Side) -> None:
        self.mine, self.other = mine, other

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # Any: transformers' own
        self.mine.clock.stop()
        self.other.turn.release()
        self.mine.turn.acquire()
        control.should_training_stop |= self.other.over
        self.mine.clock.start()


def main() -> None:
    """Prints the table and whether the target is reached."""
    arguments = _arguments()
    config = _config(arguments)
    check_model(arguments.model, _trl_config(config, Path("unused")))
    roles = family_roles(config)
    mix = config.data.rl
    defects = {Defect(name): weight for name, weight in mix.defects.items()}
    wanted = Mix(arguments.prompts, roles.trained, roles.trained, mix.clear_share, mix.missing, defects)
    variants = sample_variants(wanted, "train", seed=0)
    engine = "vLLM" if arguments.vllm else "transformers"
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {config.model.base} by {engine}")
    print(
        f"{arguments.steps} steps of {arguments.prompts} prompts x {arguments.generations} episodes, replies of up to "
        f"{arguments.tokens} tokens"
    )
    with tempfile.TemporaryDirectory() as folder:
        clocks = measure(config, variants, Path(folder))
    print("\n".join(table(clocks)))
    ratio = clocks[OURS].median() / clocks[TRL].median()
    print(f"\n{ratio:.3f} x the time of a step of TRL: at most {MOST}, {'reached' if ratio <= MOST else 'MISSED'}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.trl_step",
        description="Time steps of training beside those of plain TRL.",
        epilog="example: python -m benchmarks.trl_step --steps 20",
    )
    parser.add_argument("--steps", type=int, default=20, metavar="N", help="steps of each (default 20)")
    parser.add_argument("--prompts", type=int, default=8, metavar="N", help="prompts a step (default 8)")
    parser.add_argument("--generations", type=int, default=8, metavar="N", help="episodes a prompt (default 8)")
    parser.add_argument("--tokens", type=int, default=112, metavar="N", help="most tokens of a reply (default 112)")
    parser.add_argument("--model", default="embedded", metavar="SPEC", help="a folder or hub name (default embedded)")
    parser.add_argument("--vllm", action="store_true", help="generate by vLLM, which takes a model that has a folder")
    parser.add_argument("--share", type=float, default=0.2, help="of a GPU's memory for each vLLM (default 0.2)")
    return parser.parse_args()


def _config(arguments: argparse.Namespace) -> Config:
    """The demo's, without questions; the policy hardly moves, so that the replies of both keep their lengths."""
    trainer = {
        "max_steps": arguments.steps,
        "num_generations": arguments.generations,
        "per_device_train_batch_size": arguments.generations,
        "gradient_accumulation_steps": arguments.prompts,
        "learning_rate": 1e-7,
        "save_strategy": "no",
        "use_vllm": arguments.vllm,
    }
    if arguments.vllm:
        trainer |= {"vllm_gpu_memory_utilization": arguments.share, "vllm_max_model_length": _CONTEXT}
    budgets = {"max_questions": 0, "turn_tokens": arguments.tokens, "total_tokens": arguments.tokens}
    changed = {
        "model": {"base": arguments.model},
        "engine": {"use": "vllm" if arguments.vllm else "hf"},
        "dialogue": budgets,
        "rl": {"trainer": trainer},
    }
    return load_config("demo", options=changed)


def measure(config: Config, variants: Sequence[Variant], folder: Path) -> dict[str, Clock]:
    """The clocks of both, whose steps alternated."""
    sides = {TRL: Side(), OURS: Side()}
    with ExitStack() as stack:
        pool = stack.enter_context(open_pool(config))
        run = stack.enter_context(Run.create(folder / "run", "seed: 0\n", ["benchmark"]))
        trainers = {
            TRL: plain_trainer(config, variants, pool, sides[TRL].clock, folder / "trl"),
            OURS: our_trainer(config, variants, pool, sides[OURS], run, folder / "ours"),
        }
        for trainer in trainers.values():
            stack.enter_context(releasing(trainer))

        def train(name: str, other: str) -> None:
            trainer, mine, waiting = trainers[name], sides[name], sides[other]
            trainer.remove_callback(PrinterCallback)
            trainer.add_callback(TakeTurns(mine, waiting))
            mine.turn.acquire()
            mine.clock.start()
            try:
                trainer.train()
            finally:
                mine.over = True
                waiting.turn.release()

        with ThreadPoolExecutor(2) as threads:
            jobs = [threads.submit(train, TRL, OURS), threads.submit(train, OURS, TRL)]
            sides[TRL].turn.release()
            for job in jobs:
                job.result()
    return {name: side.clock for name, side in sides.items()}


class TimedPool:
    """A pool that tells how long it takes."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self.pool, self.clock = pool, clock
        self.describe, self.numbers, self.close = pool.describe, pool.numbers, pool.close

    def respond(self, exchanges: Sequence[Exchange]) -> Any:  # Any: what the pool says
        with self.clock.part("environment"):
            return self.pool.respond(exchanges)

    def score(self, episodes: Sequence[Episode]) -> Any:  # Any: as above
        with self.clock.part("environment"):
            return self.pool.score(episodes)


def our_trainer(
    config: Config, variants: Sequence[Variant], pool: Pool, side: Side, run: Run, folder: Path
) -> DialogueGRPOTrainer:
    loaded = load_model(config.model.base, dtype=dtype_for("all weights", device_named(config.model.device)))
    chat, limits = chat_for(config, loaded), dialogue_limits(config, loaded)

    args = _trl_config(config, folder)
    groups = Groups(GroupsSection(), variants, args.num_generations)
    with starting(config.engine.options):
        trainer = DialogueGRPOTrainer(
            rollouts=Rollouts(groups, pool, chat, limits, run, 0, 1.0),
            model=loaded.model,
            reward_funcs=[reward_function(item.use, i) for i, item in enumerate(config.rewards)],
            args=args,
            train_dataset=prompt_dataset(variants, chat),
            processing_class=loaded.tokenizer,
        )
    side.clock.told = lambda: _told(trainer.timeline.take())
    return trainer


def _told(seconds: Mapping[str, float]) -> dict[str, float]:
    """Our own timeline of a step in the benchmark's parts, where users and programs are what was waited for."""
    names = {"generation": ("generate", "sync"), "environment": ("env", "score")}
    return {part: sum(seconds.get(f"time/{name}_s", 0.0) for name in of) for part, of in names.items()}


def plain_trainer(config: Config, variants: Sequence[Variant], pool: Pool, clock: Clock, folder: Path) -> GRPOTrainer:
    loaded = load_model(config.model.base, dtype=dtype_for("all weights", device_named(config.model.device)))
    chat = chat_for(config, loaded)
    scorer = Scorer(variants, TimedPool(pool, clock), chat)
    with starting(config.engine.options):
        trainer = GRPOTrainer(
            model=loaded.model,
            reward_funcs=[scorer.reward(item.use, i) for i, item in enumerate(config.rewards)],
            args=_trl_config(config, folder),
            train_dataset=prompt_dataset(variants, chat),
            processing_class=loaded.tokenizer,
        )
    trainer._generate_single_turn = timed(trainer._generate_single_turn, clock)
    return trainer


def _trl_config(config: Config, folder: Path) -> GRPOConfig:
    assert config.rl is not None
    return grpo_config(config, config.rl, folder)


def timed(function: Callable[..., Any], clock: Clock) -> Callable[..., Any]:  # Any: that of either side
    def call(*args: Any, **kwargs: Any) -> Any:  # Any: as above
        with clock.part("generation"):
            return function(*args, **kwargs)

    return call


class Scorer:
    """TRL's reward functions for the same environment: the first one runs the programs, all read the scores."""

    def __init__(self, variants: Sequence[Variant], pool: TimedPool, chat: Chat) -> None:
        self.variants, self.pool, self.chat = variants, pool, chat
        self.scores: list[list[float | None]] = []

    def reward(self, name: str, index: int) -> Callable[..., list[float | None]]:
        def score(
            completions: Sequence[Any], completion_ids: Sequence[Sequence[int]], variant_index: Sequence[int], **_: Any
        ) -> list[float | None]:
            if index == 0:
                self.scores = self._run(completions, completion_ids, variant_index)
            return [row[index] for row in self.scores]

        score.__name__ = name
        return score

    def _run(
        self, completions: Sequence[Any], completion_ids: Sequence[Sequence[int]], rows: Sequence[int]
    ) -> list[list[float | None]]:
        replies = [
            parse_reply(message["content"], finished=ids[-1] in self.chat.end_ids)
            for (message,), ids in zip(completions, completion_ids, strict=True)
        ]
        variants = [self.variants[row] for row in rows]
        exchanges = [Exchange(variant, (), reply, True, 0) for variant, reply in zip(variants, replies, strict=True)]
        responses = self.pool.respond(exchanges)
        episodes = [
            Episode("e", variant, 0, (Turn(reply),), response.stop, response.execution)
            for variant, reply, response in zip(variants, replies, responses, strict=True)
        ]
        return [[score.value for score in scores] for scores in self.pool.score(episodes)]


def table(clocks: Mapping[str, Clock]) -> list[str]:
    """One row for each part of a step, in Markdown."""
    plain, ours = clocks[TRL], clocks[OURS]
    rows = [f"| part | {TRL}, s | share | {OURS}, s | share | ratio |", "|---|---|---|---|---|---|"]
    for part in (*PARTS, ""):
        mine, theirs = ours.median(part), plain.median(part)
        cells = [f"{each.median(part):.3f} | {100 * each.median(part) / each.median():.0f}%" for each in (plain, ours)]
        rows.append(f"| {part or 'step'} | {' | '.join(cells)} | {mine / theirs:.3f} |")
    return rows


if __name__ == "__main__":
    main()
