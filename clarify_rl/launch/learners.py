"""Data-parallel learners: the RL stage on several processes by Ray Train, on this machine or on a cluster.

Each learner runs the stage as one process would, with a batch and environments of its own, and torch averages their
gradients. The driver, which holds the run's lock, starts them, shows the numbers of the first one, and starts all of
them again when one is lost: they go on from the newest complete checkpoint in the run folder.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray.exceptions import RayActorError
from ray.train.torch import TorchConfig
from ray.train.v2._internal.exceptions import RayTrainError
from ray.train.v2.api.config import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
from ray.train.v2.api.exceptions import TrainingFailedError, WorkerGroupError
from ray.train.v2.torch.torch_trainer import TorchTrainer
from tqdm.auto import tqdm

from clarify_rl.config import Config
from clarify_rl.errors import ClarifyError
from clarify_rl.pool.connection import join_ray, leave_ray
from clarify_rl.store import Run, read_rows

Train = Callable[[Config, Run], None]


@dataclass(frozen=True)
class _Assignment:
    """What each learner is sent: the stage, its configuration, and the folder in which relative paths begin."""

    train: Train
    config: Config
    run_folder: Path
    start_folder: Path


def train_on_learners(train: Train, config: Config, say: Callable[[str], object]) -> None:
    """Runs `train(config, run)` in `config.learners.count` processes; the first one's `run` writes.

    Raises ClarifyError: one that a learner raised, or when learners are lost again and again without progress.
    """
    learners = config.learners
    task = _Assignment(train, config, config.folder.resolve(), Path.cwd())
    with _connected(config), _progress(task):
        machines: list[dict[str, float]] = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        gpus = _gpus(learners.gpus, learners.count, ray.cluster_resources())
        _warn_of_waiting(config, gpus, machines, say)
        lost, newest = 0, _newest(task.run_folder)
        while why := _attempt(task, gpus):
            before, newest = newest, _newest(task.run_folder)
            lost = lost + 1 if newest == before else 1
            if lost > learners.restarts:
                raise ClarifyError(
                    f"Learners were lost {lost} times in a row without a new checkpoint. The last: {why}. "
                    f"{task.run_folder} keeps what was done; mend the cause, then --resume."
                )
            say(f"[yellow]{why}. All learners go on from {newest or 'the start'}.[/yellow]")


def _attempt(task: _Assignment, gpus: int) -> str:
    """Trains to the end: "". Or says which learner was lost, and why; a ClarifyError of a learner is raised."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        _trainer(task, gpus).fit()
    except WorkerGroupError as error:
        _raise_if_it_would_come_again(error)
        return _cause(error.worker_failures)
    except TrainingFailedError as error:
        return f"Ray Train failed: {error}"
    except SystemExit:  # Ray Train catches Ctrl-C, ends the learners, and then this process
        raise KeyboardInterrupt from None
    except RayActorError as error:
        return f"Ray Train's controller was lost: {error}"
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
    return ""


def _trainer(task: _Assignment, gpus: int) -> TorchTrainer:
    # Ray Train would move each learner into a folder of its own, where no relative path of the configuration is right.
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    resources = {"CPU": task.config.learners.cpus, **({"GPU": gpus} if gpus else {})}
    return TorchTrainer(
        _learn,
        train_loop_config={"task": task},
        scaling_config=ScalingConfig(
            num_workers=task.config.learners.count,
            use_gpu=gpus > 0,
            resources_per_worker=resources,
            placement_strategy="SPREAD",
        ),
        torch_config=TorchConfig(),
        run_config=RunConfig(
            name="rl",
            storage_path=str(task.run_folder / "ray"),
            # Ray Train would try a mistake of the user again, too; what may be tried again is decided above.
            failure_config=FailureConfig(max_failures=0),
            logging_config=LoggingConfig("ERROR"),
        ),
    )


def _learn(sent: Mapping[str, _Assignment]) -> None:
    """What runs in each learner. torch's process group is there already."""
    task = sent["task"]
    if task.start_folder.is_dir():
        os.chdir(task.start_folder)
    with Run.share(task.run_folder, ray.train.get_context().get_world_rank()) as run:
        task.train(task.config, run)


def _raise_if_it_would_come_again(error: WorkerGroupError) -> None:
    """Raises a learner's own message to the user, or `error` for a fault of the program, which has its traceback."""
    for failure in error.worker_failures.values():
        if isinstance(failure, ClarifyError):
            raise failure from None
    # A process that died, and what its peers, the network or a GPU then say, is worth another attempt.
    if not any(
        isinstance(failure, (RayTrainError, RuntimeError, OSError)) for failure in error.worker_failures.values()
    ):
        raise error


def _cause(failures: Mapping[int, Exception]) -> str:
    """Which learner was lost first, and why: where a process died, what its peers say about it is no cause."""
    died = [rank for rank, failure in failures.items() if isinstance(failure, RayTrainError)]
    rank = min(died or failures)
    text = str(failures[rank]).strip().splitlines()
    return f"Learner {rank} was lost ({type(failures[rank]).__name__}: {text[0] if text else 'no message'})"


def _gpus(asked: int | None, count: int, resources: Mapping[str, float]) -> int:
    """GPUs of each learner."""
    return int(resources.get("GPU", 0) >= count) if asked is None else asked


def _warn_of_waiting(
    config: Config, gpus: int, machines: Sequence[Mapping[str, float]], say: Callable[[str], object]
) -> None:
    """Says so when the cluster must grow before the learners can start; Ray Train waits without a word."""
    learners = config.learners
    bundle = {"CPU": learners.cpus, **({"GPU": gpus} if gpus else {})}
    room = sum(min(int(has.get(name, 0.0) // amount) for name, amount in bundle.items()) for has in machines)
    if room < learners.count:
        needs = " and ".join(f"{amount:g} {name}s" for name, amount in bundle.items())
        say(
            f"[yellow]Each learner needs {needs} on one machine; this cluster has room for {room} of {learners.count}. "
            "They wait until it has more (learners.cpus, learners.gpus).[/yellow]"
        )


def _newest(run_folder: Path) -> str:
    """The newest complete checkpoint of the stage by its name, or ""."""
    complete = (run_folder / "checkpoints" / "rl").glob("checkpoint-*/COMPLETE")
    names = (path.parent.name for path in complete)
    return max(names, key=lambda name: int(name.rpartition("-")[2]), default="")


@contextmanager
def _connected(config: Config) -> Iterator[None]:
    """A Ray to run on: the one that is connected, the cluster that RAY_ADDRESS names, or a local one for this stage."""
    joined = join_ray(_wanted(config))
    try:
        yield
    finally:
        if joined:
            leave_ray()


def _wanted(config: Config) -> dict[str, float]:
    """What the learners and their environment workers ask for together.

    What a local Ray counts as its CPUs is how many processes it starts, not how fast they are.
    """
    env, learners = config.env, config.learners
    workers = learners.count * env.most_workers
    needs = {name: amount * workers for name, amount in env.worker_resources.items()}
    cpus = learners.count * (learners.cpus + 1) + needs.get("CPU", 0.0)
    return {**needs, "CPU": max(cpus, os.cpu_count() or 1)}


@contextmanager
def _progress(task: _Assignment) -> Iterator[None]:
    """A bar, with warnings above it, that follows metrics.jsonl, which the first learner writes."""
    done = threading.Event()
    follower = threading.Thread(target=_follow, args=(task, done), daemon=True)
    follower.start()
    try:
        yield
    finally:
        done.set()
        follower.join()


def _follow(task: _Assignment, done: threading.Event) -> None:
    path, steps = task.run_folder / "metrics.jsonl", _max_steps(task.config)
    said = set(_warnings(_rows(path)))
    with tqdm(total=steps, desc="rl", unit="step", dynamic_ncols=True) as bar:
        while True:
            ended = done.wait(_LOOK_EVERY_S)
            rows = _rows(path)
            for text in _warnings(rows):
                if text not in said:
                    bar.write(text)
                    said.add(text)
            if rows:
                last = {name: value for row in rows for name, value in row.items()}
                shown = {label: f"{last[name]:.3g}" for label, name in _SHOWN.items() if name in last}
                bar.n = last["step"]
                bar.set_postfix(shown)
            if ended:
                return


def _rows(path: Path) -> list[dict[str, Any]]:  # Any: JSON
    return [row for row in read_rows(path) if row["stage"] == "rl"] if path.exists() else []


def _warnings(rows: Sequence[Mapping[str, Any]]) -> list[str]:  # Any: as above
    return [f"Warning at step {row['step']}: {row['warning']}" for row in rows if "warning" in row]


_LOOK_EVERY_S = 1.0
_SHOWN = {
    "reward": "reward/total",
    "solved": "episode/solved",
    "ask": "episode/asked_unclear",
    "false ask": "episode/asked_clear",
    "held-out solved": "eval/solved",
    "tokens/s": "rollout/tokens_per_s",
}


def _max_steps(config: Config) -> int | None:
    steps = int(config.rl.trainer.get("max_steps", 0)) if config.rl else 0
    return steps if steps > 0 else None
