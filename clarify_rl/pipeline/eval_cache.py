"""Finished evaluations that other runs take over: by checkpoint, suite, user, seed, and version of all that counts.

An entry is found again only where everything that its episodes hang on is the same, weights and code by their digests.
What cannot be told that way (a model or user behind a server, plugins from elsewhere) is played each time.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from clarify_rl.config import Config, RewardConfig
from clarify_rl.engines import engine_for_evaluation
from clarify_rl.eval_sections import SILENT
from clarify_rl.pipeline.canaries import SCRIPTED
from clarify_rl.policies.models import EMBEDDED, device_named, embedded_folder
from clarify_rl.policies.openai import served
from clarify_rl.store import Run, version_of

_OFFLINE_USERS = ("rule_based", SILENT)
_CODE = ("clarify_rl", "clarify_rl.rewards", "clarify_rl.envs")
_LIBRARIES = ("torch", "transformers", "tokenizers", "vllm")
_EPISODES, _ABOUT = "episodes.jsonl", "about.json"


@dataclass(frozen=True)
class EvaluationCache:
    """A folder of entries, which runs on several machines may share: an entry appears whole or not at all."""

    folder: Path

    def take(self, key: str, run: Run, record: str) -> str:
        """Gives the run an entry's episodes as `record`, done; whose they were, "" where there is no such entry."""
        entry = self.folder / key
        if not (entry / _ABOUT).is_file():
            return ""
        about = json.loads((entry / _ABOUT).read_text())
        run.take_episodes(record, entry / _EPISODES)
        run.mark_done(record, 0.0, {"when played": about["seconds"]})
        return f"{about['run']}, {about['when']}, in {about['seconds']:.0f} s"

    def keep(self, key: str, run: Run, record: str, seconds: float) -> None:
        """Makes an entry of what a run has played; one that is there stays."""
        self.folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=self.folder, prefix=".making-"))
        try:
            shutil.copyfile(run.episodes_file(record), made / _EPISODES)
            about = {
                "run": str(run.folder.resolve()),
                "record": record,
                "when": time.strftime("%Y-%m-%d %H:%M"),
                "seconds": round(seconds, 1),
            }
            (made / _ABOUT).write_text(json.dumps(about) + "\n")
            made.chmod(0o755)
            made.rename(self.folder / key)
        except OSError:
            if not (self.folder / key / _ABOUT).is_file():
                raise
        finally:
            shutil.rmtree(made, ignore_errors=True)


def cache_of(config: Config) -> EvaluationCache | None:
    """The cache that is configured."""
    return EvaluationCache(Path(config.eval.cache).expanduser()) if config.eval.cache else None


def key_of(config: Config, run: Run, model: str | None, suite: str) -> str | None:
    """What a finished suite of the model with this digest is found by; None where episodes hang on what has none.

    `config` names the suite's own user, as it is played.
    """
    section, env = config.suites[suite], config.env
    if model is None or env.user not in _OFFLINE_USERS or not all(map(_is_ours, config.rewards)) or ":" in env.use:
        return None
    hangs_on = {
        "model": model,
        "variants": _digest(run.data_file(suite)),
        "suite": section.model_dump(include={"samples", "price", "max_questions"}),
        "temperature": config.eval.temperature_of(section),
        "user": [env.user, env.user_options],
        "seed": config.seed,
        "dialogue": config.dialogue.model_dump(),
        "env": [env.use, env.options],
        "executor": config.executor.model_dump(),
        "rewards": [reward.model_dump() for reward in config.rewards],
        "how": config.model.model_dump(exclude={"base"}),
        "engine": [engine_for_evaluation(config).name, config.engine.options, device_named(config.model.device).type],
        "versions": {name: version_of(name) for name in _LIBRARIES},
        "code": _code(),
    }
    return hashlib.sha256(json.dumps(hangs_on, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _is_ours(reward: RewardConfig) -> bool:
    """Whether a reward's code is in the digest of ours, and asks no model behind a server."""
    known = reward.use.isidentifier() and find_spec(f"clarify_rl.rewards.{reward.use}") is not None
    return known and "model" not in reward.options


def digest_of_model(spec: str) -> str | None:
    """A digest of a model's files, or the hub's name of its version; None where neither can be had."""
    if served(spec) or spec.startswith(SCRIPTED):
        return None
    path = embedded_folder() if spec == EMBEDDED else Path(spec)
    if path.is_file():
        return _digest(path)
    if path.is_dir():
        adapter = path / "adapter_config.json"
        base = (
            digest_of_model(str(json.loads(adapter.read_text())["base_model_name_or_path"]))
            if adapter.is_file()
            else ""
        )
        return None if base is None else _digest_of(dict(_files(path)), base)
    return _version_on_hub(spec)


def _version_on_hub(name: str) -> str | None:
    """The version that is in the local cache, which is what would be loaded without a network."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json")
    return f"{name}@{Path(found).parent.name}" if isinstance(found, str) else None


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files that a model is loaded from: trainers leave others beside them."""
    for path in sorted(folder.iterdir()):
        if (
            path.suffix in (".safetensors", ".bin", ".json", ".txt", ".model", ".jinja")
            and path.name != "trainer_state.json"
        ):
            yield path.name, path


def _digest_of(named: Mapping[str, Path], more: str = "") -> str:
    whole = hashlib.sha256(more.encode())
    for name, path in sorted(named.items()):
        whole.update(f"{name} {_digest(path)}\n".encode())
    return whole.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _code() -> str:
    """A digest of our own code, by which an installation from a working tree is told from another."""
    folders = {package: Path(str(files(package))) for package in _CODE}
    named = {
        f"{package}/{path.relative_to(folder)}": path
        for package, folder in folders.items()
        for path in folder.rglob("*.py")
    }
    return _digest_of(named)
