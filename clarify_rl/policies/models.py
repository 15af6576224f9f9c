"""Models and their tokenizers, from what names them: a folder, an adapter, a .gguf file, a hub name, or "embedded"."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from clarify_rl.engines import gpu_trouble
from clarify_rl.errors import ClarifyError, unknown_name
from clarify_rl.policies.finite import not_finite, some_of

EMBEDDED = "embedded"
DIGESTS = "DIGESTS.json"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

How: TypeAlias = Mapping[str, Any]  # Any: keywords of transformers' from_pretrained

_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")


@dataclass(frozen=True)
class LoadedModel:
    """A causal LM in evaluation mode, the tokenizer that belongs to it, and the spec that named them."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    spec: str


def load_model(
    spec: str,
    *,
    dtype: str = "float32",
    device: str = "auto",
    quantization: Mapping[str, Any] | None = None,  # Any: transformers' own options
    attention: str | None = None,
) -> LoadedModel:
    """The model that `spec` names, on `device` ("auto": a GPU if there is one). An adapter is loaded trainable.

    `quantization` are options of transformers' BitsAndBytesConfig; those of an adapter are its base's. `attention` is
    one of transformers' implementations, or of the hub's kernels; None leaves the choice to transformers. Raises
    ClarifyError for what cannot be loaded, and for weights that are not finite.
    """
    if spec.startswith("openai:"):
        raise ClarifyError(
            f"{spec} is behind a server: it can be evaluated (eval.models, or clarify-rl eval --model), but its "
            "weights are not here to be trained or changed. Name a folder, a hub name or a .gguf file."
        )
    if dtype not in DTYPES:
        raise ClarifyError(unknown_name("dtype", dtype, DTYPES))
    target = device_named(device)
    avoid_broken_kernels(target)
    how = {"dtype": DTYPES[dtype], **quantized(quantization, target)}
    if attention:
        how["attn_implementation"] = attention
    adapter = Path(spec) if (Path(spec) / "adapter_config.json").is_file() else None
    with _naming_attention(attention):
        model, tokenizer = _load_adapter(adapter, how) if adapter else _load_plain(spec, how)
    _check_tokenizer(tokenizer, spec)
    _check_vocabulary(model, tokenizer, spec)
    placed = model if quantization else model.to(target)  # quantised weights are on their device and may not move
    if spoiled := not_finite(placed.named_parameters()):
        raise ClarifyError(
            f"{spec} holds weights that are no finite numbers ({some_of(spoiled)}): it was spoiled when it was made or "
            "saved. Take another checkpoint of it."
        )
    return LoadedModel(placed.eval(), tokenizer, spec)


@contextmanager
def _naming_attention(name: str | None) -> Iterator[None]:
    """What transformers says of an attention that it does not know, or that is not installed, names the option."""
    try:
        yield
    except (ValueError, ImportError) as error:
        if name is None:
            raise
        said = str(error).strip().splitlines()[0]
        raise ClarifyError(f"model.attn_implementation={name}: {said} Take sdpa or eager, or leave it out.") from error


def avoid_broken_kernels(device: torch.device) -> None:
    """Keeps this process from cuDNN's attention on a GPU.

    It is what torch takes on Hopper, and its backward is NaN where left padding leaves a row nothing to attend to, as
    in every batch of dialogues (torch 2.11, H200: the loss was finite, the gradient NaN). The other kernels are right.
    """
    if device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)


def load_tokenizer(spec: str) -> PreTrainedTokenizerFast:
    """The tokenizer that `load_model` would give, without the weights, and looked at in the same way."""
    path = embedded_folder() if spec == EMBEDDED else Path(spec)
    if path.suffix == ".gguf":
        tokenizer = _gguf_tokenizer(path)
    elif (path / "tokenizer.json").is_file() or (path / "config.json").is_file():
        tokenizer = _load_tokenizer(str(path))
    elif (path / "adapter_config.json").is_file():
        return load_tokenizer(_base_of(path))
    else:
        with _looked_for(spec):
            AutoConfig.from_pretrained(spec)
            tokenizer = _load_tokenizer(spec)
    _check_tokenizer(tokenizer, spec)
    return tokenizer


def generation_config(spec: str) -> GenerationConfig | None:
    """What a model says about its own generation, where it says anything."""
    path = embedded_folder() if spec == EMBEDDED else Path(spec)
    if path.suffix == ".gguf":
        return None
    base = _base_of(path) if (path / "adapter_config.json").is_file() else str(path)
    try:
        return cast(GenerationConfig, GenerationConfig.from_pretrained(base))
    except OSError:
        return None


def quantized(options: Mapping[str, Any] | None, device: torch.device) -> dict[str, Any]:  # Any: transformers' own
    """What `from_pretrained` needs for a quantised base. ClarifyError where it is unknown or cannot work here."""
    if options is None:
        return {}
    for name in options:
        if name not in inspect.signature(BitsAndBytesConfig).parameters:  # it takes any name, and says nothing
            known = [option for option in inspect.signature(BitsAndBytesConfig).parameters if option != "kwargs"]
            raise ClarifyError(f"model.quantization: {unknown_name('option', name, known)}")
    if device.type != "cuda":
        raise ClarifyError(
            f"model.quantization needs a GPU, and the device here is {device}. Leave it out, or run where there is one."
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ClarifyError('model.quantization needs bitsandbytes: pip install "clarify-rl[quantization]"')
    return {"quantization_config": BitsAndBytesConfig(**options), "device_map": {"": device}}


def is_quantized(model: PreTrainedModel) -> bool:
    """Whether its weights are packed, so that they can neither be trained nor hold an adapter merged into them."""
    return getattr(model, "hf_quantizer", None) is not None


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerFast) -> str:
    """A digest of everything that turns messages into token ids: vocabulary, merges, special tokens, chat template."""
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    # A call with padding=True or truncation=True leaves its mark in the backend; it is still the same tokenizer.
    del backend["padding"], backend["truncation"]
    text = json.dumps([backend, tokenizer.chat_template], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def asset_digests(folder: Path) -> dict[str, str]:
    """The sha256 of every file under `folder` but DIGESTS.json, by relative path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / DIGESTS)
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in files}


def verify_digests(folder: Path) -> None:
    """Raises ClarifyError unless the files of `folder` are exactly those that its DIGESTS.json lists."""
    listing = folder / DIGESTS
    if not listing.is_file():
        raise ClarifyError(f"{folder} has no {DIGESTS}. Reinstall clarify-rl, or name another model.")
    expected, present = json.loads(listing.read_text(encoding="utf-8")), asset_digests(folder)
    wrong = [
        f"{name} is {'missing' if name not in present else 'not listed' if name not in expected else 'changed'}"
        for name in sorted(expected.keys() | present.keys())
        if expected.get(name) != present.get(name)
    ]
    if wrong:
        raise ClarifyError(f"{folder} differs from its {DIGESTS}: {', '.join(wrong)}. Reinstall clarify-rl.")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def device_named(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ClarifyError(f"No device named {name!r}. Use auto, cpu, cuda or cuda:0.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        why = gpu_trouble() or f"torch {torch.__version__} sees no GPU"
        raise ClarifyError(f"device is {name!r}, but {why}. Use device=auto or cpu.")
    return device


def _load_plain(spec: str, how: How) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A model that is no adapter. It remembers `spec`, so that an adapter trained on it records where to find it."""
    path = Path(spec)
    if spec == EMBEDDED:
        path = embedded_folder()
        verify_digests(path)
    if path.suffix == ".gguf":
        model, tokenizer = _load_gguf(path, how)
    elif path.is_dir():
        if not (path / "config.json").is_file():
            raise ClarifyError(f"{path} holds no model: looked for config.json and adapter_config.json.{_nearby(path)}")
        model, tokenizer = _load_pretrained(str(path), **how), _load_tokenizer(str(path))
    else:
        model, tokenizer = _load_hub(spec, how)
    model.name_or_path = spec
    return model, tokenizer


def embedded_folder() -> Path:
    """The folder of the base model that ships with clarify-rl."""
    folder = Path(__file__).parents[1] / "assets" / "base"
    if not folder.is_dir():
        raise ClarifyError(f"The embedded model is missing: looked for {folder}. Reinstall clarify-rl.")
    return folder


def _nearby(folder: Path) -> str:
    """A hint at models one folder below, or at a .gguf file inside."""
    folders = sorted(
        path.parent for name in ("config.json", "adapter_config.json") for path in folder.glob(f"*/{name}")
    )
    folders += sorted(folder.glob("*.gguf"))
    return f" Did you mean {folders[-1]}?" if folders else ""


def _load_hub(name: str, how: How) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    with _looked_for(name):
        return _load_pretrained(name, **how), _load_tokenizer(name)


@contextmanager
def _looked_for(name: str) -> Iterator[None]:
    """A name that is neither a file here nor known to the hub is a sentence that says where it was looked for."""
    looked = f"No model {name!r}: looked for a folder of that name, a .gguf file, the name {EMBEDDED!r}"
    if not may_be_hub_name(name):
        raise ClarifyError(f"{looked}. Check the path.")
    try:
        yield
    except OSError as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise ClarifyError(f"{looked}, and the hub: {reason} Check the name, or give the folder's path.") from error


def may_be_hub_name(spec: str) -> bool:
    """Whether `spec` looks like the name of a model on the hub, rather than like a path."""
    return _HUB_NAME.fullmatch(spec) is not None


def _load_pretrained(source: str, **options: Any) -> PreTrainedModel:  # Any: transformers takes any keyword here
    """The weights of `source`; a weight that the checkpoint lacks is an error, not a random tensor."""
    model, info = AutoModelForCausalLM.from_pretrained(source, output_loading_info=True, **options)
    absent = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
    if absent:
        raise ClarifyError(f"{source} lacks weights of its own architecture: {', '.join(absent[:5])}. Save it again.")
    return cast(PreTrainedModel, model)


def _load_tokenizer(source: str) -> PreTrainedTokenizerFast:
    """The tokenizer exactly as tokenizer.json says. AutoTokenizer may put another pre-tokenizer in, by model type."""
    exact = not Path(source).is_dir() or (Path(source) / "tokenizer.json").is_file()
    try:
        loader = PreTrainedTokenizerFast if exact else AutoTokenizer
        return cast(PreTrainedTokenizerFast, loader.from_pretrained(source))
    except (OSError, ValueError, TypeError) as error:
        raise ClarifyError(
            f"{source} has no usable tokenizer ({str(error).splitlines()[0]}). "
            f"Save it there with tokenizer.save_pretrained({source!r})."
        ) from error


def _load_gguf(path: Path, how: How) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A plain model of `dtype` with the file's weights unpacked, so that it can be trained and saved."""
    tokenizer = _gguf_tokenizer(path)
    if "quantization_config" in how:
        raise ClarifyError(f"{path} is quantised in a way of its own, so model.quantization does not go with it.")
    # Newer versions of transformers keep the weights packed unless told otherwise; older ones always unpack them.
    config = getattr(transformers, "GgufConfig", None)
    options = {"quantization_config": config(dequantize=True)} if config else {}
    model = _load_pretrained(str(path.parent), gguf_file=path.name, **how, **options)
    if quantizer := getattr(model, "hf_quantizer", None):
        # Nothing is packed any more; with this mark left on, the model could be neither trained nor saved.
        quantizer.remove_quantization_config(model)
    return model, tokenizer


def _gguf_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    if not path.is_file():
        raise ClarifyError(f"No model {str(path)!r}: looked for that file. Check the path.")
    if importlib.util.find_spec("gguf") is None:
        raise ClarifyError('Reading a .gguf file needs the gguf package: pip install "clarify-rl[gguf]"')
    return cast(PreTrainedTokenizerFast, AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name))


def _load_adapter(folder: Path, how: How) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The adapter on its base. Its own tokenizer, where it has one, is the one that it was trained with."""
    from peft import PeftModel

    base = _base_of(folder)
    try:
        model, tokenizer = _load_plain(base, how)
    except ClarifyError as error:
        raise ClarifyError(f"The base of the adapter {folder} cannot be loaded. {error}") from error
    if (folder / "tokenizer.json").is_file():
        tokenizer = _load_tokenizer(str(folder))
    # Without is_trainable a continued run would train nothing and say nothing.
    adapted = PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    return cast(PreTrainedModel, adapted), tokenizer  # it passes every attribute on to the model that it wraps


def _base_of(adapter: Path) -> str:
    base = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8")).get("base_model_name_or_path")
    if not base:
        raise ClarifyError(
            f"{adapter}/adapter_config.json names no base_model_name_or_path. Add the base model's path."
        )
    return str(base)


def _check_tokenizer(tokenizer: PreTrainedTokenizerFast, spec: str) -> None:
    """Requires a chat template and an end of turn, and gives padding a token that exists."""
    if not tokenizer.is_fast:
        raise ClarifyError(
            f"The tokenizer of {spec} has no tokenizer.json. Convert it with transformers, then save it."
        )
    if not tokenizer.chat_template:
        raise ClarifyError(
            f"The tokenizer of {spec} has no chat template. Use an instruction-tuned model, "
            f"or put a chat_template.jinja beside its tokenizer.json."
        )
    if tokenizer.eos_token_id is None:
        raise ClarifyError(
            f"The tokenizer of {spec} has no eos token, so no reply would end. "
            f'Set "eos_token" in its tokenizer_config.json to the token that ends a turn.'
        )
    if tokenizer.pad_token_id is None:
        # Rather unk than eos: trainers that mask padding in the labels would then never teach a reply to end.
        unk = tokenizer.unk_token
        tokenizer.pad_token = unk if unk is not None and unk != tokenizer.eos_token else tokenizer.eos_token


def _check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, spec: str) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    highest = max(tokenizer.get_vocab().values())
    if highest >= rows:
        raise ClarifyError(
            f"{spec}: the tokenizer has token id {highest}, the model only {rows} embeddings. "
            f"Give the tokenizer that belongs to the model."
        )
