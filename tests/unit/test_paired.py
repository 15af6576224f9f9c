from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clarify_rl.errors import DataError
from clarify_rl.evaluation.chance import bootstrap_interval, holm, mcnemar_p, sign_flip_p
from clarify_rl.evaluation.paired import PairedDifference, paired_difference
from clarify_rl.types import (
    Case,
    Episode,
    Execution,
    Problem,
    Reply,
    ReplyKind,
    Results,
    Stop,
    Tests,
    Turn,
    Variant,
    Verdict,
)

CODE = (Turn(Reply("```\npass\n```", ReplyKind.CODE, code="pass")),)
VERDICTS = {"1": Verdict.PASS, "0": Verdict.WRONG, "?": Verdict.WALL_TIMEOUT}


def results(checkpoint: str, outcomes: str, *, per_problem: int = 1, kind: str = "clear") -> Results:
    """One episode for each character: 1 solved, 0 not (half of the tests), ? unmeasured, . absent."""
    episodes = []
    for i, outcome in enumerate(outcomes):
        problem = Problem(f"p{i // per_problem}", "", "f", Tests((Case((), 1),)), "", "test")
        variant = Variant(f"v{i}", problem, f"prompt {i}", kind)
        if outcome != ".":
            execution = Execution(VERDICTS[outcome], 2 if outcome == "1" else 1, 2)
            episodes.append(Episode(f"v{i}#0", variant, 0, CODE, Stop.CODE, execution))
    return Results(checkpoint, "held_out", tuple(episodes))


def difference(before: str, after: str, per_problem: int = 1) -> PairedDifference:
    a, b = results("sft", before, per_problem=per_problem), results("rl", after, per_problem=per_problem)
    return paired_difference(a, b, seed=1, resamples=2000)


@pytest.mark.parametrize(
    ("won", "lost", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 5, 1.0),
        (6, 0, 0.03125),
        (10, 1, 0.01171875),
        (86, 150, 3.715936e-05),
        (20, 61, 5.656215e-06),
        (900, 700, 6.319485e-07),
    ],
)
def test_mcnemar_p_agrees_with_the_exact_binomial_test(won: int, lost: int, p: float) -> None:
    assert mcnemar_p(won, lost) == pytest.approx(p, rel=1e-6)
    assert mcnemar_p(lost, won) == mcnemar_p(won, lost)


def test_a_difference_counts_what_was_won_and_lost() -> None:
    found = difference("0001100000", "1110100000")
    assert found.mcnemar is not None
    assert found.points == pytest.approx(20.0)
    assert (found.mcnemar.won, found.mcnemar.lost) == (3, 1)
    assert found.mcnemar.p == pytest.approx(0.625)
    assert (found.before, found.after, found.pairs, found.problems) == ("sft", "rl", 10, 10)


def test_missing_and_unmeasured_pairs_are_dropped_and_counted() -> None:
    found = difference("01?0.1", "11000.")
    assert found.points == pytest.approx(100 / 3)
    assert (found.pairs, found.unmeasured, found.missing) == (3, 1, 2)


def test_all_pairs_unmeasured_gives_no_number() -> None:
    found = difference("??", "11")
    assert (found.points, found.low, found.high, found.mcnemar, found.unmeasured) == (None, None, None, None, 2)


def test_pass_rate_is_compared_without_mcnemar() -> None:
    a, b = results("sft", "0000"), results("rl", "1000")
    found = paired_difference(a, b, seed=0, metric="pass_rate")
    assert found.points == pytest.approx(12.5)
    assert found.mcnemar is None


def test_a_group_holds_only_its_own_variants() -> None:
    a, b = results("sft", "00"), results("rl", "11")
    unclear_a, unclear_b = results("sft", "..0", kind="ambiguous"), results("rl", "..0", kind="ambiguous")
    a, b = replace(a, episodes=a.episodes + unclear_a.episodes), replace(b, episodes=b.episodes + unclear_b.episodes)
    points = [paired_difference(a, b, seed=0, group=group).points for group in ("all", "clear", "unclear")]
    assert points == [pytest.approx(200 / 3), 100.0, 0.0]


def test_a_group_that_nobody_has_gives_no_number() -> None:
    found = paired_difference(results("sft", "01"), results("rl", "11"), seed=0, group="unclear")
    assert (found.points, found.pairs, found.missing) == (None, 0, 0)


def test_the_same_seed_gives_the_same_interval() -> None:
    assert difference("0101010101", "1101110001") == difference("0101010101", "1101110001")


def test_variants_of_one_problem_move_together() -> None:
    before, after = "0" * 40, "1111" * 5 + "0000" * 5
    apart, together = difference(before, after), difference(before, after, per_problem=4)
    assert together.points == apart.points
    assert width(together) > 1.6 * width(apart)


def width(found: PairedDifference) -> float:
    assert found.low is not None and found.high is not None
    return found.high - found.low


def test_one_problem_gives_no_interval() -> None:
    found = difference("0000", "1100", per_problem=4)
    assert (found.points, found.low, found.high) == (50.0, None, None)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    truth, covered = 0.2, 0
    for seed in range(200):
        centres = rng.normal(truth, 0.5, size=60)
        clusters = [list(rng.normal(centre, 0.5, size=3)) for centre in centres]
        interval = bootstrap_interval(clusters, seed=seed, resamples=400)
        assert interval is not None
        covered += interval.low <= truth <= interval.high
    assert 0.89 <= covered / 200 <= 0.99


def test_results_without_a_common_variant_are_refused() -> None:
    with pytest.raises(DataError, match="no variant in common"):
        paired_difference(results("sft", "11.."), results("rl", "..11"), seed=0)


def test_one_episode_that_stands_twice_is_refused() -> None:
    once = results("sft", "1")
    with pytest.raises(DataError, match="episode 'v0#0' 2 times"):
        paired_difference(replace(once, episodes=once.episodes * 2), once, seed=0)


def sampled(checkpoint: str, *outcomes: str) -> Results:
    """Several episodes of each variant, a string of outcomes for each."""
    rounds = [results(checkpoint, each) for each in outcomes]
    return replace(
        rounds[0],
        episodes=tuple(
            replace(episode, id=f"{episode.variant.id}#{number}")
            for number, played in enumerate(rounds)
            for episode in played.episodes
        ),
    )


def test_several_episodes_of_a_variant_count_by_their_mean() -> None:
    found = paired_difference(results("sft", "01"), sampled("rl", "11", "?0", "01"), seed=0)
    assert found.points == pytest.approx(100 * (1 / 2 - 0 + 2 / 3 - 1) / 2)
    assert (found.pairs, found.unmeasured, found.mcnemar) == (2, 0, None)


def test_one_id_with_two_prompts_is_refused() -> None:
    a, b = results("sft", "1"), results("rl", "1")
    changed = replace(b.episodes[0], variant=replace(b.episodes[0].variant, prompt="another"))
    with pytest.raises(DataError, match="different prompts for 1 variants"):
        paired_difference(a, replace(b, episodes=(changed,)), seed=0)


# ---- by chance or not


def test_with_one_variant_a_problem_the_sign_flips_say_what_mcnemar_says() -> None:
    for won, lost in ((6, 0), (9, 1), (5, 5), (3, 0)):
        clusters = [[1.0]] * won + [[-1.0]] * lost + [[0.0]] * 20
        assert sign_flip_p(clusters, seed=0) == pytest.approx(mcnemar_p(won, lost))


def test_many_problems_are_drawn_and_come_near_the_exact_p() -> None:
    clusters = [[1.0]] * 40 + [[-1.0]] * 20
    assert sign_flip_p(clusters, seed=0) == pytest.approx(mcnemar_p(40, 20), abs=0.005)
    assert sign_flip_p([[1.0]] * 60, seed=0) == pytest.approx(1 / 10_001)


def test_variants_that_succeed_together_count_as_one_problem() -> None:
    assert sign_flip_p([[1.0] * 6], seed=0) == 1.0
    assert sign_flip_p([], seed=0) is None
    assert sign_flip_p([[0.0], [1.0, -1.0]], seed=0) == 1.0


def test_holm_corrects_for_how_many_were_asked_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03, None]) == pytest.approx([0.03, 0.06, 0.06, None])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_what_so_many_variants_would_show_halves_with_four_times_as_many() -> None:
    before, after = "10" * 50, "01" * 10 + "10" * 40
    few, many = difference(before, after).detectable, difference(before * 4, after * 4).detectable
    assert few is not None and many is not None
    assert few / many == pytest.approx(2.0, rel=0.1)


def compared(lift: float, rng: np.random.Generator) -> list[list[float]]:
    """775 variants or so of 164 problems, of which some are easy; two checkpoints agree on three of four variants."""
    clusters = []
    for size in rng.integers(4, 7, size=164):
        chance = 0.1 + 0.8 * rng.beta(0.6, 0.6)
        before = rng.random(size) < chance
        other = rng.random(size) < min(1.0, chance + lift / 0.25)
        after = np.where(rng.random(size) < 0.75, before, other)
        clusters.append([float(b) - float(a) for a, b in zip(before, after, strict=True)])
    return clusters


@pytest.mark.slow
def test_five_points_in_775_variants_are_found_and_nothing_is_not_and_intervals_cover() -> None:
    rng = np.random.default_rng(7)
    truth = float(np.mean([value for _ in range(2000) for cluster in compared(0.05, rng) for value in cluster]))
    assert truth == pytest.approx(0.05, abs=0.01)
    alarms = found = covered = 0
    for number in range(1000):
        alarms += (sign_flip_p(compared(0.0, rng), seed=number, flips=1000) or 0.0) < 0.05
    for number in range(500):
        planted = compared(0.05, rng)
        found += (sign_flip_p(planted, seed=number, flips=1000) or 0.0) < 0.05
        interval = bootstrap_interval(planted, seed=number, resamples=1000)
        covered += interval is not None and interval.low <= truth <= interval.high
    assert alarms <= 50
    assert found >= 475
    assert 0.92 <= covered / 500 <= 0.98
