"""An evaluation that belongs to no training: the configuration of any models on a suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clarify_rl.config import Config
from clarify_rl.config_files import load_config

_USER_TOKENS = 128  # room for each answer of the user, when the budgets are given by the turn


WHOLE = 10_000  # prompts: all that a benchmark has


def suite_named(suite: str) -> str:
    """What `--suite` is called in a run."""
    return "bank" if suite == "bank" else "humaneval_comm"


def evaluation_config(
    models: Mapping[str, str],
    suite: str,
    *,
    limit: int | None = None,
    out: str | None = None,
    dialogue: Mapping[str, object] | None = None,
    samples: int | None = None,
    temperature: float | None = None,
    overrides: Sequence[str] = (),
) -> Config:
    """The shipped configuration of a suite (bank, HumanEvalComm's file or its hub name) with these models.

    `dialogue` are settings of that section; None, here as for the others, is what is left alone. Raises ConfigError as
    load_config does.
    """
    name = suite_named(suite)
    changed = {key: value for key, value in (dialogue or {}).items() if value is not None}
    if set(models.values()) == {"embedded"}:  # it learned from problems alone, and an instruction is foreign to it
        changed = {"instruction": "", "last_call": "", **changed}
    wanted = {"count": limit, "samples": samples, "temperature": temperature}
    given = {key: value for key, value in wanted.items() if value is not None}
    options: dict[str, object] = {
        "name": "-".join([name, *models]),
        **({"out": out} if out else {}),
        "dialogue": changed,
        "eval": {
            "models": dict(models),
            "suites": {name: {"source": suite, **given}},
        },
    }
    config = load_config(name, overrides, options=options)
    if {"max_questions", "turn_tokens"} & changed.keys() and not any("total_tokens" in item for item in overrides):
        turns = config.dialogue.max_questions + 1
        options["dialogue"] = {**changed, "total_tokens": turns * (config.dialogue.turn_tokens + _USER_TOKENS)}
        config = load_config(name, overrides, options=options)
    return config
