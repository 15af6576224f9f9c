"""`clarify-rl data make` and its kin: what is done with files of variants, command by command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from clarify_rl.command_line import Arguments


def _make(arguments: Arguments) -> None:
    from clarify_rl.pipeline.make import make_named

    out = Path(arguments.out)
    came = make_named(
        arguments.sources,
        arguments.without,
        out,
        seed=arguments.seed,
        limit=arguments.limit,
        workers=arguments.workers,
        on_ray=arguments.ray,
    )
    print(
        f"{came.variants} variants (half of them clear twins) of {came.with_facts} problems -> {out}\n"
        f"{came.problems} problems read, {came.skipped} rows left out, {came.contaminated} belong to evaluation sets.\n"
        f"Look at them: clarify-rl data show {out}; clarify-rl data stats {out}"
    )


def _propose(arguments: Arguments) -> None:
    from clarify_rl.config_files import load_config
    from clarify_rl.pipeline.propose import estimate, propose_named

    print(estimate(arguments.sources, arguments.limit), flush=True)
    if arguments.estimate:
        return
    came = propose_named(
        arguments.sources,
        arguments.without,
        Path(arguments.out),
        arguments.model,
        load_config("bank", arguments.items),
        limit=arguments.limit,
    )
    print(f"{came.variants} variants of {came.with_facts} of {came.problems} problems -> {arguments.out}")
    _print_lost(came.lost, came.unanswered)


def _rewrite(arguments: Arguments) -> None:
    from clarify_rl.config_files import load_config
    from clarify_rl.pipeline.rewrite import estimate, rewrite_named

    path = Path(arguments.file)
    print(estimate(path, arguments.limit), flush=True)
    if arguments.estimate:
        return
    config = load_config("bank", arguments.items)
    came = rewrite_named(path, Path(arguments.out), arguments.model, config, limit=arguments.limit)
    print(f"{came.kept} of {came.asked} kept -> {arguments.out}")
    _print_lost(came.lost, came.unanswered)


def _judge(arguments: Arguments) -> None:
    from clarify_rl.config_files import load_config
    from clarify_rl.pipeline.judge import estimate, judge_named, print_judgements
    from clarify_rl.pipeline.terminal import console

    path, out = Path(arguments.file), Path(arguments.out)
    print(estimate(path, arguments.samples, arguments.limit), flush=True)
    if arguments.estimate:
        return
    config = load_config("bank", arguments.items)
    came, unanswered = judge_named(path, out, arguments.model, config, samples=arguments.samples, limit=arguments.limit)
    print_judgements(came, console)
    print(f"{sum(not item.lost() for item in came)} of {len(came)} kept -> {out}")
    _print_lost(Counter(item.lost() for item in came if item.lost()), unanswered)


def _dialogues(arguments: Arguments) -> None:
    from clarify_rl.config_files import load_config
    from clarify_rl.pipeline.dialogues import write_dialogues
    from clarify_rl.pipeline.hub import to_hub

    folder = Path(arguments.out)
    came = write_dialogues(
        Path(arguments.file),
        folder,
        load_config("bank", arguments.items),
        clarify_share=arguments.clarify_share,
        count=arguments.count,
        to_publish=arguments.push is not None,
    )
    counts = ", ".join(f"{count} {split}" for split, count in came.counts.items())
    print(f"{counts}; {came.asking} ask -> {folder}")
    if came.untold:
        print(f"{came.untold} left out: the user did not understand their questions")
    if arguments.push:
        print(f"left out, since their statements may not be passed on: {came.kept_here} variants", flush=True)
        print(to_hub(folder, arguments.push, "dataset"))
    else:
        print(f'load them: datasets.load_dataset("{folder}")')


def _show(arguments: Arguments) -> None:
    from clarify_rl.pipeline.make import show
    from clarify_rl.pipeline.terminal import console

    show(Path(arguments.file), console, number=arguments.number, edit=arguments.edit, seed=arguments.seed)


def _stats(arguments: Arguments) -> None:
    from clarify_rl.pipeline.make import print_stats
    from clarify_rl.pipeline.terminal import console

    print_stats(Path(arguments.file), console)


def _print_lost(lost: Mapping[str, int], unanswered: int) -> None:
    for why, count in sorted(lost.items(), key=lambda item: -item[1]):
        print(f"  {count}: {why}")
    if unanswered:
        print(
            f"  {unanswered} without a reply from the model: run the same command again, and it asks about those only"
        )


DATA_COMMANDS: Mapping[str, Callable[[Arguments], int | None]] = {
    "data-make": _make,
    "data-propose": _propose,
    "data-rewrite": _rewrite,
    "data-judge": _judge,
    "data-dialogues": _dialogues,
    "data-show": _show,
    "data-stats": _stats,
}
