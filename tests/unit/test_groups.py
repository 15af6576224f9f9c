"""Which problems a batch is about, and which groups are exchanged: without a model, on outcomes given by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from trl import GRPOConfig

from clarify_rl.config import Config
from clarify_rl.config_files import load_config
from clarify_rl.errors import ConfigError
from clarify_rl.rl_sections import GroupsSection, PPOSection, RLSection
from clarify_rl.store import PastEpisode, Run
from clarify_rl.training.groups import GenerationBatch, Groups, Moment, is_informative, make_groups
from clarify_rl.training.grpo import grpo_config
from clarify_rl.training.ppo import ppo_config
from clarify_rl.training.rollout_metrics import group_metrics
from clarify_rl.training.solve_rates import SolveRates
from clarify_rl.types import Episode, Execution, Score, Stop, Variant, Verdict
from tests.dialogues import CLEAR, UNCLEAR, tokenizer

CLEAR_ONES = tuple(replace(CLEAR, id=f"clear/{i}") for i in range(20))
UNCLEAR_ONES = tuple(replace(UNCLEAR, id=f"unclear/{i}") for i in range(20))
VARIANTS = (*CLEAR_ONES, *UNCLEAR_ONES)
NOW = Moment(seed=0, step=3)
SIZE = 4


def episode(variant: Variant, reward: float | None) -> Episode:
    execution = Execution(Verdict.PASS if reward else Verdict.WRONG, 0, 1)
    return Episode("e", variant, 0, (), Stop.CODE, execution, scores=(Score("r", reward),))


@dataclass
class Player:
    """Plays groups of four: half of the rollouts of a variant are right, or all of them if it is dull."""

    is_dull: Callable[[int], bool] = lambda row: False
    calls: list[list[int]] = field(default_factory=list)

    def __call__(self, rows: Sequence[int]) -> list[Episode]:
        self.calls.append(list(rows[::SIZE]))
        return [episode(VARIANTS[row], 1.0 if self.is_dull(row) else float(i % 2)) for i, row in enumerate(rows)]


def groups(**options: object) -> Groups:
    return Groups(GroupsSection.model_validate(options), VARIANTS, SIZE)


def rows(*slots: int) -> list[int]:
    return [row for row in slots for _ in range(SIZE)]


def is_even(row: int) -> bool:
    return row % 2 == 0


def test_without_options_the_rows_that_came_are_played_once() -> None:
    player = Player(lambda _: True)
    batch = groups().fill(rows(0, 1, 25), player, NOW)
    assert (list(batch.rows), batch.replaced) == (rows(0, 1, 25), 0)
    assert player.calls == [[0, 1, 25]]


def test_a_group_that_is_spread_over_processes_is_played_as_it_came() -> None:
    batch = groups().fill([0, 0, 1, 1, 1, 1], Player(), NOW)
    assert batch.rows == (0, 0, 1, 1, 1, 1)
    assert [episode.variant.id for episode in batch.episodes] == ["clear/0"] * 2 + ["clear/1"] * 4
    assert group_metrics([batch], SIZE) == {}


def test_dull_groups_are_exchanged_until_all_can_teach() -> None:
    player = Player(is_even)
    batch = groups(resample=9).fill(rows(0, 1, 2, 3), player, NOW)
    assert all(row % 2 for row in batch.rows)
    assert batch.rows[SIZE : 2 * SIZE] == (1,) * SIZE
    assert batch.rows[3 * SIZE :] == (3,) * SIZE
    assert batch.replaced == 2
    assert group_metrics([batch], SIZE) == {
        "group/zero_variance": 0.0,
        "group/informative": 1.0,
        "group/replaced": 0.5,
        "group/solve_rate": 0.5,
    }


def test_each_row_of_a_batch_belongs_to_its_episode() -> None:
    batch = groups(resample=2).fill(rows(0, 21, 2, 23), Player(is_even), NOW)
    assert [VARIANTS[row] for row in batch.rows] == [episode.variant for episode in batch.episodes]


def test_rounds_are_bounded_and_what_is_left_stays_as_it_came() -> None:
    player = Player(lambda _: True)
    batch = groups(resample=3).fill(rows(4, 24), player, NOW)
    assert len(player.calls) == 4
    assert (list(batch.rows), batch.replaced) == (rows(4, 24), 0)
    assert group_metrics([batch], SIZE)["group/informative"] == 0.0


def test_only_dull_groups_are_played_again_and_no_variant_twice_in_a_batch() -> None:
    player = Player(lambda row: row < 20)
    groups(resample=4).fill(rows(0, 1, 30), player, NOW)
    assert [len(call) for call in player.calls] == [3, 2, 2, 2, 2]
    played = [row for call in player.calls for row in call]
    assert len(set(played)) == len(played)


def test_a_clear_problem_is_exchanged_for_a_clear_one() -> None:
    for options in ({"resample": 3}, {"by_solve_rate": True}, {"resample": 3, "by_solve_rate": True}):
        batch = groups(**options).fill(rows(0, 22, 2, 24), Player(is_even), NOW)
        assert [len(VARIANTS[row].facts) for row in batch.rows[::SIZE]] == [0, 1, 0, 1]


def test_where_no_other_problem_is_left_the_round_goes_without_it() -> None:
    few = Groups(GroupsSection(resample=5), VARIANTS[:3], SIZE)
    player = Player(lambda _: True)
    assert few.fill(rows(0, 1), player, NOW).rows == tuple(rows(0, 1))
    assert player.calls == [[0, 1], [2]]


def test_what_is_played_follows_from_seed_step_rank_and_rows_alone() -> None:
    def played(moment: Moment, slots: Sequence[int] = (0, 2, 22)) -> list[list[int]]:
        player = Player(is_even)
        groups(resample=4).fill(rows(*slots), player, moment)
        return player.calls[1:]

    assert played(NOW) == played(NOW)
    others = [Moment(1, 3), Moment(0, 4), Moment(0, 3, 1, 2)]
    assert all(played(moment) != played(NOW) for moment in others)
    assert played(NOW, (0, 4, 22)) != played(NOW)


@pytest.mark.parametrize("options", [{"resample": 9}, {"by_solve_rate": True, "resample": 9}])
def test_processes_never_take_the_same_replacement(options: dict[str, object]) -> None:
    taken = []
    for rank in range(2):
        player = Player(lambda _: True)
        groups(**options).fill(rows(0, 22), player, Moment(0, 3, rank, 2))
        taken.append({row for call in player.calls[1:] for row in call})
        assert len(taken[-1]) >= 16
    assert not taken[0] & taken[1]


def test_a_group_of_which_nothing_could_be_measured_is_no_group_of_equal_rewards() -> None:
    rewards = ((1.0, None, 1.0, 1.0), (0.0, 1.0, None, None), (None,) * 4)
    made = tuple(episode(CLEAR, reward) for group in rewards for reward in group)
    told = group_metrics([GenerationBatch((0,) * len(made), made)], SIZE)
    assert (told["group/zero_variance"], told["group/informative"]) == (1 / 2, 1 / 3)


def test_unmeasured_episodes_do_not_make_a_group_informative() -> None:
    group = [episode(CLEAR, reward) for reward in (1.0, None, 1.0, None)]
    assert not is_informative(group)
    assert not is_informative([episode(CLEAR, None)])
    assert is_informative([*group, episode(CLEAR, 0.9)])
    assert not is_informative([episode(CLEAR, 0.1 + 0.2), episode(CLEAR, 0.3)])


def rates(**known: tuple[int, int]) -> SolveRates:
    """Solved and measured rollouts by the number of a clear variant, e.g. c3=(1, 8)."""
    made = SolveRates()
    for name, (solved, measured) in known.items():
        made.add(PastEpisode(0, f"clear/{name[1:]}", i < solved) for i in range(measured))
    return made


def test_a_variant_weighs_most_near_half_and_never_nothing() -> None:
    known = rates(c0=(0, 8), c1=(2, 8), c2=(4, 8), c3=(6, 8), c4=(8, 8))
    weights = [known.weight(variant) for variant in CLEAR_ONES[:6]]
    never, quarter, half, most, always, unseen = weights
    assert half == unseen == 1.0
    assert never == pytest.approx(always) == pytest.approx(4 * 0.5 / 9 * 8.5 / 9)
    assert quarter == pytest.approx(most)
    assert 0.2 < never < quarter < half


def test_only_the_last_step_counts_and_its_order_does_not() -> None:
    old = [PastEpisode(1, "clear/0", True) for _ in range(8)]
    new = [PastEpisode(2, "clear/0", i % 2 == 0) for i in range(8)]
    there, back = SolveRates(), SolveRates()
    there.add([*old, *new])
    back.add([*old, *reversed(new), PastEpisode(2, "clear/0", None)])
    assert there.latest == back.latest
    assert there.weight(CLEAR_ONES[0]) == 1.0


def test_problems_are_drawn_by_their_weight_and_none_is_starved() -> None:
    made = groups(by_solve_rate=True)
    made.rates = rates(**{f"c{i}": (8, 8) for i in range(10)}, **{f"c{i}": (4, 8) for i in range(10, 20)})
    drawn: Counter[int] = Counter()
    for step in range(2000):
        drawn.update(made.fill(rows(0), Player(), Moment(0, step)).rows[::SIZE])
    assert set(drawn) == set(range(20))
    solved, open_ones = sum(drawn[i] for i in range(10)), sum(drawn[i] for i in range(10, 20))
    weight = made.rates.weight(CLEAR_ONES[0])
    assert solved / open_ones == pytest.approx(weight, rel=0.15)


def test_a_batch_chosen_by_solve_rate_holds_no_variant_twice() -> None:
    batch = groups(by_solve_rate=True).fill(rows(*range(12)), Player(), NOW)
    assert len(set(batch.rows)) == 12


def test_the_record_tells_a_resumed_run_what_the_first_one_knew(tmp_path: Path) -> None:
    played = [episode(CLEAR_ONES[i % 3], reward) for i, reward in enumerate([1.0, 0.0, None, 1.0, 1.0, 0.0])]
    lost = replace(played[0], failure="the worker died")
    live = SolveRates()
    trainer = GRPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False)
    with Run.create(tmp_path / "run", "seed: 0\n", ["pytest"]) as run:
        assert not list(run.read_outcomes("rl", VARIANTS, before=2))
        for step in range(3):
            run.add_episodes("rl", [*played[step:], lost], step=step)
            if step < 2:
                live.add(PastEpisode(step, e.variant.id, e.solved) for e in [*played[step:], lost])
        record = list(run.read_outcomes("rl", VARIANTS, before=2))
    made = make_groups(GroupsSection(by_solve_rate=True), trainer, VARIANTS, tokenizer(), record)
    assert made.rates == live != SolveRates()


def section(algorithm: str = "grpo", generations: int = 8, **options: object) -> RLSection:
    trainer = {"num_generations": generations, "per_device_train_batch_size": generations, "save_steps": 20}
    return RLSection.model_validate({"algorithm": algorithm, "groups": options, "trainer": trainer})


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (section(ask_share=0.1), r"ask_share=0\.1 of 8 rollouts is 1.*Take 0\.25 or more"),
        (section(code_share=0.05), r"code_share=0\.05 of 8 rollouts is 0"),
        (section(replay_share=0.1), r"replay_share=0\.1 of 8 rollouts is 1.*Take 0\.25 or more"),
        (section(ask_share=0.5, replay_share=0.5), "leave none of 8 rollouts to choose for itself"),
        (section(ask_share=0.5, code_share=0.5), "leave none of 8 rollouts to choose for itself"),
        (section("ppo", resample=1), r"rl\.groups\.resample.*PPO compares no groups.*Leave it out"),
    ],
)
def test_options_that_cannot_work_are_refused(made: RLSection, message: str, tmp_path: Path) -> None:
    check = {"grpo": grpo_config, "ppo": ppo_config}[made.algorithm]
    with pytest.raises(ConfigError, match=message):
        check(Config(rl=made), made, tmp_path)


def test_groups_that_are_spread_over_processes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GRPOConfig, "world_size", property(lambda self: 4))
    made = section(resample=1)
    made.trainer.update(per_device_train_batch_size=2, gradient_accumulation_steps=1)
    with pytest.raises(ConfigError, match=r"makes 2 episodes at a time.*multiple of num_generations=8"):
        grpo_config(Config(rl=made), made, tmp_path)
    plain = made.model_copy(update={"groups": GroupsSection()})
    assert grpo_config(Config(rl=plain), plain, tmp_path).num_generations == 8


def test_learners_that_share_a_vllm_do_not_resample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clarify_rl.training.vllm.vllm_installed", lambda: True)
    made = section(resample=1)
    made.trainer.update(use_vllm=True, vllm_mode="server")
    grpo_config(Config(rl=made), made, tmp_path)
    monkeypatch.setattr(GRPOConfig, "world_size", property(lambda self: 2))
    with pytest.raises(ConfigError, match=r"a vLLM that they share needs all of them.*vllm_mode=colocate"):
        grpo_config(Config(rl=made), made, tmp_path)
    made.trainer.update(vllm_mode="colocate")
    grpo_config(Config(rl=made), made, tmp_path)


@pytest.mark.parametrize("made", [section("ppo", ask_share=0.25, by_solve_rate=True), section(resample=3)])
def test_options_that_work_are_taken(made: RLSection, tmp_path: Path) -> None:
    check = {"grpo": grpo_config, "ppo": ppo_config}[made.algorithm]
    check(Config(rl=made.model_copy(update={"ppo": PPOSection()})), made, tmp_path)


def test_a_wrong_name_says_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"Unknown key 'rl\.groups\.resampl'\. Did you mean 'resample'\?"):
        load_config("demo", ["rl.groups.resampl=1"])
