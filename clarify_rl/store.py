"""The run folder: the only reader and writer of its configuration, data, episodes, metrics and marks.

Its files:

    config.yaml run.json lock*       what was asked for, by which command, with which versions on which hardware
    data/NAME.jsonl                  variants, one a line
    models/NAME/                     checkpoints that any transformers loads
    episodes/NAME.jsonl              every episode, with ids, mask, scores, tests, answers and seed
    metrics.jsonl                    one row a logged step: stage, step and named numbers
    stages/NAME.json                 written last: this stage is complete
    comparison.json report.html      the result
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO

from clarify_rl.config_files import CONFIG_FILE, differences, holds_run
from clarify_rl.errors import DataError, RunFolderError
from clarify_rl.records import from_record, to_record
from clarify_rl.types import Episode, Execution, Stop, Variant

Metrics = Mapping[str, float | int | str | None]

_MOST_SHOWN = 5  # settings that a message names

_PACKAGES = ("clarify-rl", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "ray", "numpy")


@dataclass(frozen=True)
class PastEpisode:
    """What came of one episode on record. `solved` is None where it could not be measured."""

    step: int
    variant: str
    solved: bool | None


HOW = ("model.attn_implementation: ", "engine.", "eval.cache: ")  # keys of settings that --resume may change


class Run:
    """One run folder, locked while it is open. `Run.create` and `Run.resume` check its configuration.

    Where several learners share a run (`Run.share`), the first one writes; the same calls do nothing in the others.
    """

    def __init__(self, folder: Path, *, lock: str = "lock", writes: bool = True, wait_s: float = 0.0) -> None:
        self.folder, self.writes = folder, writes
        self._lock = _take_lock(folder / lock, wait_s)

    @classmethod
    def create(cls, folder: Path, config_yaml: str, command: Sequence[str]) -> Run:
        """A new run folder. Raises RunFolderError when it holds a run already: nothing is ever overwritten."""
        if holds_run(folder):
            raise RunFolderError(
                f"{folder} already holds a run. Continue it with --resume, or choose another folder with name=... or "
                "out=..."
            )
        folder.mkdir(parents=True, exist_ok=True)
        run = cls(folder)
        write_atomically(folder / CONFIG_FILE, config_yaml)
        write_atomically(folder / "run.json", json.dumps(_circumstances(command), indent=1) + "\n")
        return run

    @classmethod
    def resume(cls, folder: Path, config_yaml: str) -> Run:
        """An existing run folder. Raises RunFolderError when there is none, or when it has another configuration.

        What the two may differ in is how the same numbers are computed (HOW), which run.json then tells.
        """
        saved = folder / CONFIG_FILE
        if not holds_run(folder):
            raise RunFolderError(f"Nothing to resume in {folder}: it holds no run. Leave out --resume to start one.")
        run = cls(folder)
        changed = differences(saved.read_text(), config_yaml) if saved.read_text() != config_yaml else []
        if changed and all(change.startswith(HOW) for change in changed):
            run.note("changed by --resume", "; ".join(changed))
            write_atomically(saved, config_yaml)
        elif changed:
            run.close()
            shown = [
                *changed[:_MOST_SHOWN],
                *([f"and {len(changed) - _MOST_SHOWN} more"] * (len(changed) > _MOST_SHOWN)),
            ]
            raise RunFolderError(
                f"{folder} was started with another configuration ({'; '.join(shown)}). Take it back, or start a new "
                f"run with name=... (or out=...). The whole of it is {saved}."
            )
        return run

    @classmethod
    def share(cls, folder: Path, rank: int, *, wait_s: float = 120.0) -> Run:
        """The run that another process holds, for one of its learners.

        Waits for the learner of the same rank that a crash may have left over to end: two would mix their episodes.
        Raises RunFolderError when the folder is not to be seen from here.
        """
        if not holds_run(folder):
            raise RunFolderError(
                f"Learner {rank}, on {platform.node()}, does not see the run folder {folder}. Learners on several "
                "machines need one that all of them share: out=/path/on/shared/storage/{name}"
            )
        return cls(folder, lock=f"lock.learner-{rank}", writes=rank == 0, wait_s=wait_s)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._lock.close()

    def is_done(self, stage: str) -> bool:
        return (self.folder / "stages" / f"{stage}.json").exists()

    def mark_done(self, stage: str, seconds: float, parts: Mapping[str, float] | None = None) -> None:
        """Says that a stage is complete, how long it took, and where that time went."""
        path = self.folder / "stages" / f"{stage}.json"
        path.parent.mkdir(exist_ok=True)
        times = {"seconds": seconds, **(parts or {})}
        rounded = {name: round(value, 1) for name, value in times.items()}
        write_atomically(path, json.dumps({"stage": stage, **rounded}) + "\n")

    def done(self) -> list[str]:
        """Names of the complete stages, in the order in which they were completed."""
        marks = (self.folder / "stages").glob("*.json")
        return [path.stem for path in sorted(marks, key=lambda path: path.stat().st_mtime_ns)]

    def model_folder(self, name: str) -> Path:
        return self.folder / "models" / name

    def data_file(self, name: str) -> Path:
        return self.folder / "data" / f"{name}.jsonl"

    def write_variants(self, name: str, variants: Iterable[Variant]) -> None:
        path = self.data_file(name)
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, "".join(json.dumps(to_record(variant)) + "\n" for variant in variants))

    def read_variants(self, name: str) -> list[Variant]:
        return read_variants(self.data_file(name))

    def add_episodes(self, name: str, episodes: Iterable[Episode], *, step: int | None = None) -> None:
        """Appends episodes before anyone uses them; each refers to its variant by id."""
        if not self.writes:
            return
        path = self.episodes_file(name)
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            for episode in episodes:
                record = {**to_record(episode), "variant": episode.variant.id}
                file.write(json.dumps(record if step is None else {"step": step, **record}) + "\n")

    def episodes_file(self, name: str) -> Path:
        return self.folder / "episodes" / f"{name}.jsonl"

    def take_episodes(self, name: str, from_file: Path) -> None:
        """Makes the episodes of another run those of this one."""
        self.episodes_file(name).parent.mkdir(exist_ok=True)
        write_atomically(self.episodes_file(name), from_file.read_text())

    def read_episodes(self, name: str, variants: Iterable[Variant]) -> list[Episode]:
        by_id = {variant.id: to_record(variant) for variant in variants}
        rows = list(read_rows(self.episodes_file(name)))
        return [from_record(Episode, {**row, "variant": by_id[str(row["variant"])]}) for row in rows]

    def read_outcomes(self, name: str, variants: Iterable[Variant], *, before: int) -> Iterator[PastEpisode]:
        """What came of the episodes of the steps before one. Dialogues are left unread: a long run has very many."""
        path = self.episodes_file(name)
        by_id = {variant.id: variant for variant in variants}
        for row in read_rows(path) if path.exists() else ():
            if _number(row["step"]) >= before:
                continue
            variant, execution = by_id[str(row["variant"])], row["execution"]
            ran = from_record(Execution, execution) if isinstance(execution, dict) else None
            ended = Episode(str(row["id"]), variant, 0, (), Stop(str(row["stop"])), ran, str(row["failure"]))
            yield PastEpisode(int(_number(row["step"])), variant.id, ended.solved)

    def drop_episodes(self, name: str, *, from_step: int = 0) -> None:
        """Forgets the episodes of `from_step` and later, which a resumed stage will make again."""
        self._drop_rows(self.episodes_file(name), lambda row: _number(row.get("step")) < from_step)

    def keep_episodes(self, name: str, count: int) -> None:
        """Keeps the first `count` episodes, and forgets what an interruption left behind them."""
        numbers = iter(range(count))
        self._drop_rows(self.episodes_file(name), lambda _: next(numbers, None) is not None)

    def count_episodes(self, name: str) -> int:
        path = self.episodes_file(name)
        return sum(1 for _ in read_rows(path)) if path.exists() else 0

    def change(self, config_yaml: str, what: str) -> None:
        """Another configuration of the same run, for what is still to come, and a note of what it changed."""
        write_atomically(self.folder / CONFIG_FILE, config_yaml)
        self.note("changed by eval", "; ".join(filter(None, (self.info().get("changed by eval"), what))))

    def add_metrics(self, stage: str, step: int, metrics: Metrics) -> None:
        """Appends a row. A number that is not finite is no measurement: the row only tells its name."""
        if not self.writes:
            return
        lost = [name for name, value in metrics.items() if isinstance(value, float) and not math.isfinite(value)]
        kept = {name: value for name, value in metrics.items() if name not in lost}
        row = {"stage": stage, "step": step, **kept, **({"not_finite": ", ".join(lost)} if lost else {})}
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")

    def drop_metrics(self, stage: str, *, from_step: int = 0) -> None:
        keep = lambda row: row["stage"] != stage or _number(row["step"]) < from_step  # noqa: E731 - a one-line rule
        self._drop_rows(self.folder / "metrics.jsonl", keep)

    def read_metrics(self) -> list[dict[str, float | int | str]]:
        path = self.folder / "metrics.jsonl"
        return list(read_rows(path)) if path.exists() else []  # type: ignore[arg-type] # rows were written by us

    def seconds(self) -> dict[str, float]:
        """How long each complete stage took, in the order in which they were completed."""
        marks = {stage: json.loads((self.folder / "stages" / f"{stage}.json").read_text()) for stage in self.done()}
        return {stage: float(mark["seconds"]) for stage, mark in marks.items()}

    def note(self, key: str, text: str) -> None:
        """Writes down one more fact about this run, beside its versions and hardware."""
        known = self.info()
        if self.writes and text and known.get(key) != text:
            write_atomically(self.folder / "run.json", json.dumps({**known, key: text}, indent=1) + "\n")

    def info(self) -> dict[str, str]:
        """The command, versions and hardware of this run, for its report."""
        return {key: str(value) for key, value in json.loads((self.folder / "run.json").read_text()).items()}

    def _drop_rows(self, path: Path, keep: object) -> None:
        if self.writes and path.exists():
            rows = [row for row in read_rows(path) if keep(row)]  # type: ignore[operator] # a rule given above
            write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows))


def read_variants(path: Path) -> list[Variant]:
    """Variants of a JSONL file. Raises DataError for a missing file or a broken line, named by its number."""
    return [from_record(Variant, row) for row in read_rows(path)]


def read_rows(path: Path) -> Iterator[dict[str, object]]:
    """Rows of a JSONL file; a last line cut off by a crash is left out."""
    if not path.exists():
        raise DataError(f"No file {path}. Run the stage that writes it first.")
    lines = path.read_text().splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines) and not line.endswith("\n"):
                return
            raise DataError(f"{path}:{number} is not JSON: {error}. Remove the line, or make the file again.") from None


def write_atomically(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    temporary.replace(path)


def _take_lock(path: Path, wait_s: float = 0.0) -> IO[str]:
    file, deadline = path.open("a"), time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except OSError:
            if time.monotonic() >= deadline:
                file.close()
                raise RunFolderError(
                    f"{path.parent} is in use by another process. Wait for it, or choose name=..."
                ) from None
        time.sleep(0.2)


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _circumstances(command: Sequence[str]) -> dict[str, object]:
    return {
        "command": shlex.join(command),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        **{name: version_of(name) for name in _PACKAGES},
        **_commit(),
    }


def _commit() -> dict[str, str]:
    """The commit of a checkout that this code runs from, and whether files of it were changed since."""
    git = ("git", "-C", str(Path(__file__).parent))
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10)
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"commit": commit.stdout.strip() + (", with changes" if changed.stdout.strip() else "")}


def version_of(package: str) -> str:
    """The version of a package that is installed here, or that it is not."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
