"""The decode loop against transformers' own generation and against plain forward passes."""

from collections.abc import Callable, Sequence
from random import Random
from typing import cast

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from clarify_rl.errors import ClarifyError
from clarify_rl.policies.hf import HFPolicy
from clarify_rl.types import Request, Sample

VOCABULARY, PAD = 60, 0
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,  # large, so that the next token is seldom a tie
}


def llama() -> PreTrainedModel:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZES)).eval()


def qwen2() -> PreTrainedModel:
    torch.manual_seed(1)
    return Qwen2ForCausalLM(Qwen2Config(**SIZES)).eval()


def mistral() -> PreTrainedModel:
    """Each token sees the eight before it only."""
    torch.manual_seed(2)
    return MistralForCausalLM(MistralConfig(**SIZES, sliding_window=8)).eval()


def gemma3() -> PreTrainedModel:
    """Sliding and full attention in turn, and a head size of its own."""
    torch.manual_seed(3)
    config = Gemma3TextConfig(
        **SIZES, head_dim=8, sliding_window=8, layer_types=["sliding_attention", "full_attention"] * 2
    )
    return Gemma3ForCausalLM(config).eval()


def adapted() -> PreTrainedModel:
    torch.manual_seed(4)
    tuned = get_peft_model(
        llama(), LoraConfig(target_modules=["q_proj", "v_proj"], r=4, init_lora_weights=False)
    ).eval()
    return cast(PreTrainedModel, tuned)  # it passes every attribute on to the model that it wraps


_MLA = {
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
    "n_routed_experts": 4,
    "num_experts_per_tok": 1,
    "moe_intermediate_size": 16,
    "n_group": 2,
    "topk_group": 1,
}
_GATED_DELTA = {
    "head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
_SSM = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 8}


def other(kind: str, **options: object) -> Callable[[], PreTrainedModel]:
    def make() -> PreTrainedModel:
        torch.manual_seed(5)
        config = AutoConfig.for_model(kind, **{**SIZES, **options})
        return cast(PreTrainedModel, AutoModelForCausalLM.from_config(config).eval())

    make.__name__ = kind
    return make


OTHERS = [
    other("deepseek_v3", **_MLA),  # keys that are wider than values
    other("qwen3_5_text", **_GATED_DELTA),  # the rest keeps a state of fixed size in some layer, or in all of them
    other("falcon_h1", **{**_SSM, "mamba_n_heads": 4}, mamba_d_ssm=32),
    other(
        "granitemoehybrid", **_SSM, layer_types=["mamba", "attention"] * 2, num_local_experts=2, num_experts_per_tok=1
    ),
    other("nemotron_h", mamba_num_heads=4, mamba_head_dim=8, ssm_state_size=8, n_groups=1, head_dim=8, chunk_size=8),
    other("mamba2", num_heads=8, head_dim=8, state_size=8, n_groups=1, chunk_size=8),
    other("minimax", num_local_experts=2, num_experts_per_tok=1, head_dim=8),
]


@pytest.fixture(params=[llama, qwen2, mistral, gemma3, adapted], ids=lambda make: make.__name__, scope="module")
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    made: PreTrainedModel = request.param()
    return made


def contexts(count: int, seed: int = 0) -> list[tuple[int, ...]]:
    rng = Random(seed)
    return [tuple(rng.randrange(1, VOCABULARY) for _ in range(rng.randint(1, 20))) for _ in range(count)]


def requests_for(*made: tuple[int, ...], budget: int | Sequence[int] = 24, seed: int = 0) -> list[Request]:
    budgets = [budget] * len(made) if isinstance(budget, int) else budget
    return [Request(context, budgets[i], f"e{i}", 0, seed) for i, context in enumerate(made)]


def policy(
    model: PreTrainedModel, *, ends: Sequence[int] = (), temperature: float = 0.0, **options: object
) -> HFPolicy:
    return HFPolicy(model, frozenset(ends), PAD, temperature, **options)  # type: ignore[arg-type]  # options of every type


def common_ends(model: PreTrainedModel) -> list[int]:
    """Two tokens that end greedy samples early for some contexts and never for others."""
    texts = [sample.token_ids for sample in policy(model).generate(requests_for(*contexts(2)))]
    return [texts[0][3], texts[1][9]]


def plain_logprobs(
    model: PreTrainedModel, context: Sequence[int], ids: Sequence[int], temperature: float
) -> torch.Tensor:
    with torch.inference_mode():
        logits = model(torch.tensor([[*context, *ids]])).logits[0].float()
    steps = torch.log_softmax(logits[len(context) - 1 : -1] / temperature, -1)
    return steps.gather(1, torch.tensor(ids)[:, None])[:, 0]


def generated(model: PreTrainedModel, context: Sequence[int], ends: Sequence[int]) -> tuple[int, ...]:
    """What transformers' own greedy generation gives."""
    out = model.generate(
        torch.tensor([context]),
        attention_mask=torch.ones(1, len(context), dtype=torch.long),
        max_new_tokens=24,
        do_sample=False,
        eos_token_id=list(ends),
        pad_token_id=PAD,
    )
    return tuple(out[0, len(context) :].tolist())


def test_greedy_decoding_equals_that_of_transformers(model: PreTrainedModel) -> None:
    made, ends = contexts(12), common_ends(model)
    samples = policy(model, ends=ends).generate(requests_for(*made))
    assert [sample.token_ids for sample in samples] == [generated(model, context, ends) for context in made]
    lengths = {len(sample.token_ids) for sample in samples}
    assert min(lengths) < 10 < max(lengths)  # rows did leave the batch while others went on


def test_logprobs_are_those_of_a_plain_forward_pass(model: PreTrainedModel) -> None:
    made = contexts(10)
    for temperature in (1.0, 0.7):
        sampler = policy(model, ends=common_ends(model), temperature=temperature, logprobs=True)
        for context, sample in zip(made, sampler.generate(requests_for(*made)), strict=True):
            assert sample.logprobs is not None
            expected = plain_logprobs(model, context, sample.token_ids, temperature)
            assert torch.allclose(torch.tensor(sample.logprobs), expected, atol=1e-5)


def test_greedy_logprobs_are_those_of_the_model(model: PreTrainedModel) -> None:
    made = contexts(4)
    for context, sample in zip(made, policy(model, logprobs=True).generate(requests_for(*made)), strict=True):
        assert sample.logprobs is not None
        expected = plain_logprobs(model, context, sample.token_ids, 1.0)
        assert torch.allclose(torch.tensor(sample.logprobs), expected, atol=1e-5)


def test_logprobs_are_left_out_unless_asked_for(model: PreTrainedModel) -> None:
    assert policy(model).generate(requests_for((1, 2)))[0].logprobs is None


def test_the_same_requests_give_the_same_samples_and_other_seeds_give_others(model: PreTrainedModel) -> None:
    made = contexts(6)
    sampler = policy(model, temperature=1.0)
    first = sampler.generate(requests_for(*made, seed=3))
    torch.manual_seed(99)
    assert sampler.generate(requests_for(*made, seed=3)) == first
    assert sampler.generate(requests_for(*made, seed=4)) != first


def test_rows_of_one_context_are_sampled_independently(model: PreTrainedModel) -> None:
    samples = policy(model, temperature=1.0).generate(requests_for(*[(5, 6, 7)] * 8))
    assert len({sample.token_ids for sample in samples}) == 8


def test_sampling_follows_the_models_distribution(model: PreTrainedModel) -> None:
    context = (5, 6, 7)
    samples = policy(model, temperature=1.0, batch_size=4000).generate(requests_for(*[context] * 4000, budget=1))
    counts = torch.bincount(torch.tensor([sample.token_ids[0] for sample in samples]), minlength=VOCABULARY)
    with torch.inference_mode():
        wanted = torch.softmax(model(torch.tensor([context])).logits[0, -1].float(), -1)
    assert torch.allclose(counts / 4000, wanted, atol=0.04)


def test_no_sample_is_longer_than_its_budget(model: PreTrainedModel) -> None:
    budgets = [1, 2, 7, 3, 30, 1]
    samples = policy(model, ends=()).generate(requests_for(*contexts(6), budget=budgets))
    assert [len(sample.token_ids) for sample in samples] == budgets
    assert not any(sample.finished for sample in samples)


def test_the_token_that_ends_a_turn_is_kept_and_only_it_finishes(model: PreTrainedModel) -> None:
    ends = common_ends(model)
    samples = policy(model, ends=ends).generate(requests_for(*contexts(12)))
    for sample in samples:
        assert not set(sample.token_ids[:-1]) & set(ends)
        assert sample.finished == (sample.token_ids[-1] in ends)
        assert sample.finished or len(sample.token_ids) == 24
    assert {sample.finished for sample in samples} == {True, False}


def test_an_end_on_the_last_token_of_the_budget_finishes(model: PreTrainedModel) -> None:
    (free,) = policy(model).generate(requests_for((4, 5), budget=5))
    last = free.token_ids[-1]
    first = free.token_ids.index(last) + 1
    (sample,) = policy(model, ends=[last]).generate(requests_for((4, 5), budget=first))
    assert sample == Sample(free.token_ids[:first], None, True)


def test_shared_contexts_give_what_separate_ones_give(model: PreTrainedModel) -> None:
    some = contexts(3)
    made = [some[i] for i in (0, 1, 0, 2, 1, 0)]
    together = policy(model, ends=common_ends(model)).generate(requests_for(*made))
    alone = [policy(model, ends=common_ends(model)).generate(requests_for(context))[0] for context in made]
    assert together == alone


def test_neither_order_nor_batch_size_changes_a_greedy_sample(model: PreTrainedModel) -> None:
    made, ends = contexts(11), common_ends(model)
    whole = policy(model, ends=ends).generate(requests_for(*made))
    for size in (1, 3, 5):
        assert policy(model, ends=ends, batch_size=size).generate(requests_for(*made)) == whole
    assert policy(model, ends=ends).generate(requests_for(*made[::-1])) == whole[::-1]


def test_nothing_gives_nothing(model: PreTrainedModel) -> None:
    assert policy(model).generate([]) == []


def test_the_model_is_left_in_the_mode_it_was_in() -> None:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SIZES, attention_dropout=0.9)).train()
    made = contexts(3)
    first = policy(model).generate(requests_for(*made))
    assert model.training
    assert policy(model.eval()).generate(requests_for(*made)) == first
    assert not model.training


def test_no_gradient_is_recorded(model: PreTrainedModel) -> None:
    policy(model, temperature=1.0).generate(requests_for((1, 2)))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_training_still_works_after_generating(model: PreTrainedModel) -> None:
    policy(model).generate(requests_for((1, 2)))
    model(torch.tensor([[1, 2, 3]]), labels=torch.tensor([[1, 2, 3]])).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)
    model.zero_grad()


@pytest.mark.parametrize("make", OTHERS, ids=lambda make: make.__name__)
def test_models_of_another_kind_generate_as_transformers_has_them(make: Callable[[], PreTrainedModel]) -> None:
    """Those whose state is no cache of keys and values, and DeepSeek's, whose keys are wider than its values."""
    model, made = make(), contexts(5)
    ends, before = common_ends(model), model.generation_config
    budgets = [24, 24, 24, 2, 24]
    samples = policy(model, ends=ends, logprobs=True).generate(requests_for(*made, budget=budgets))
    for context, budget, sample in zip(made, budgets, samples, strict=True):
        assert sample.token_ids == generated(model, context, ends)[:budget]
        assert sample.finished == (sample.token_ids[-1] in ends)
        expected = plain_logprobs(model, context, sample.token_ids, 1.0)
        # A state that is carried on rounds otherwise than a scan of the whole text, and may tip a router of experts.
        assert (torch.tensor(sample.logprobs) - expected).abs().median() < 1e-3
    sampler = policy(model, ends=ends, temperature=1.0)
    assert sampler.generate(requests_for(*made)) == sampler.generate(requests_for(*made))
    assert sampler.generate(requests_for(*made)) != sampler.generate(requests_for(*made, seed=1))
    assert model.generation_config is before


def test_a_state_that_is_not_finite_is_told_of_as_well() -> None:
    model = OTHERS[-1]()
    with torch.no_grad():
        model.get_output_embeddings().weight[3, 3] = torch.nan
    with pytest.raises(ClarifyError, match="not finite for token 1 of turn 1 in episode e0"):
        policy(model, temperature=1.0).generate(requests_for((5, 6)))
