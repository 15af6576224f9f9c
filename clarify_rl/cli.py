"""The command line. Each command parses, calls one function, and prints one result."""

from __future__ import annotations

import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import clarify_rl
from clarify_rl.arguments import parse
from clarify_rl.check_commands import CHECK_COMMANDS
from clarify_rl.command_line import Arguments, new_folder
from clarify_rl.data_commands import DATA_COMMANDS
from clarify_rl.errors import ClarifyError, ConfigError, RunFolderError
from clarify_rl.reading_commands import READING_COMMANDS
from clarify_rl.trouble import trouble

if TYPE_CHECKING:
    from clarify_rl.config import Config
    from clarify_rl.store import Run
    from clarify_rl.threads import Threads

_ENVIRONMENT = {
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "GOMP_SPINCOUNT": "10000",  # threads that wait for each other soon sleep: other programs may come meanwhile
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; 0 when it ended well, 1 when it found what it looks for, 2 for a mistake, 130 after Ctrl-C."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        return _COMMANDS[arguments.command](arguments) or 0
    except ClarifyError as error:
        print(f"clarify-rl: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"\nInterrupted. {stop}".rstrip(), file=sys.stderr)
        return 130
    except Exception as error:
        if why := trouble(error):
            print(f"clarify-rl: {why}", file=sys.stderr)
            return 2
        raise


# ---- the commands


def _run(arguments: Arguments) -> None:
    from clarify_rl.config_files import holds_run

    config = _load(arguments)
    if arguments.dry_run:
        from clarify_rl.pipeline import plan, terminal

        _quieten(arguments.verbose)
        plan.print_plan(config, terminal.console)
        return
    if not arguments.resume and holds_run(config.folder):
        raise RunFolderError(
            f"{config.folder} already holds a run. Go on with it: {_resuming(arguments)}. "
            "Or choose another folder with name=... or out=..."
        )
    with _open(config, arguments, must_exist=arguments.resume) as run:
        from clarify_rl.pipeline.run import run_all

        run_all(config, run)


def _stage(arguments: Arguments) -> None:
    config, name = _load(arguments), arguments.command
    earlier = config.stage_before(name)
    if earlier and not (config.folder / "stages" / f"{earlier}.json").exists():
        typed = shlex.join(["clarify-rl", earlier, arguments.config, *arguments.items])
        raise RunFolderError(f"{config.folder} has no finished {earlier} stage, which {name} needs. First: {typed}")
    with _open(config, arguments, must_exist=name != "data") as run:
        from clarify_rl.pipeline.run import run_stage

        run_stage(name, config, run)


def _submit(arguments: Arguments) -> int:
    config = _load(arguments)
    from clarify_rl.launch import follow, submit

    print(f"submit: {config.name} with clarify-rl {clarify_rl.__version__} -> {arguments.address}", flush=True)
    job = submit(config, arguments.address, resume=arguments.resume)
    print(f"Job {job.id}: {job.link}\nFollow it: {job.to_follow}\nStop it:   {job.to_stop}", flush=True)
    if arguments.no_wait:
        return 0
    try:
        return follow(job, partial(print, end="", flush=True))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"The job goes on.\nFollow it: {job.to_follow}\nStop it:   {job.to_stop}") from None


def _eval(arguments: Arguments) -> None:
    overrides = [item for item in arguments.items if "=" in item and not Path(item).is_dir()]
    folders = [item for item in arguments.items if item not in overrides]
    if len(folders) != (0 if arguments.model else 1) or (arguments.model and not arguments.suite):
        raise ConfigError("Give one run folder (clarify-rl eval runs/demo), or --model with --suite, and not both.")
    if folders:
        _eval_run(Path(folders[0]), arguments, overrides)
        return
    from clarify_rl.pipeline.standalone import evaluation_config

    models = dict(_named_model(item) for item in arguments.model)
    if len(models) < len(arguments.model):
        raise ConfigError("Two models have one name. Name them: --model first=SPEC --model second=SPEC")
    dialogue = {
        "instruction": arguments.instruction,
        "last_call": arguments.last_call,
        "max_questions": arguments.max_questions,
        "turn_tokens": arguments.turn_tokens,
    }
    config = evaluation_config(
        models,
        arguments.suite,
        limit=arguments.limit,
        samples=arguments.samples,
        temperature=arguments.temperature,
        out=arguments.out,
        dialogue=dialogue,
        overrides=overrides,
    )
    with _open(config, arguments) as run:
        from clarify_rl.pipeline.run import run_all

        run_all(config, run)


def _eval_run(folder: Path, arguments: Arguments, overrides: Sequence[str]) -> None:
    from clarify_rl.config_files import saved_config
    from clarify_rl.store import Run

    before = saved_config(folder)
    after = saved_config(folder, [*_suite_of(arguments), *overrides])
    with Run(folder) as run, _telling_what_is_kept(run, arguments):
        _prepare(after, arguments, run)
        from clarify_rl.pipeline.evaluate import evaluate_more
        from clarify_rl.pipeline.run import evaluate_run

        if run.is_done("data"):
            evaluate_more(run, before, after)
        evaluate_run(after, run)


def _suite_of(arguments: Arguments) -> list[str]:
    """`--suite` as one more suite of a run that has suites of its own."""
    if not arguments.suite:
        return []
    from clarify_rl.pipeline.standalone import named_suite

    how = {"limit": arguments.limit, "samples": arguments.samples, "temperature": arguments.temperature}
    return named_suite(arguments.suite, **how).overrides


def _play(arguments: Arguments) -> None:
    from clarify_rl.pipeline.choose import choose_variant
    from clarify_rl.pipeline.terminal import console

    config = _load(arguments)
    try:
        variant = choose_variant(config, variant_id=arguments.variant, kind=arguments.kind, seed=arguments.seed)
        _prepare(config, arguments)
        from clarify_rl import play

        play.play_model(config, arguments.model, variant, arguments.seed, console)
    except KeyboardInterrupt:
        console.print("\nBye.")


def _export(arguments: Arguments) -> None:
    out = new_folder(arguments.out)
    _quieten(arguments.verbose)
    from clarify_rl.training.export import export_adapter, export_model

    if arguments.adapter:
        base = export_adapter(arguments.model, out)
        print(f"{out} holds the adapter; its base is {base}")
    else:
        export_model(arguments.model, out, arguments.dtype)
        print(f"{out} holds a plain model. Use it with model.base={out}, or serve it: vllm serve {out}")


def _pretrain(arguments: Arguments) -> None:
    # CONFIG may be left out, so it stands among the key=value pairs.
    named = [item for item in arguments.items if "=" not in item]
    if len(named) > 1:
        raise ConfigError(f"Give one configuration, not {len(named)}: {', '.join(named)}.")
    arguments.config = named[0] if named else "pretrain"
    arguments.items = [item for item in arguments.items if "=" in item]
    config, out = _load(arguments), new_folder(arguments.out)
    _quieten(arguments.verbose)
    from tqdm.auto import tqdm

    from clarify_rl.training.pretrain import Progress, pretrain

    recipe = config.pretrain
    print(f"pretrain: {recipe.steps} steps of {recipe.batch_size} problems -> {out}")
    with tqdm(total=recipe.steps, desc="pretrain", unit="step", dynamic_ncols=True) as bar:

        def show(progress: Progress) -> None:
            bar.update(progress.step - bar.n)
            bar.set_postfix(loss=f"{progress.loss:.3f}")
            if progress.exact is not None:
                exact = f"{100 * progress.exact:.1f}% of dev solutions exact"
                bar.write(f"step {progress.step}: loss {progress.loss:.3f}, {exact}, {progress.seconds:.0f} s")

        pretrain(recipe, out, config.seed, on_progress=show)
    print(f"Use it with model.base={out}")


def _config_show(arguments: Arguments) -> None:
    from clarify_rl.config_files import to_yaml

    print(to_yaml(_load(arguments)), end="")


def _config_list(arguments: Arguments) -> None:
    from clarify_rl.config_files import shipped_configs

    print("\n".join(shipped_configs()))


def _doctor(arguments: Arguments) -> int:
    from clarify_rl import doctor
    from clarify_rl.pipeline.terminal import console

    return 0 if doctor.examine(console) else 1


_COMMANDS: Mapping[str, Callable[[Arguments], int | None]] = {
    "run": _run,
    "data": _stage,
    "sft": _stage,
    "rl": _stage,
    "submit": _submit,
    "eval": _eval,
    "play": _play,
    "export": _export,
    "pretrain": _pretrain,
    "config show": _config_show,
    "config list": _config_list,
    "doctor": _doctor,
    **CHECK_COMMANDS,
    **DATA_COMMANDS,
    **READING_COMMANDS,
}


# ---- what the commands share


def _load(arguments: Arguments) -> Config:
    from clarify_rl.config_files import load_config

    return load_config(arguments.config, arguments.items)


def _named_model(item: str) -> tuple[str, str]:
    """NAME=SPEC, or a SPEC that is named after its last part."""
    name, given, spec = item.partition("=")
    if not given:
        name, spec = re.split(r"[/#]", item)[-1].removesuffix(".gguf"), item
    if not re.fullmatch(r"[\w.+-]+", name) or not spec:
        raise ConfigError(
            f"--model {item}: {name!r} is no name. Use letters, digits and .+-_: --model small=path/to/model"
        )
    return name, spec


def _quieten(verbose: bool) -> None:
    """Turns off the bars of the libraries, which hide ours, and unless `verbose` their warnings."""
    import datasets
    import transformers

    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    if not verbose:
        warnings.simplefilter("ignore", FutureWarning)
        transformers.utils.logging.set_verbosity_error()


def _prepare(config: Config, arguments: Arguments, before: Run | None = None) -> Threads:
    """What has to be settled before heavy libraries start: how many threads, and who may talk.

    A run that goes on keeps the number that it began with: another one would round sums differently.
    """
    from clarify_rl.threads import choose_threads

    known = before.info().get("threads", "") if before else ""
    choice = choose_threads(config.learners.count, before=int(known) if known.isdecimal() else None)
    _quieten(arguments.verbose)
    from clarify_rl.pipeline.terminal import say

    choice.apply()
    say(f"[dim]{choice}[/dim]")
    return choice


def _resuming(arguments: Arguments) -> str:
    """The command that goes on with this one."""
    more = ["--resume"] if "resume" in arguments and not arguments.resume else []
    return shlex.join([*arguments.argv, *more])


@contextmanager
def _open(config: Config, arguments: Arguments, *, must_exist: bool = False) -> Iterator[Run]:
    """The run folder of a configuration: a new one, after everything was checked, or the existing one."""
    from clarify_rl.config_files import holds_run, to_yaml
    from clarify_rl.pipeline import plan
    from clarify_rl.store import Run

    if must_exist or holds_run(config.folder):
        run = Run.resume(config.folder, to_yaml(config))
        _prepare(config, arguments, run)
    else:
        plan.require_light(config)
        threads = _prepare(config, arguments)
        plan.require_heavy(config)
        run = Run.create(config.folder, to_yaml(config), arguments.argv)
        run.note("threads", str(threads.count))
    with run, _telling_what_is_kept(run, arguments):
        yield run


@contextmanager
def _telling_what_is_kept(run: Run, arguments: Arguments) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        done = ", ".join(run.done()) or "none"
        kept = f"{run.folder} keeps the complete stages ({done}), every episode and the last checkpoints."
        raise KeyboardInterrupt(f"{kept}\nGo on with it: {_resuming(arguments)}") from None
