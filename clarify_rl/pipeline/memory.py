"""A GPU that runs out of memory, as a sentence: in which stage, what takes the most there, and which option helps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from clarify_rl.config import Config
from clarify_rl.engines import engine_for_evaluation, engine_for_rl
from clarify_rl.errors import ClarifyError

_MICRO_BATCH = 8  # TRL's per_device_train_batch_size, where a configuration gives none
_TRAINED_BYTES = 16  # of a float32 weight, with its gradient and the two averages of AdamW


@contextmanager
def telling_of_memory(stage: str, config: Config) -> Iterator[None]:
    """Around a stage: ClarifyError in place of torch's OutOfMemoryError."""
    try:
        yield
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, without loading torch for stages that need none
            raise
        raise ClarifyError(out_of_memory(stage, config)) from error


def out_of_memory(stage: str, config: Config) -> str:
    """What to say when `stage` ("sft", "rl" or "eval-NAME") has no memory left."""
    if stage.startswith("eval"):
        by_vllm = engine_for_evaluation(config).name == "vllm"
        half = max(1, config.eval.batch_size // 2)
        smaller = "engine.options.gpu_memory_utilization=0.4" if by_vllm else f"eval.batch_size={half}"
        return (
            f"The GPU ran out of memory in {stage}, which generates for {config.eval.batch_size} episodes at once. Try "
            f"{smaller}; what was evaluated before is kept (--resume)."
        )
    section = config.sft if stage == "sft" else config.rl
    options: Mapping[str, object] = section.trainer if section else {}
    rows, steps = (
        int(str(options.get(name, default)))
        for name, default in (("per_device_train_batch_size", _MICRO_BATCH), ("gradient_accumulation_steps", 1))
    )
    where = f"{stage}.trainer"
    halved = f"{where}.per_device_train_batch_size={max(1, rows // 2)} {where}.gradient_accumulation_steps={2 * steps}"
    others = [f"{where}.gradient_checkpointing=true"]
    if section and section.lora is None:
        others.append(f"an adapter ({stage}.lora.r=16 {stage}.lora.target_modules=all-linear)")
    if stage == "rl" and engine_for_rl(config).name == "vllm":
        others.append(f"less for vLLM ({where}.vllm_gpu_memory_utilization=0.2)")
    return (
        f"The GPU ran out of memory in {stage}. {_consumers(config, stage, rows)}Try {halved}, which makes the same "
        f"update in smaller parts; or {', or '.join(others)}. --resume goes on from the last checkpoint."
    )


@dataclass(frozen=True)
class _Size:
    parameters: int
    vocabulary: int


def _consumers(config: Config, stage: str, rows: int) -> str:
    size = _size_of(config)
    if size is None:
        return ""
    tokens = config.dialogue.total_tokens
    logits = rows * tokens * size.vocabulary * 4 / 1e9
    section = config.sft if stage == "sft" else config.rl
    weights = size.parameters * (_TRAINED_BYTES if section and section.lora is None else 2) / 1e9
    return (
        f"The largest things there: the logits of a micro-batch, up to {rows} x {tokens} tokens x {size.vocabulary} "
        f"words, {logits:.1f} GB in float32 and as much again for their gradient; and {weights:.1f} GB for "
        f"{size.parameters / 1e6:,.0f}M weights{' with AdamW' if section and section.lora is None else ''}. "
    )


def _size_of(config: Config) -> _Size | None:
    """Read from the model's configuration alone; None where that is not to be had."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from clarify_rl.policies.models import EMBEDDED, embedded_folder

    base = str(embedded_folder()) if config.model.base == EMBEDDED else config.model.base
    try:
        read = AutoConfig.from_pretrained(base)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(read)
    except Exception:  # whatever it is, the sentence is worth more without the numbers than not at all
        return None
    return _Size(sum(weight.numel() for weight in model.parameters()), int(read.get_text_config().vocab_size))
