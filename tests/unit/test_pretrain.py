"""Pretraining: a base model from nothing, and one that goes on from another."""

from itertools import islice
from pathlib import Path
from random import Random

import pytest
import torch

from clarify_rl.config import PretrainConfig
from clarify_rl.errors import ClarifyError
from clarify_rl.policies.models import asset_digests, load_model, tokenizer_fingerprint, verify_digests
from clarify_rl.problems.bank.draw import draws
from clarify_rl.problems.bank.families import FAMILIES
from clarify_rl.synthesis.base_text import base_dialogue
from clarify_rl.training.pretrain import Progress, by_length, collate, encode_dialogue, learn, pretrain

TINY = {"hidden_size": 16, "intermediate_size": 16, "layers": 1, "heads": 2, "vocabulary": 400, "batch_size": 4}


def test_pretraining_goes_on_from_the_model_that_it_is_given_with_its_tokenizer(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    pretrain(PretrainConfig.model_validate({**TINY, "steps": 2, "device": "cpu"}), first, 0)
    # Sizes are the first model's own: those of the defaults would not fit.
    on = PretrainConfig(start=str(first), steps=2, batch_size=4, warmup_steps=1, learning_rate=1e-3, device="cpu")
    seen: list[Progress] = []
    pretrain(on, second, 1, on_progress=seen.append)
    verify_digests(second)
    before, after = load_model(str(first)), load_model(str(second))
    assert tokenizer_fingerprint(before.tokenizer) == tokenizer_fingerprint(after.tokenizer)
    moved = [
        (a - b).abs().max()
        for a, b in zip(before.model.parameters(), after.model.parameters(), strict=True)
        if a.shape == b.shape
    ]
    assert 0 < max(moved) < 0.01  # two steps of Adam at 1e-3, not another start
    assert [progress.step for progress in seen] == [2]
    assert torch.isfinite(torch.tensor(seen[0].loss))
    assert asset_digests(first) != asset_digests(second)


def test_a_start_that_is_not_there_is_named_before_any_step(tmp_path: Path) -> None:
    with pytest.raises(ClarifyError, match="nowhere"):
        pretrain(PretrainConfig(start=str(tmp_path / "nowhere"), device="cpu"), tmp_path / "out", 0)
    assert not (tmp_path / "out").exists()


def test_a_batch_in_parts_by_length_has_the_gradient_of_the_whole() -> None:
    loaded = load_model("embedded", dtype="float32", device="cpu")
    rng = Random(0)
    shares = {"completed_share": 0.2, "reading_share": 0.2, "unclear_share": 0.3}
    rows = [
        encode_dialogue(loaded.tokenizer, base_dialogue(draw, rng, **shares))
        for draw in islice(draws(FAMILIES, "train", 0), 10)
    ]
    pad_id = loaded.model.config.pad_token_id
    seen: list[tuple[float, torch.Tensor]] = []
    for parts in ([collate(rows, pad_id)], by_length(rows, pad_id)):
        loaded.model.zero_grad()
        loss = learn(loaded.model, parts).item()
        seen.append((loss, torch.cat([parameter.grad.flatten() for parameter in loaded.model.parameters()])))
    (loss, gradient), (loss_in_parts, gradient_in_parts) = seen
    assert loss_in_parts == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(gradient_in_parts, gradient, rtol=1e-4, atol=1e-6)
