"""`check reward`: scripted policies that game a reward are told from one that asks what is missing and codes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from clarify_rl.cli import main
from clarify_rl.config import Config
from clarify_rl.config_files import load_config
from clarify_rl.errors import DataError
from clarify_rl.eval_sections import SuiteConfig
from clarify_rl.executor import Executor
from clarify_rl.pipeline.canaries import CANARIES, ORACLE
from clarify_rl.pipeline.check_reward import RewardReport, check_reward
from clarify_rl.pipeline.data import suite_variants
from clarify_rl.pipeline.make import make
from clarify_rl.registry import load_source
from clarify_rl.types import Variant
from tests import own_problems
from tests.serving import serving

PLUGINS = """
from random import random

def talk(episode):
    return float(len(episode.questions))

def moody(episode):
    return random()

def unsure(episode):
    return None if episode.questions else 1.0

class Held:
    def __init__(self):
        self.open = open(__file__)

    def __call__(self, episode):
        return 0.0
"""


@pytest.fixture(scope="module")
def variants() -> list[Variant]:
    return suite_variants(load_config("demo"), "canaries", SuiteConfig(count=24), quiet=True)


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(PLUGINS)
    return file


def config(*uses: str) -> Config:
    return load_config("demo", options={"rewards": [{"use": use} for use in uses]} if uses else {})


def earned(report: RewardReport) -> dict[str, float | None]:
    return {item.name: item.total for item in report.played}


def test_the_default_mix_pays_the_oracle_most(variants: Sequence[Variant]) -> None:
    report = check_reward(config(), variants)
    assert [item.name for item in report.played] == list(CANARIES)
    assert report.above_the_oracle == report.troubles == ()
    totals = earned(report)
    oracle, ignores, never = totals[ORACLE], totals["asks well, ignores the answers"], totals["never asks"]
    assert oracle and ignores and never
    assert oracle > ignores > never
    assert set(report.ranges) == {"pass_rate", "useful_question", "needless_question"}


def test_tests_alone_pay_for_the_code_and_not_for_what_was_said(variants: Sequence[Variant]) -> None:
    totals = earned(check_reward(config("solved"), variants))
    assert totals["never asks"] == totals["asks a flood"] == totals["gibberish"]
    assert totals[ORACLE] == 1.0


def test_a_reward_that_pays_for_talk_ranks_canaries_above_the_oracle(
    variants: Sequence[Variant], plugins: Path
) -> None:
    report = check_reward(config(f"{plugins}:talk"), variants)
    assert "asks a flood" in report.above_the_oracle


def test_rewards_that_break_a_run_later_are_named(variants: Sequence[Variant], plugins: Path) -> None:
    report = check_reward(config(f"{plugins}:moody", f"{plugins}:Held"), variants[:6])
    moody, held = report.troubles
    assert moody.endswith("mine.py:moody gives two values for one episode")
    assert "mine.py:Held does not pickle" in held


def test_what_a_reward_could_not_measure_is_no_zero(variants: Sequence[Variant], plugins: Path) -> None:
    totals = earned(check_reward(config(f"{plugins}:unsure"), variants))
    assert totals["always asks"] is None
    assert totals["never asks"] == 1.0


def test_clear_variants_alone_say_nothing_about_asking(variants: Sequence[Variant]) -> None:
    clear = [replace(variant) for variant in variants if variant.is_clear]
    with pytest.raises(DataError, match="No variant hides anything"):
        check_reward(config(), clear)


def test_the_command_exits_with_1_where_a_canary_wins(plugins: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "reward", "--count", "12"]) == 0
    assert main(["check", "reward", f"{plugins}:talk", "--count", "12"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "'asks a flood' earns at least as much as the oracle." in said
    assert "talk: 0 to 6" in said


def test_made_problems_are_played_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own_problems.write(tmp_path / "mine.jsonl")
    options = dict(item.split("=") for item in own_problems.FIELDS.split(","))
    with Executor() as executor:
        make([load_source("rows", {"path": str(path), **options})], [], executor, tmp_path / "made.jsonl", limit=3)
    assert main(["check", "reward", "--made", str(tmp_path / "made.jsonl"), "--count", "4"]) == 0
    assert "means over 4 variants" in capsys.readouterr().out


def test_a_judge_that_likes_everything_fails_alone_and_does_not_spoil_the_mix(variants: list[Variant]) -> None:
    """Biased judges reward the form of a question (CHERRL, arXiv 2606.04923); what is measured must outweigh them."""
    with serving(lambda _, __: '{"grade": 3}') as model:
        judge = {"use": "question_quality", "options": {"model": model}}
        mix = [
            *({"use": part.use, "weight": part.weight} for part in load_config("demo").rewards),
            {**judge, "weight": 0.3},
        ]
        alone = check_reward(load_config("demo", options={"rewards": [judge]}), variants[:12])
        mixed = check_reward(load_config("demo", options={"rewards": mix}), variants[:12])
    assert {"gibberish", "asks for everything", "code in a question"} <= set(alone.above_the_oracle)
    assert mixed.above_the_oracle == () and mixed.troubles == ()
