"""Several seeds of one recipe: their differences together, with seeds as a second level of chance."""

from __future__ import annotations

import pytest

from clarify_rl.errors import DataError
from clarify_rl.evaluation.paired import paired_difference
from clarify_rl.evaluation.seeds import across_seeds, pairs_of, sentence
from clarify_rl.types import Results
from tests.unit.test_paired import results


def pair(before: str, after: str) -> tuple[Results, Results]:
    return results("sft", before), results("rl", after)


def test_the_mean_is_that_of_the_seeds_and_the_deviation_is_theirs() -> None:
    found = across_seeds({"a": pair("0" * 10, "1" * 2 + "0" * 8), "b": pair("0" * 10, "1" * 4 + "0" * 6)})
    assert found is not None
    assert found.by_seed == (20.0, 40.0)
    assert found.mean == 30.0
    assert found.deviation == pytest.approx(14.142, abs=1e-3)
    assert found.low <= 30.0 <= found.high
    assert sentence(found).startswith("held_out: rl - sft +30.0 points over 2 seeds (+20.0, +40.0; 95% interval ")


def test_seeds_that_lie_apart_widen_the_interval() -> None:
    alike = across_seeds({name: pair("0" * 40, "1" * 20 + "0" * 20) for name in "abc"})
    apart = across_seeds(
        {name: pair("0" * 40, "1" * n + "0" * (40 - n)) for name, n in zip("abc", (5, 20, 35), strict=True)}
    )
    assert alike is not None and apart is not None
    assert alike.mean == apart.mean
    assert apart.high - apart.low > 1.5 * (alike.high - alike.low)


def test_one_seed_has_the_interval_of_a_comparison() -> None:
    before, after = pair("0" * 40, "1" * 20 + "0" * 20)
    found, alone = across_seeds({"a": (before, after)}), paired_difference(before, after, seed=1)
    assert found is not None and alone.low is not None and alone.high is not None
    assert found.deviation is None
    assert found.low == pytest.approx(alone.low, abs=2.6)
    assert found.high == pytest.approx(alone.high, abs=2.6)


def test_what_was_not_measured_everywhere_is_left_out() -> None:
    found = across_seeds({"a": pair("00??", "11??"), "b": pair("0000", "1101")})
    assert found is not None
    assert found.by_seed == (100.0, 100.0)
    assert across_seeds({"a": pair("0", "?")}) is None


def test_a_run_without_a_checkpoint_is_named() -> None:
    before, after = pair("0", "1")
    with pytest.raises(DataError, match=r"runs/b has no evaluation of rl on held_out.*clarify-rl eval runs/b"):
        pairs_of({"runs/a": [before, after], "runs/b": [before]}, "held_out", "sft", "rl")
