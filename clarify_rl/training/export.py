"""Models for other programs: plain folders that transformers and vLLM load, and adapters that name their base."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from peft import PeftModel
from transformers import PreTrainedModel

from clarify_rl.errors import ClarifyError, unknown_name
from clarify_rl.policies.models import DTYPES, EMBEDDED, embedded_folder, load_model
from clarify_rl.training.adapters import ADAPTER, merged

_CONFIG = "adapter_config.json"


def export_model(spec: str, out: Path, dtype: str = "float32") -> None:
    """Writes what `spec` names as a plain causal LM with its tokenizer; an adapter is merged into its base.

    Merging happens in float32, whatever `dtype` is written: half precision would round small changes away.
    """
    if dtype not in DTYPES:
        raise ClarifyError(unknown_name("dtype", dtype, DTYPES))
    loaded = load_model(spec, dtype="float32", device="cpu")
    model: PreTrainedModel | PeftModel = loaded.model
    if isinstance(model, PeftModel):
        model = merged(model, Path(spec))
    model.to(DTYPES[dtype]).save_pretrained(str(out))
    loaded.tokenizer.save_pretrained(str(out))


def export_adapter(spec: str, out: Path) -> str:
    """Copies the adapter of a folder, or the one beside a merged model, with its tokenizer; returns its base.

    The base is named by its whole path, or its hub name, so that programs find it from anywhere.
    """
    source = _adapter_folder(spec)
    config = json.loads((source / _CONFIG).read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base = _base(config.get("base_model_name_or_path"), source)
    out.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.is_file() and path.name not in (_CONFIG, "README.md"):
            shutil.copy2(path, out)
    (out / _CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
    return base


def _adapter_folder(spec: str) -> Path:
    for folder in (Path(spec), Path(spec) / ADAPTER):
        if (folder / _CONFIG).is_file():
            return folder
    raise ClarifyError(f"{spec} holds no adapter: looked for {_CONFIG} there and in {ADAPTER}/. Leave --adapter out.")


def _base(name: str | None, adapter: Path) -> str:
    if name == EMBEDDED:
        return str(embedded_folder().resolve())
    if not name or name.endswith(".gguf"):
        raise ClarifyError(
            f"The base of {adapter} is {name or 'not named'}, which other programs cannot load. Leave --adapter out, "
            "and the adapter is merged into it."
        )
    if Path(name).is_dir():
        return str(Path(name).resolve())
    if Path(name).is_absolute() or name.count("/") > 1:
        raise ClarifyError(
            f"The base of {adapter} is {name}, and there is no such folder here. Run this where the run was started, "
            f"or put the base's path into {adapter / _CONFIG}."
        )
    return name
