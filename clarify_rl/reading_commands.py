"""The commands that read what is there already, and train nothing: compare, rescore, grade, replay, show, ..."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from clarify_rl.command_line import Arguments, new_folder
from clarify_rl.errors import ConfigError, RunFolderError


def _compare(arguments: Arguments) -> int:
    from clarify_rl.config_files import holds_run, saved_config
    from clarify_rl.store import Run

    folders = [Path(folder) for folder in dict.fromkeys(arguments.folders)]
    configs = [saved_config(folder) for folder in folders]
    names = [folder.resolve().name for folder in folders]
    out = Path(arguments.out) if arguments.out else None
    if len(folders) > 1 and out is None and not arguments.seeds:
        raise ConfigError("Say where the comparison of several runs is written: --out FOLDER")
    if out and holds_run(out):
        raise RunFolderError(f"{out} holds a run. Choose another folder with --out.")
    from clarify_rl.evaluation.require import demand
    from clarify_rl.pipeline.compare import compare_run, compare_runs, compare_seeds

    demands = [demand(text) for text in arguments.require]
    with ExitStack() as stack:
        runs = [stack.enter_context(Run(folder)) for folder in folders]
        if arguments.seeds:
            compare_seeds(dict(zip(map(str, folders), zip(configs, runs, strict=True), strict=True)), out)
            return 0
        if out is None:
            compared = compare_run(configs[0], runs[0], full=arguments.full, demands=demands)
        else:
            labels = names if len(set(names)) == len(names) else [str(folder) for folder in folders]
            named = dict(zip(labels, zip(configs, runs, strict=True), strict=True))
            compared = compare_runs(named, out, full=arguments.full, demands=demands)
    return 0 if compared.holds else 1


def _rescore(arguments: Arguments) -> None:
    from clarify_rl.config_files import saved_config
    from clarify_rl.pipeline.rescore import print_rescored, rescore, write_rescored
    from clarify_rl.pipeline.terminal import console
    from clarify_rl.store import Run

    folder = Path(arguments.folder)
    other = [item for item in arguments.overrides if not item.startswith("rewards")]
    if other:
        raise ConfigError(f"Only rewards can be changed here, and {other[0]!r} is none: the episodes are as they were.")
    config = saved_config(folder, arguments.overrides)
    with Run(folder) as run:
        rescored = rescore(config, run)
    print_rescored(rescored, console)
    if arguments.out:
        write_rescored(rescored, Path(arguments.out))


def _grade(arguments: Arguments) -> None:
    from clarify_rl.config_files import saved_config
    from clarify_rl.pipeline.compare import compare_run
    from clarify_rl.pipeline.grade import WantedGrades, estimate, grade_run, print_grades
    from clarify_rl.pipeline.terminal import console
    from clarify_rl.store import Run

    folder, wanted = Path(arguments.folder), WantedGrades(arguments.checkpoint, arguments.suite, arguments.limit)
    if other := [item for item in arguments.items if not item.startswith("eval.server")]:
        raise ConfigError(f"Only eval.server can be changed here, and {other[0]!r} is none of it.")
    config = saved_config(folder, arguments.items)
    with Run(folder) as run:
        print(estimate(config, run, wanted), flush=True)
        if arguments.estimate:
            return
        print_grades(grade_run(config, run, arguments.model, wanted), console)
        compare_run(config, run)


def _replay(arguments: Arguments) -> None:
    from clarify_rl.config_files import holds_run, to_yaml
    from clarify_rl.pipeline.data import make_data
    from clarify_rl.pipeline.replay import replay, replay_config
    from clarify_rl.store import Run

    config = replay_config([Path(file) for file in arguments.files], arguments.suite, arguments.out)
    again = holds_run(config.folder)
    with (
        Run.resume(config.folder, to_yaml(config))
        if again
        else Run.create(config.folder, to_yaml(config), arguments.argv) as run
    ):
        if not run.is_done("data"):
            make_data(config, run)
            run.mark_done("data", 0.0)
        replay(config, run, full=arguments.full)


def _show(arguments: Arguments) -> None:
    from clarify_rl.config_files import saved_config
    from clarify_rl.pipeline.show import Wanted, dialogues, print_dialogues
    from clarify_rl.pipeline.terminal import console
    from clarify_rl.store import Run

    folder = Path(arguments.folder)
    wanted = Wanted(
        arguments.checkpoint, arguments.suite, arguments.kind, arguments.outcome, arguments.text, arguments.only
    )
    config = saved_config(folder)
    with Run(folder) as run:
        shown = dialogues(config, run, wanted)
    print_dialogues(shown, console, arguments.limit)


def _convert(arguments: Arguments) -> None:
    from clarify_rl.config_files import saved_config
    from clarify_rl.pipeline.convert import convert
    from clarify_rl.store import Run

    folder, out = Path(arguments.folder), new_folder(arguments.out)
    config = saved_config(folder)
    with Run(folder) as run:
        paths = convert(config, run, arguments.to, out, arguments.format)
    print(f"{len(paths)} files -> {out}")
    if arguments.to == "inspect":
        print(f"Read them: inspect view --log-dir {out}")
    if arguments.to == "dataset":
        print(f'Load them: datasets.load_dataset("{out}")')


def _publish(arguments: Arguments) -> None:
    from clarify_rl.config_files import saved_config
    from clarify_rl.pipeline.hub import to_hub
    from clarify_rl.pipeline.publish import publish_run
    from clarify_rl.store import Run

    folder, out = Path(arguments.folder), new_folder(arguments.out)
    config = saved_config(folder)
    with Run(folder) as run:
        publish_run(config, run, arguments.checkpoint, out, dialogues=arguments.with_dialogues)
    print(f"{out} holds {arguments.checkpoint} with its card and numbers.")
    if arguments.push:
        print(f"On the hub, private unless it was there: {to_hub(out, arguments.push, 'model')}")


READING_COMMANDS: Mapping[str, Callable[[Arguments], int | None]] = {
    "compare": _compare,
    "rescore": _rescore,
    "grade": _grade,
    "replay": _replay,
    "show": _show,
    "convert": _convert,
    "publish": _publish,
}
