"""SFT rows: the ids of episodes, and a loss on the policy's own tokens only, as TRL's trainer makes it."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from trl import SFTTrainer

from clarify_rl.config import SFTSection
from clarify_rl.demonstrations import demonstrate
from clarify_rl.dialogue.chat import Chat
from clarify_rl.dialogue.episodes import DialogueLimits
from clarify_rl.errors import ConfigError, DataError
from clarify_rl.policies.models import load_model
from clarify_rl.pool import LocalPool
from clarify_rl.problems.bank.families import FAMILIES
from clarify_rl.synthesis.mix import Mix, sample_variants
from clarify_rl.training.sft import sft_config, to_dataset
from clarify_rl.types import Episode, Outcome, ReplyKind, Stop, Variant
from tests.dialogues import ASK, CLEAR, DESC, SPEC, UNCLEAR, chat, play, tokenizer

LIMITS = DialogueLimits(max_questions=2, turn_tokens=160, total_tokens=600)


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    made = LocalPool(SPEC)
    yield made
    made.close()


@pytest.fixture(scope="module")
def variants() -> list[Variant]:
    return sample_variants(Mix(120, FAMILIES, FAMILIES, 0.25, {1: 0.4, 2: 0.4, 3: 0.2}), "train", 0)


@pytest.fixture(scope="module")
def demonstrations(pool: LocalPool, variants: list[Variant]) -> list[Episode]:
    return demonstrate(variants, pool=pool, chat=chat(), limits=LIMITS, seed=0)


def labels(episodes: Sequence[Episode], folder: Path, **options: object) -> tuple[torch.Tensor, torch.Tensor]:
    """Input ids and labels of one batch, as SFTTrainer's own preparation and collator make them."""
    section = SFTSection(trainer={"max_length": None, "bf16": False, "use_cpu": True, **options})
    trainer = SFTTrainer(
        model=load_model("embedded", device="cpu").model,
        args=sft_config(section, folder, 0),
        train_dataset=to_dataset(episodes),
        processing_class=tokenizer(),
    )
    batch = trainer.data_collator([dict(row) for row in trainer.train_dataset])
    return batch["input_ids"], batch["labels"]


def test_every_demonstration_is_solved_and_asks_only_what_brings_something(
    demonstrations: list[Episode], variants: list[Variant]
) -> None:
    assert [episode.variant for episode in demonstrations] == variants
    for episode in demonstrations:
        assert episode.solved
        assert len(episode.questions) == len(episode.variant.facts)
        assert sorted(episode.revealed) == sorted(fact.id for fact in episode.variant.facts), episode
        assert set(episode.outcomes) <= {Outcome.REVEALED}
        assert [turn.reply.kind for turn in episode.turns[:-1]] == [ReplyKind.QUESTION] * len(episode.variant.facts)


def test_the_loss_is_on_the_policys_tokens_only_and_the_ids_are_the_episodes(
    demonstrations: list[Episode], tmp_path: Path
) -> None:
    some = demonstrations[:12]
    input_ids, made = labels(some, tmp_path)
    for row, episode in enumerate(some):
        ids = [*episode.prompt_ids, *episode.completion_ids]
        mask = [0] * len(episode.prompt_ids) + list(episode.policy_mask)
        assert input_ids[row, : len(ids)].tolist() == ids
        wanted = [token if policy else -100 for token, policy in zip(ids, mask, strict=True)]
        assert made[row, : len(ids)].tolist() == wanted
        assert made[row, len(ids) :].eq(-100).all()


def test_what_the_model_learns_to_say_is_its_replies_and_their_ends(tmp_path: Path, pool: LocalPool) -> None:
    _, made = labels(play((UNCLEAR, [ASK, DESC]), pool=pool), tmp_path)
    learnt = tokenizer().decode(made[0][made[0] != -100])
    assert learnt == f"{ASK}<|im_end|>{DESC}<|im_end|>"


def test_a_demonstration_ends_its_turns_as_the_chat_template_does(pool: LocalPool) -> None:
    pad, end = tokenizer().pad_token_id, tokenizer().eos_token_id
    several = Chat(tokenizer(), end_ids=frozenset({pad, end}))
    assert pad < end
    (episode,) = demonstrate([CLEAR], pool=pool, chat=several, limits=LIMITS, seed=0)
    assert episode.completion_ids[-1] == end


def test_more_facts_than_questions_are_demonstrated_nevertheless(pool: LocalPool, variants: list[Variant]) -> None:
    deep = [variant for variant in variants if len(variant.facts) == 3][:3]
    limits = replace(LIMITS, max_questions=1)
    made = demonstrate(deep, pool=pool, chat=chat(), limits=limits, seed=0)
    assert all(episode.solved and len(episode.questions) == 3 for episode in made)


def test_the_same_seed_gives_the_same_demonstrations(pool: LocalPool, variants: list[Variant]) -> None:
    def ids(seed: int) -> list[tuple[int, ...]]:
        made = demonstrate(variants[:20], pool=pool, chat=chat(), limits=LIMITS, seed=seed)
        return [episode.completion_ids for episode in made]

    assert ids(1) == ids(1)
    assert ids(1) != ids(2)


def test_a_demonstration_that_does_not_fit_says_which_budget_to_raise(pool: LocalPool) -> None:
    short = replace(LIMITS, turn_tokens=8)
    with pytest.raises(DataError, match=r"p/desc/clear ended with malformed.*dialogue.turn_tokens"):
        demonstrate([CLEAR], pool=pool, chat=chat(), limits=short, seed=0)


def test_a_demonstration_whose_user_fails_says_so_and_advises_no_budget() -> None:
    with (
        closing(LocalPool(replace(SPEC, env="tests.plugins:Silent"))) as pool,
        pytest.raises(DataError, match=r"p/desc/clear could not be played: .* not a Response\.$"),
    ):
        demonstrate([CLEAR], pool=pool, chat=chat(), limits=LIMITS, seed=0)


def test_a_reference_that_fails_its_own_tests_is_reported(pool: LocalPool) -> None:
    wrong = replace(CLEAR, problem=replace(CLEAR.problem, solution="def f(xs):\n    return 1\n"))
    with pytest.raises(DataError, match=f"p/desc/clear ended with {Stop.CODE}"):
        demonstrate([wrong], pool=pool, chat=chat(), limits=LIMITS, seed=0)


def test_no_variants_are_no_demonstrations(pool: LocalPool) -> None:
    assert demonstrate([], pool=pool, chat=chat(), limits=LIMITS, seed=0) == []


@pytest.mark.parametrize("options", [{"learning_rat": 1e-4}, {"eval_strategy": "sometimes"}])
def test_an_option_that_trl_does_not_take_is_named(options: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"sft\.trainer.*({next(iter(options))}|sometimes).*SFTConfig"):
        sft_config(SFTSection(trainer=options), tmp_path, 0)
