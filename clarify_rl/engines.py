"""Which engine generates, in RL, held-out evaluation and evaluation alike: our own decode loop, or vLLM.

One setting decides, `engine: auto | hf | vllm`; auto is vLLM wherever it can run, and says why where it does not.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clarify_rl.config import Config
from clarify_rl.errors import ConfigError
from clarify_rl.rl_sections import RLSection

NVIDIA = Path("/proc/driver/nvidia")  # there where NVIDIA's driver is
INSTALL = 'pip install "clarify-rl[vllm]"'


@dataclass(frozen=True)
class Engine:
    """The engine of a stage, and why it is that one."""

    name: Literal["hf", "vllm"]
    why: str

    def __str__(self) -> str:
        return f"{self.name} ({self.why})"


def vllm_installed() -> bool:
    return importlib.util.find_spec("vllm") is not None


def gpu_here(device: str = "auto") -> bool:
    """Whether models would run on a GPU."""
    import torch  # heavy, and `auto` alone needs it

    return device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())


def gpu_trouble() -> str:
    """Why torch cannot use the NVIDIA GPU of this machine; "" where it can, or where there is none."""
    if not NVIDIA.exists():
        return ""
    import torch  # heavy, and seldom needed

    if torch.cuda.is_available():
        return ""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a build for processors only: install torch from the GPU's index"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:  # an old driver among them, in torch's own words
        return f"torch {torch.__version__} cannot use it: {str(error).strip().splitlines()[0]}"
    return f"torch {torch.__version__} does not see it (CUDA_VISIBLE_DEVICES)"


def engine_for_rl(config: Config) -> Engine:
    """The engine of RL's rollouts and of the held-out evaluation between them. ConfigError where it cannot be had."""
    section = config.rl or RLSection()
    by_hand = section.trainer.get("use_vllm")
    if by_hand is not None:
        use: Literal["hf", "vllm"] = "vllm" if by_hand else "hf"
        if config.engine.use not in ("auto", use):
            raise ConfigError(f"engine={config.engine.use}, but rl.trainer.use_vllm={str(by_hand).lower()}. Take one.")
        return Engine(use, f"rl.trainer.use_vllm={str(by_hand).lower()}")
    return _chosen(config, _no_rl_by_vllm(config))


def engine_for_evaluation(config: Config) -> Engine:
    """The engine that evaluates models which are loaded here. ConfigError where it cannot be had."""
    quantized = "model.quantization is for our own engine" if config.model.quantization else ""
    return _chosen(config, quantized)


def _chosen(config: Config, obstacle: str) -> Engine:
    """As the configuration says; `obstacle`: why vLLM would not do here."""
    use = config.engine.use
    if use == "hf":
        return Engine("hf", "engine=hf")
    if use == "vllm":
        if not vllm_installed():
            raise ConfigError(f"engine=vllm needs vLLM: {INSTALL}")
        if obstacle:
            raise ConfigError(f"engine=vllm: {obstacle}. Take engine=auto or engine=hf.")
        return Engine("vllm", "engine=vllm")
    if config.model.device == "auto" and (trouble := gpu_trouble()):
        return Engine("hf", f"there is a GPU, but {trouble}")
    if not vllm_installed():
        return Engine("hf", f"vLLM, which is faster on a GPU, is not installed: {INSTALL}")
    if not gpu_here(config.model.device):
        return Engine("hf", "no GPU here; engine=vllm insists")
    if obstacle:
        return Engine("hf", obstacle)
    return Engine("vllm", "it is installed, and there is a GPU")


def _no_rl_by_vllm(config: Config) -> str:
    """Why vLLM cannot sample for RL: it loads by name what RL starts from."""
    if config.model.quantization and "load_in_8bit" in config.model.quantization:
        return "vLLM takes no base that is quantised to 8 bits in flight"
    trained = config.sft is not None and not (config.rl and config.rl.lora == "continue")
    base = config.model.base
    if not trained and unnamed(base):
        return f"vLLM loads what RL starts from by its folder, and {base} is none (clarify-rl export {base} --out base)"
    return ""


def unnamed(spec: str) -> bool:
    """Whether vLLM would find no folder of weights under this name."""
    return spec == "embedded" or spec.endswith(".gguf") or (Path(spec) / "adapter_config.json").is_file()
