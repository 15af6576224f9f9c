"""Reading and writing configurations: defaults < configs/base.yaml < the experiment's file < key=value arguments."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError

from clarify_rl.config import Config
from clarify_rl.errors import ConfigError, RunFolderError


def load_config(
    spec: str | None, overrides: Sequence[str] = (), *, options: Mapping[str, object] | None = None
) -> Config:
    """The configuration of a file (a path, or the name of one that ships, e.g. `demo`) with key=value overrides.

    `options` are nested like a file and stand between the file and the overrides. Raises ConfigError: no such file,
    broken YAML, an unknown key (with the nearest known one), or a wrong value.
    """
    layers = [_read("base")] + ([_read(spec)] if spec else []) + [options or {}, _overrides(overrides)]
    try:
        data = OmegaConf.to_container(OmegaConf.merge(*layers), resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"Cannot put the configuration together: {str(error).splitlines()[0]}.") from None
    return _validated(data)


def saved_config(folder: Path) -> Config:
    """The resolved configuration of a run folder. Raises RunFolderError when it holds no run."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise RunFolderError(f"{folder} holds no run (no config.yaml). Give the folder that `clarify-rl run` wrote.")
    return _validated(yaml.safe_load(path.read_text()))


def to_yaml(config: Config) -> str:
    """The resolved configuration, as it is saved in the run folder and as `config show` prints it."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)


def shipped_configs() -> list[str]:
    """Names of the configurations that ship with clarify-rl."""
    folder = resources.files("clarify_rl.configs")
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def _read(spec: str) -> Any:  # Any: OmegaConf's DictConfig or ListConfig
    path = Path(spec)
    if spec in shipped_configs():
        text = (resources.files("clarify_rl.configs") / f"{spec}.yaml").read_text()
    elif path.is_file():
        text = path.read_text()
    else:
        near = difflib.get_close_matches(spec, shipped_configs(), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"No configuration {spec!r}: neither a file here nor one that ships ({', '.join(shipped_configs())}).{hint}"
        )
    try:
        return OmegaConf.create(yaml.safe_load(text) or {})
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{spec}: not valid YAML: {error}") from None


def _validated(data: object) -> Config:
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(item) for item in error.errors())) from None


def _overrides(overrides: Sequence[str]) -> Any:  # Any: OmegaConf's DictConfig
    for item in overrides:
        if "=" not in item:
            raise ConfigError(f"{item!r} is not key=value. For example: seed=1 rl.trainer.max_steps=20")
    try:
        return OmegaConf.from_dotlist(list(overrides))
    except (OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigError(f"Cannot read {' '.join(overrides)}: {error}") from None


def _explain(error: Any) -> str:  # Any: pydantic's ErrorDetails
    """One validation error in a sentence, with the nearest known key for an unknown one."""
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{path or 'configuration'}: {error['msg']} (found {error['input']!r})."
    known = sorted(_keys_beside(error["loc"]))
    near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"Unknown key {path!r}.{hint} Known here: {', '.join(known)}."


def _keys_beside(location: tuple[int | str, ...]) -> Iterator[str]:
    """Field names of the section that holds the last key of `location`."""
    section: type[BaseModel] = Config
    for part in location[:-1]:
        field = section.model_fields.get(str(part))
        if field is not None:
            section = next(_sections(field.annotation), section)
    yield from section.model_fields


def _sections(annotation: object) -> Iterator[type[BaseModel]]:
    """The section classes inside an annotation such as `SFTSection | None` or `dict[str, SuiteConfig]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)
