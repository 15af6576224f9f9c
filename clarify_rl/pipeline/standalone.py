"""An evaluation that belongs to no training: the configuration of any models on a suite."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clarify_rl.config import Config
from clarify_rl.config_files import load_config
from clarify_rl.registry import short_name, source_and_options

_USER_TOKENS = 128  # room for each answer of the user, when the budgets are given by the turn


WHOLE = 10_000  # prompts: all that a benchmark has


@dataclass(frozen=True)
class NamedSuite:
    """What `--suite` names: the suite's name in a run, its settings, and the source that it needs under `sources`."""

    name: str
    suite: Mapping[str, object]
    sources: Mapping[str, object]

    @property
    def overrides(self) -> list[str]:
        """The same as settings of a run that has suites of its own."""
        suite = [f"eval.suites.{self.name}.{key}={value}" for key, value in self.suite.items()]
        return [*(f"sources.{name}={json.dumps(section)}" for name, section in self.sources.items()), *suite]


def named_suite(
    suite: str, *, limit: int | None = None, samples: int | None = None, temperature: float | None = None
) -> NamedSuite:
    """bank, HumanEvalComm (its file, or its name on the hub), or a source with its options: mbpp,path=mbpp.jsonl."""
    given = {"count": limit, "samples": samples, "temperature": temperature}
    wanted = {key: value for key, value in given.items() if value is not None}
    if "," in suite:
        use, options = source_and_options(suite)
        name = re.sub(r"\W", "_", str(options.get("name", short_name(use))))
        whole = {"source": name, "split": "whole", "count": WHOLE, **wanted}
        return NamedSuite(name, whole, {name: {"use": use, "options": options}})
    if suite == "bank":
        return NamedSuite("bank", {"source": suite, **wanted}, {})
    return NamedSuite("humaneval_comm", {"source": suite, "count": WHOLE, **wanted}, {})


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
    """The shipped configuration of a suite, as named_suite takes it, with these models.

    `dialogue` are settings of that section; None, here as for the others, is what is left alone. Raises ConfigError as
    load_config does.
    """
    named = named_suite(suite, limit=limit, samples=samples, temperature=temperature)
    name = named.name
    changed = {key: value for key, value in (dialogue or {}).items() if value is not None}
    if set(models.values()) == {"embedded"}:  # it learned from problems alone, and an instruction is foreign to it
        changed = {"instruction": "", "last_call": "", **changed}
    shipped = "bank" if named.suite["source"] == "bank" else "humaneval_comm"
    options: dict[str, object] = {
        "name": "-".join([name, *models]),
        **({"out": out} if out else {}),
        "dialogue": changed,
        **({"sources": dict(named.sources)} if named.sources else {}),
        "eval": {
            "models": dict(models),
            "suites": {name: dict(named.suite)},
        },
    }
    config = load_config(shipped, overrides, options=options)
    if {"max_questions", "turn_tokens"} & changed.keys() and not any("total_tokens" in item for item in overrides):
        turns = config.dialogue.max_questions + 1
        options["dialogue"] = {**changed, "total_tokens": turns * (config.dialogue.turn_tokens + _USER_TOKENS)}
        config = load_config(shipped, overrides, options=options)
    suites = {own: suite for own, suite in config.eval.suites.items() if own != shipped or own == name}
    return config.model_copy(update={"eval": config.eval.model_copy(update={"suites": suites})})
