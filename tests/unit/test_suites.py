"""The variants of an evaluation suite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clarify_rl.cli import main
from clarify_rl.config_files import load_config
from clarify_rl.errors import ConfigError
from clarify_rl.pipeline.data import suite_variants, told
from clarify_rl.store import Run
from tests.dialogues import UNCLEAR

SMALL = ["eval.suites.new_instances.count=6"]


def variants(*overrides: str) -> list[str]:
    config = load_config("demo", [*SMALL, *overrides])
    return [variant.id for variant in suite_variants(config, "new_instances", config.eval.suites["new_instances"])]


def test_a_suite_holds_the_same_variants_for_every_seed_of_training() -> None:
    assert variants("seed=0") == variants("seed=1")


def test_another_draw_of_a_suite_holds_other_variants() -> None:
    assert not set(variants()) & set(variants("eval.suites.new_instances.draw=1"))


def test_a_suite_of_the_dev_split_shares_no_variant_with_the_test_split() -> None:
    assert not set(variants()) & set(variants("eval.suites.new_instances.split=dev"))


# ---- the circumstances of a suite


def test_a_suite_is_played_again_under_each_circumstance_that_is_named() -> None:
    config = load_config("demo", ["eval.also=[silent, told]", "eval.users.other.use=rule_based"])
    names = [name for name in config.suites if name.startswith("new_instances")]
    assert names == ["new_instances", "new_instances@silent", "new_instances@told", "new_instances@other"]
    silent, told_all, other = (config.suites[name] for name in names[1:])
    assert (silent.max_questions, silent.told) == (0, False)
    assert (told_all.max_questions, told_all.told) == (0, True)
    assert (other.user, other.max_questions) == ("other", None)


def test_a_name_that_circumstances_are_made_of_is_refused() -> None:
    for changed in ("eval.users.silent.use=rule_based", "eval.suites.a@b.count=3"):
        with pytest.raises(ConfigError, match="is taken"):
            load_config("demo", [changed])


def test_who_is_told_everything_sees_the_complete_statement_and_has_nothing_to_ask() -> None:
    whole = told(UNCLEAR)
    assert (whole.id, whole.kind, whole.prompt) == (UNCLEAR.id, UNCLEAR.kind, UNCLEAR.problem.prompt)
    assert (whole.facts, whole.stated) == ((), UNCLEAR.facts)


def test_the_comparison_says_what_asking_was_worth_and_what_all_answers_would_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, plugins = tmp_path / "run", Path(__file__).parents[1] / "plugins.py"
    circumstances = ["eval.also=[silent, told]", f"eval.users.mute.use={plugins}:Mute"]
    model = ["--model", "embedded", "--suite", "bank", "--limit", "8", "--out", str(out)]
    assert main(["eval", *model, *circumstances]) == 0
    tree = json.loads((out / "comparison.json").read_text())
    assert tree["suites"] == ["bank", "bank@silent", "bank@told", "bank@mute"]
    without, knowing = tree["asking"]
    assert (without["before"], without["after"]) == ("embedded without asking", "embedded")
    assert (knowing["before"], knowing["after"]) == ("embedded", "embedded told everything")
    assert knowing["points"] > 0  # the base model solves complete statements, and asks about none
    assert "embedded told everything solves" in " ".join(capsys.readouterr().out.split())
    with Run(out) as run:
        variants = run.read_variants("bank@silent")
        episodes = run.read_episodes("eval-embedded-bank@silent", variants)
    assert [variant.id for variant in variants] == [variant.id for variant in run.read_variants("bank@told")]
    assert all(len(episode.turns) == 1 for episode in episodes)
