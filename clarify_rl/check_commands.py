"""`clarify-rl check`: what tries out that something holds. Each exits with 1 where it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from clarify_rl.command_line import Arguments


def _check_executor(arguments: Arguments) -> int:
    from clarify_rl import doctor
    from clarify_rl.pipeline.terminal import console

    programs = doctor.corpus(arguments.corpus, arguments.limit)
    holds = doctor.check_executor(programs, arguments.cpu_seconds, arguments.servers, arguments.without, console)
    return 0 if holds else 1


def _check_source(arguments: Arguments) -> int:
    from clarify_rl.pipeline.check_source import check_named, print_source
    from clarify_rl.pipeline.terminal import console

    report = check_named(arguments.source, arguments.against, limit=arguments.limit)
    print_source(report, console)
    return 0 if report.usable else 1


def _check_user(arguments: Arguments) -> int:
    from clarify_rl.pipeline.check_user import Required, check_named, print_user, write_report
    from clarify_rl.pipeline.terminal import console

    report = check_named(arguments.user, arguments.pairs, limit=arguments.limit, once=arguments.once)
    missed = Required(arguments.min_recall, arguments.max_wrong, arguments.max_false).missed(report)
    print_user(report, missed, console)
    if arguments.out:
        write_report(report, Path(arguments.out))
    return 1 if missed else 0


def _check_reward(arguments: Arguments) -> int:
    from clarify_rl.config_files import load_config
    from clarify_rl.pipeline.check_reward import check_reward, chosen_variants, print_rewards
    from clarify_rl.pipeline.terminal import console

    mix = [item for item in arguments.rewards if item.startswith("rewards")]
    names = [item for item in arguments.rewards if item not in mix]
    options = {"rewards": [{"use": name} for name in names]} if names else {}
    config = load_config("demo", mix, options=options)
    variants = chosen_variants(config, arguments.suite, arguments.made, arguments.count)
    report = check_reward(config, variants)
    print_rewards(report, console)
    return 1 if report.above_the_oracle or report.troubles else 0


def _check_env(arguments: Arguments) -> int:
    from clarify_rl.config_files import load_config
    from clarify_rl.pipeline.check_env import check_env, print_env
    from clarify_rl.pipeline.check_reward import chosen_variants
    from clarify_rl.pipeline.terminal import console

    named = [item for item in arguments.items if "=" not in item]
    overrides = [item for item in arguments.items if item not in named]
    config = load_config("demo", [*(f"env.use={name}" for name in named[:1]), *overrides])
    variants = chosen_variants(config, arguments.suite, arguments.made, arguments.count)
    report = check_env(config, variants)
    print_env(report, len(variants), console)
    return 1 if report.troubles else 0


CHECK_COMMANDS: Mapping[str, Callable[[Arguments], int | None]] = {
    "check executor": _check_executor,
    "check source": _check_source,
    "check user": _check_user,
    "check reward": _check_reward,
    "check env": _check_env,
}
