"""A run before it starts: what each stage would read and write, and what would stop it.

Heavy libraries are imported where they are needed: a mistake that needs none of them is told at once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from clarify_rl.config import Config
from clarify_rl.config_files import holds_run
from clarify_rl.errors import ClarifyError, ConfigError, unknown_name
from clarify_rl.eval_sections import SILENT
from clarify_rl.pipeline.checkpoints import checkpoints, rl_start
from clarify_rl.pipeline.data import family_roles
from clarify_rl.pipeline.sources import BANK, named_source
from clarify_rl.problems.humaneval_comm import HUB_NAME, may_be_on_hub
from clarify_rl.registry import load_user
from clarify_rl.sections import CONTINUE


@dataclass(frozen=True)
class Step:
    """One stage of a run: what it reads and writes, relative to the run folder, with counts."""

    name: str
    reads: str
    writes: str


@dataclass(frozen=True)
class Check:
    """Something that a run needs; `problem` is "" when it is there."""

    what: str
    problem: str = ""


def steps(config: Config) -> list[Step]:
    """The stages of a run, in order."""
    data, suites = config.data, config.suites
    parts = {name: suite.count for name, suite in suites.items()}
    found = []
    if config.rl:
        every = config.rl.evaluation.every
        parts = {"rl": data.rl.count, **({"rl_dev": data.rl_dev.count} if every else {}), **parts}
        start = rl_start(config, Path())
        steps_done = f"{config.rl.trainer.get('max_steps', 'all')} steps of {config.rl.algorithm.upper()}"
        reads = f"data/rl.jsonl, {'data/rl_dev.jsonl, ' if every else ''}{start}"
        writes = f"episodes/rl.jsonl, models/rl after {steps_done}"
        if every:
            both = "episodes/rl.jsonl, episodes/rl-dev.jsonl"
            writes = f"{both}, models/rl: the best of {steps_done}, evaluated every {every}"
        found = [Step("rl", reads, writes)]
    if config.sft:
        parts = {"sft": data.sft.count, "sft_dev": data.sft_dev.count, **parts}
        found = [Step("sft", f"data/sft.jsonl, data/sft_dev.jsonl, {config.model.base}", "models/sft"), *found]
    sources = dict.fromkeys(suite.source for suite in suites.values()) or {"bank": None}
    files = ", ".join(f"data/{name}.jsonl ({count})" for name, count in parts.items())
    evaluated = [
        Step(f"eval-{name}", f"{spec or f'models/{name}'}, {len(suites)} suites", f"episodes/eval-{name}-SUITE.jsonl")
        for name, spec in checkpoints(config).items()
    ]
    last = Step("compare", "episodes/eval-*.jsonl", "comparison.json, report.html")
    return [Step("data", ", ".join(sources), files), *found, *evaluated, last]


def light_checks(config: Config) -> list[Check]:
    """What can be known to fail without loading a heavy library."""
    suites = f"families and suites: {', '.join(config.suites) or 'none'}"
    return [
        _checked(config, f"folder {config.folder}", _check_folder),
        _checked(config, suites, _check_data),
        _checked(config, f"precision {config.model.dtype}", _check_precision),
    ]


def heavy_checks(config: Config) -> list[Check]:
    """The rest of what can be known to fail before work starts: options of libraries, models, and a whole episode."""
    checks = [
        _checked(config, "options of the trainers", _check_trainers),
        *(_checked(config, f"model {spec}", _model_check(spec)) for spec in _models(config)),
    ]
    return [*checks, _rehearsed(config, models_work=not any(check.problem for check in checks[1:]))]


def require_light(config: Config) -> None:
    """Raises ConfigError for what would stop a new run and can be told at once."""
    _raise_problems(light_checks(config))


def require_heavy(config: Config) -> None:
    """Raises ConfigError with everything else that would stop a new run, before its folder is made."""
    _raise_problems(heavy_checks(config))


def _raise_problems(checks: Sequence[Check]) -> None:
    if problems := [check.problem for check in checks if check.problem]:
        raise ConfigError("\n".join(problems))


def print_plan(config: Config, console: Console) -> None:
    """What `clarify-rl run` would do. Raises ConfigError when something would stop it. Writes nothing."""
    state = "it holds a run already: add --resume" if holds_run(config.folder) else "new"
    console.print(
        f"[bold]{config.folder}[/bold] ({state}), seed {config.seed}, {config.env.workers} environment workers, "
        f"{config.learners.count} learner{'s' if config.learners.count > 1 else ''}"
    )
    for step in steps(config):
        console.print(
            f"  [bold]{step.name:<10}[/bold] {escape(step.reads)}\n             -> {escape(step.writes)}",
            soft_wrap=True,
        )
    checks = light_checks(config)
    if not any(check.problem for check in checks):
        checks += heavy_checks(config)
    for check in checks:
        state = "[red]wrong[/red]" if check.problem else "[green]ok[/green]   "
        console.print(f"  {state}  {escape(check.what)}", soft_wrap=True)
    _raise_problems(checks)


def _checked(config: Config, what: str, check: Callable[[Config], None]) -> Check:
    try:
        check(config)
    except ClarifyError as error:
        return Check(what, str(error))
    return Check(what)


def _check_data(config: Config) -> None:
    roles = family_roles(config)
    from_bank = config.sft is not None and config.data.sft.sources.get(BANK, 0.0) > 0
    if from_bank and not roles.demonstrated:
        raise ConfigError("data.demonstrated names no family, so SFT has nothing to show. Name some, or set sft: null.")
    if not config.suites:
        raise ConfigError(
            "eval.suites is empty, so nothing would be compared. Name a suite, as configs/demo.yaml does."
        )
    parts = {"sft": config.data.sft, "sft_dev": config.data.sft_dev, "rl": config.data.rl, "rl_dev": config.data.rl_dev}
    for name, part in parts.items():
        for source in part.sources:
            if source not in (BANK, *config.sources):
                known = [BANK, *config.sources]
                raise ConfigError(f"data.{name}.sources: {unknown_name('source of problems', source, known)}")
    for name in config.sources:
        named_source(config, name)
    for user in config.eval.users.values():
        load_user(user.use, user.options)
    for name, suite in config.suites.items():
        if suite.user and suite.user not in (SILENT, *config.eval.users):
            raise ConfigError(f"eval.suites.{name}: {unknown_name('user', suite.user, (SILENT, *config.eval.users))}")
        if suite.source in config.sources:
            continue
        if suite.source == BANK and not getattr(roles, suite.families):
            raise ConfigError(f"eval.suites.{name}: data.{suite.families} names no family.")
        if suite.source != BANK and not Path(suite.source).is_file() and not may_be_on_hub(suite.source):
            raise ConfigError(
                f"eval.suites.{name}.source: no file {suite.source}. Take bank, a name that stands under `sources`, "
                f"the path of HumanEvalComm.jsonl, or the hub's data set {HUB_NAME}."
            )


def _check_folder(config: Config) -> None:
    """Whether the run folder can be made and written: its nearest existing parent says so."""
    folder = config.folder.absolute()
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir():
        raise ConfigError(f"out={config.out}: {nearest} is a file, not a folder. Choose another folder: out=...")
    try:  # asking for rights would not do: root has them all, also where nothing can be written
        Path(tempfile.mkdtemp(prefix=".clarify-rl-", dir=nearest)).rmdir()
    except OSError as error:
        raise ConfigError(
            f"out={config.out}: {nearest} cannot be written ({error.strerror}). Choose another folder: out=..."
        ) from None


def _rehearsed(config: Config, *, models_work: bool) -> Check:
    """A scripted episode with the run's own tokenizer, user, executor and rewards."""
    what = f"environment {config.env.use}, user {config.env.user}, {', '.join(each.use for each in config.rewards)}"
    if config.rl and not config.rewards:
        return Check(what, "rl needs at least one reward, for example rewards: [{use: pass_rate}].")
    if not models_work:
        return _checked(config, what, _check_plugins)
    from clarify_rl.pipeline.rehearsal import rehearse, sentence

    try:
        return Check(f"{what}; {sentence(rehearse(config))}")
    except ClarifyError as error:
        return Check(what, str(error))


def _check_plugins(config: Config) -> None:
    from clarify_rl.pipeline.environments import open_pool

    with open_pool(config.model_copy(update={"env": config.env.model_copy(update={"workers": 0})})):
        pass


def _check_precision(config: Config) -> None:
    """All weights in half precision learn next to nothing, and nothing but the result tells."""
    whole = [name for name, stage in (("sft", config.sft), ("rl", config.rl)) if stage and stage.lora is None]
    if whole and config.model.dtype in ("bfloat16", "float16") and not config.model.train_in_half:
        raise ConfigError(
            f"model.dtype={config.model.dtype} would train all weights in half precision in {' and '.join(whole)}, and "
            "most updates would be rounded away: after five AdamW steps at 2e-6, 94% of a 0.5B model's weights were as "
            f"before. Take model.dtype=auto, or train an adapter ({whole[0]}.lora.r=16 "
            f"{whole[0]}.lora.target_modules=all-linear), or insist with model.train_in_half=true."
        )


def _check_trainers(config: Config) -> None:
    if config.sft:
        from clarify_rl.training.adapters import lora_config
        from clarify_rl.training.options import check_hub
        from clarify_rl.training.sft import sft_config

        check_hub("sft.trainer", config.sft.trainer)
        sft_config(config.sft, config.folder, config.seed)
        lora_config("sft.lora", config.sft.lora)
    if config.rl:
        from clarify_rl.training.adapters import lora_config
        from clarify_rl.training.groups import check_enough, check_shared
        from clarify_rl.training.options import check_hub
        from clarify_rl.training.reference import check_reference
        from clarify_rl.training.rl import rl_config
        from clarify_rl.training.vllm import check_model

        check_hub("rl.trainer", config.rl.trainer)
        args = rl_config(config, config.rl, config.folder)
        check_shared(config.rl.trainer, config.learners.count)
        check_enough(config.data.rl.count, args, config.learners.count)
        start = "models/sft" if config.sft and config.rl.lora != CONTINUE else config.model.base
        check_model(start, args)
        check_reference(start, config.rl.lora, args)
        lora_config("rl.lora", config.rl.lora)


def _models(config: Config) -> list[str]:
    """Every model that a run starts from, each once."""
    trains = config.sft is not None or config.rl is not None
    specs = [spec for spec in checkpoints(config).values() if spec]
    return list(dict.fromkeys([config.model.base, *specs] if trains else specs))


def _model_check(spec: str) -> Callable[[Config], None]:
    """Looks for the files of a model, or asks the hub for it, and reads its tokenizer and its chat template."""

    def check(config: Config) -> None:
        from clarify_rl.pipeline.canaries import SCRIPTED, script_named
        from clarify_rl.players import end_ids_of, make_chat
        from clarify_rl.policies.models import (
            EMBEDDED,
            device_named,
            embedded_folder,
            load_tokenizer,
            may_be_hub_name,
            quantized,
            verify_digests,
        )
        from clarify_rl.policies.openai import served

        trains = config.sft is not None or config.rl is not None
        if spec.startswith(SCRIPTED):
            script_named(spec)
            return
        if served(spec) and not (trains and spec == config.model.base):
            return
        quantized(config.model.quantization, device_named(config.model.device))
        path = Path(spec)
        if served(spec):
            raise ConfigError(
                f"model.base={spec} is behind a server: it can be evaluated (eval.models), but not trained. Name a "
                "folder, a hub name or a .gguf file, or set sft: null and rl: null."
            )
        if spec == EMBEDDED:
            verify_digests(embedded_folder())
        elif path.suffix == ".gguf" or path.exists() or not may_be_hub_name(spec):
            names = ("config.json", "adapter_config.json")
            if not (path.is_file() if path.suffix == ".gguf" else any((path / name).is_file() for name in names)):
                raise ConfigError(f"No model {spec!r}: looked for that file, or a folder with a config.json.")
        if spec == config.model.base:
            _check_continued(config)
        tokenizer = load_tokenizer(spec)
        make_chat(config, tokenizer, end_ids_of(spec, tokenizer), trains=trains and spec == config.model.base)

    return check


def _check_continued(config: Config) -> None:
    """An adapter that the first stage shall go on with is looked for where `model.base` is here, not on the hub."""
    name = "sft" if config.sft else "rl"
    first, base = config.sft or config.rl, Path(config.model.base)
    here = config.model.base == "embedded" or base.exists()
    if first and first.lora == CONTINUE and here and not (base / "adapter_config.json").is_file():
        raise ConfigError(
            f"{name}.lora=continue needs an adapter to go on with, and model.base={config.model.base} is none. Name an "
            f"adapter's folder, or make a fresh one, e.g. {name}.lora.r=16 {name}.lora.target_modules=all-linear"
        )
