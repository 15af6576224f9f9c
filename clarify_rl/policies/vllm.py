"""Generation by vLLM in processes of its own: for evaluation. RL has its own, which training/vllm.py keeps in step.

One engine serves all checkpoints of a run: what is alike in shape gets its weights put into the engine that stands,
which takes a second where a start takes a minute.
"""

from __future__ import annotations

import gc
import json
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clarify_rl.engines import unnamed
from clarify_rl.errors import ClarifyError
from clarify_rl.seeds import derive_seed
from clarify_rl.types import Request, Sample

GPU_SHARE = 0.6  # of a GPU's memory, where the options name none: RL's model may still be there
_WITHOUT_SHAPE = frozenset({"_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures"})

LLM = Any  # Any: vllm.LLM, an optional dependency
Options = Mapping[str, Any]  # Any: vLLM's own names


@dataclass
class Engines:
    """The vLLM of this process, started when it is first needed and stopped by `close`. `options` go to vLLM's LLM.

    `export` writes a model that has no folder of its own, or an adapter merged into its base, to one.
    """

    options: Options
    export: Callable[[str, Path], None]
    _llm: LLM | None = None
    _shape: str = ""
    _folder: str = ""
    _exported: list[tempfile.TemporaryDirectory[str]] = field(default_factory=list)

    def holding(self, spec: str) -> LLM:
        """An engine with the weights of the model that `spec` names."""
        folder = self._folder_of(spec)
        shape = _shape(folder)
        if self._llm is not None and (shape != self._shape or not shape):
            self._stop()
        if self._llm is None:
            self._llm = start(folder, self.options)
        elif folder != self._folder:
            self._llm.collective_rpc("reload_weights", kwargs={"weights_path": folder})
            self._llm.reset_prefix_cache()
        self._shape, self._folder = shape, folder
        return self._llm

    def close(self) -> None:
        self._stop()
        for folder in self._exported:
            folder.cleanup()

    def __enter__(self) -> Engines:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _stop(self) -> None:
        if self._llm is not None:
            stop(self._llm)
            self._llm = None

    def _folder_of(self, spec: str) -> str:
        """Where vLLM finds the weights: an adapter is merged, and a model without a folder written to one."""
        if not unnamed(spec):
            return spec
        folder = tempfile.TemporaryDirectory(prefix="clarify-rl-vllm-")
        self._exported.append(folder)
        self.export(spec, Path(folder.name))
        return folder.name


@dataclass(frozen=True)
class VLLMPolicy:
    """Samples from the engine at `temperature` (0: greedy), each request by its own seed. `end_ids` end a turn."""

    llm: LLM
    end_ids: frozenset[int]
    temperature: float = 0.0
    logprobs: bool = False

    def generate(self, requests: Sequence[Request]) -> list[Sample]:
        """One sample for each request, in order; vLLM puts them into batches itself."""
        settings = [self._settings(request) for request in requests]
        prompts = [_prompt(request) for request in requests]
        done = self.llm.generate(prompts, settings, use_tqdm=False)
        return [self._sample(out.outputs[0]) for out in done]

    @contextmanager
    def stream(self) -> Iterator[EngineStream]:
        with EngineStream(self.llm, self._settings, self._sample) as stream:
            yield stream

    def _settings(self, request: Request) -> Any:  # Any: vLLM's SamplingParams
        import vllm

        return vllm.SamplingParams(
            temperature=self.temperature,
            max_tokens=request.max_new_tokens,
            stop_token_ids=sorted(self.end_ids),
            seed=None if self.temperature == 0 else seed_of(request),
            logprobs=0,  # that of the sampled token, which shows whether logits are numbers
            detokenize=False,
        )

    def _sample(self, output: Any) -> Sample:  # Any: vLLM's CompletionOutput
        ids = tuple(output.token_ids)
        logprobs = sampled_logprobs(output)
        if any(map(math.isnan, logprobs)):
            raise ClarifyError(
                "vLLM gives log-probabilities that are not numbers, so the model's logits are not finite. Likely "
                "causes: half precision (engine.options.dtype=float32), or weights that training has spoiled."
            )
        return Sample(ids, logprobs if self.logprobs else None, bool(ids) and ids[-1] in self.end_ids)


@dataclass
class EngineStream:
    """Requests under way at vLLM's engine, which takes more between any two of its steps.

    `settings` are vLLM's SamplingParams of a request, `sample` reads its CompletionOutput. What is under way when the
    context ends is called off.
    """

    llm: LLM
    settings: Callable[[Request], Any]  # Any: vLLM's own
    sample: Callable[[Any], Sample]
    _numbers: dict[str, int] = field(default_factory=dict)  # by the name that a request has at the engine
    _added: int = 0

    def __enter__(self) -> EngineStream:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._numbers:
            self.llm.llm_engine.abort_request(list(self._numbers))

    @property
    def busy(self) -> bool:
        return bool(self._numbers)

    def add(self, number: int, request: Request) -> None:
        from vllm.sampling_params import RequestOutputKind

        settings = self.settings(request)
        settings.output_kind = RequestOutputKind.FINAL_ONLY
        name = f"clarify-rl-{self._added}"
        self._added += 1
        self._numbers[name] = number
        self.llm.llm_engine.add_request(name, _prompt(request), settings)

    def step(self) -> list[tuple[int, Sample]]:
        """One token for each request under way; those that are done with it."""
        done = [output for output in self.llm.llm_engine.step() if output.finished]
        return [(self._numbers.pop(output.request_id), self.sample(output.outputs[0])) for output in done]


def start(folder: str, options: Options) -> LLM:
    """vLLM's engine on the model in `folder`. ClarifyError with vLLM's own reason where it does not start."""
    import torch
    import vllm

    gc.collect()  # a model that RL has left behind; vLLM takes what torch keeps for later as taken
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    ours: dict[str, Any] = {  # Any: vLLM's own
        "dtype": half_or_single(),
        "gpu_memory_utilization": GPU_SHARE,
        "skip_tokenizer_init": True,  # ids go in and come out
        "generation_config": "vllm",  # nothing of what the model's makers recommend
        "seed": 0,
    }
    try:
        return vllm.LLM(model=folder, **{**ours, **options})
    except (ValueError, RuntimeError, TypeError) as error:
        said = str(error).strip().splitlines()[0]
        raise ClarifyError(
            f"vLLM does not start with {folder}: {said} Its options are engine.options.NAME=VALUE "
            "(gpu_memory_utilization, max_model_len, enforce_eager, ...); engine=hf does without it."
        ) from error


def half_or_single() -> str:
    """The precision of generation: bfloat16 on a GPU. A processor is no faster for it."""
    import torch

    return "bfloat16" if torch.cuda.is_available() else "float32"


def stop(llm: LLM) -> None:
    """Ends the engine's processes, which gives back its memory."""
    llm.llm_engine.engine_core.shutdown()


def context_of(llm: LLM) -> int:
    """How many tokens the engine holds of one dialogue."""
    return int(llm.llm_engine.model_config.max_model_len)


def sampled_logprobs(output: Any) -> tuple[float, ...]:  # Any: vLLM's CompletionOutput
    """The log-probability of each token that was sampled."""
    return tuple(at[token].logprob for at, token in zip(output.logprobs, output.token_ids, strict=True))


def seed_of(request: Request) -> int:
    """What a request is sampled by: its episode's own, whatever else the engine has under way."""
    return derive_seed(request.episode_id, request.turn, request.seed) % (1 << 63)


def _prompt(request: Request) -> dict[str, list[int]]:
    return {"prompt_token_ids": list(request.context)}


def _shape(folder: str) -> str:
    """What two models must share so that one engine can hold the one after the other; "" where it is unknown."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        return folder  # a hub's name: it is like itself
    config = json.loads(path.read_text(encoding="utf-8"))
    return json.dumps({key: value for key, value in config.items() if key not in _WITHOUT_SHAPE}, sort_keys=True)
