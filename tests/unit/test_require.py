"""Demands on a comparison: what they say, and when they hold."""

from __future__ import annotations

import pytest

from clarify_rl.errors import ConfigError
from clarify_rl.evaluation.require import demand, judge
from clarify_rl.types import Results
from tests.unit.test_paired import results


def played() -> list[Results]:
    """base 0 of 40, sft 10 of 40, rl 30 of 40."""
    return [
        results("base", "0" * 40),
        results("sft", "1" * 10 + "0" * 30),
        results("rl", "1" * 30 + "0" * 10),
    ]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("solved +2 at 95%", True),
        ("solved +49", False),  # 50 points, but the interval begins below
        ("solved -1 at 99%", True),
        ("solved below +90", True),
        ("solved below +50", False),
        ("solved clear +20 at 95% on held_out", True),
        ("solved +10 for sft over base", True),
        ("solved +10 for base over sft", False),
        ("pass_rate +5", True),
    ],
)
def test_a_demand_holds_by_the_end_of_the_interval_that_counts(text: str, holds: bool) -> None:
    ruling = judge(demand(text), played())
    assert ruling.holds is holds
    assert ruling.sentence().startswith("holds" if holds else "does not hold")


def test_what_cannot_be_compared_does_not_hold_and_says_why() -> None:
    ruling = judge(demand("solved unclear +1"), played())
    assert not ruling.holds
    assert "nothing could be compared" in ruling.sentence()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("solve more", r"cannot be read\. Such as"),
        ("solvd +2", r"No metric named 'solvd'.*solved"),
        ("solved +2 at 100%", "between 0% and 100%"),
        ("solved +2 on elsewhere", r"No suite named 'elsewhere'"),
        ("solved +2 for rl over bse", r"No checkpoint named 'bse'.*base"),
    ],
)
def test_a_demand_that_makes_no_sense_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        judge(demand(text), played())


def test_one_checkpoint_alone_compares_with_nothing() -> None:
    with pytest.raises(ConfigError, match="by one checkpoint only"):
        judge(demand("solved +1"), played()[:1])
