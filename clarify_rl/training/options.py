"""TRL's own options: made into its configuration, with the mistakes found before any work starts."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import torch
from huggingface_hub import HfApi
from transformers import Trainer, TrainingArguments

from clarify_rl.errors import ConfigError, first_line
from clarify_rl.sections import Options
from clarify_rl.training.progress import check_reporters


def trainer_config(kind: type[Any], where: str, options: Options, out: Path, seed: int) -> Any:  # Any: TRL's classes
    """A trainer's own configuration. Raises ConfigError for an option that TRL does not know or does not take."""
    _check_names(kind, where, options)
    _check_types(kind, where, options)
    _check_length(where, options)
    gpu = torch.cuda.is_available()
    # TRL takes bf16 for granted; without a GPU it must be told otherwise.
    machine = {"use_cpu": not gpu, "bf16": gpu, "dataloader_pin_memory": gpu}
    # What is not finite stops a training, so that nothing needs to be filtered from its log.
    shown = {"disable_tqdm": True, "report_to": "none", "logging_nan_inf_filter": False}
    ours = {"output_dir": str(out), "seed": seed, **shown, **machine}
    # YAML reads a bare `no` as false, and the strategies have no other use for it.
    meant = {name: "no" if value is False and name.endswith("_strategy") else value for name, value in options.items()}
    try:
        made = kind(**{**ours, **meant})
    except (TypeError, ValueError) as error:
        said = str(error).rstrip(".")
        raise ConfigError(f"{where}: {said}. These options are those of TRL's {kind.__name__}.") from error
    check_reporters(where, made.report_to)
    _check_installed(where, made)
    return made


def _check_installed(where: str, args: TrainingArguments) -> None:
    """ConfigError for an optimizer or kernel whose package is not here, or not for this machine."""
    if args.use_liger_kernel and importlib.util.find_spec("liger_kernel") is None:
        raise ConfigError(f"{where}.use_liger_kernel: it is not installed. pip install liger-kernel, or leave it out.")
    try:
        Trainer.get_optimizer_cls_and_kwargs(args)
    except (ImportError, ValueError, RuntimeError) as error:
        if "model" in str(error).lower() and "install" not in str(error).lower():
            return  # one that asks for the model first
        said = str(error).strip().splitlines()[0].rstrip(".")
        raise ConfigError(f"{where}.optim={args.optim.value}: {said}. The plain one is adamw_torch.") from error
    if "8bit" in args.optim.value and not torch.cuda.is_available():
        raise ConfigError(f"{where}.optim={args.optim.value} needs a GPU. The plain one is adamw_torch.")


def check_hub(where: str, options: Options) -> None:
    """ConfigError where a model shall be pushed to a hub that does not answer, or does not know who pushes."""
    if not options.get("push_to_hub"):
        return
    try:
        HfApi().whoami()
    except Exception as error:  # the hub's client raises a dozen unrelated types; all mean the same to the user
        raise ConfigError(
            f"{where}.push_to_hub: the hub does not let this machine push: {first_line(error)} Log in with "
            "`hf auth login`, or leave it out and push the finished model yourself."
        ) from error


def _check_names(kind: type[Any], where: str, options: Options) -> None:  # Any: as above
    if "output_dir" in options:
        raise ConfigError(
            f"{where}.output_dir: checkpoints belong into the run's folder, where --resume looks for them. Choose that "
            "folder by out=FOLDER, and leave output_dir out."
        )
    known = [field.name for field in fields(kind) if field.init]
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise ConfigError(f"{where}.{name}: TRL's {kind.__name__} has no such option.{hint}")


def _check_length(where: str, options: Options) -> None:
    """TRL takes any number: with a negative one it would end before its first step, or go on by the epochs."""
    for name in ("max_steps", "num_train_epochs"):
        value = options.get(name, 1)
        if isinstance(value, int | float) and value <= 0 and (name, value) != ("max_steps", -1):
            raise ConfigError(f"{where}.{name}={value:g}: training needs at least one step. Take more than 0.")


_NUMBERS: Mapping[object, tuple[str, tuple[type, ...]]] = {
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
}


def _check_types(kind: type[Any], where: str, options: Options) -> None:  # Any: as above
    """TRL looks at no type, so a text where a number belongs would stop a run when training begins, or later."""
    hints = get_type_hints(kind)
    for name, value in options.items():
        kinds = {*(get_args(hints[name]) or (hints[name],))} - {type(None)}
        if value is None or len(kinds) != 1 or not kinds & _NUMBERS.keys():
            continue
        words, types = _NUMBERS[kinds.pop()]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise ConfigError(f"{where}.{name}: TRL's {kind.__name__} takes {words} (found {value!r}).")
