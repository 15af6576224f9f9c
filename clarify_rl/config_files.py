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

CONFIG_FILE = "config.yaml"  # written first, when a run folder is made
SHORT = {"engine": "use", "rl.credit": "by"}  # sections that may be given as a word, and the key that it is for


def load_config(
    spec: str | None, overrides: Sequence[str] = (), *, options: Mapping[str, object] | None = None
) -> Config:
    """The configuration of a file (a path, or the name of one that ships, e.g. `demo`) with key=value overrides.

    `options` are nested like a file and stand between the file and the overrides. Raises ConfigError: no such file,
    broken YAML, an unknown key (with the nearest known one), or a wrong value.
    """
    merged = OmegaConf.merge(_read("base"), _read(spec) if spec else {}, options or {})
    for item in overrides:
        merged = _changed(merged, item)
    try:
        return _validated(OmegaConf.to_container(merged, resolve=True))
    except OmegaConfBaseException as error:
        raise ConfigError(f"Cannot put the configuration together: {str(error).splitlines()[0]}.") from None


def saved_config(folder: Path, overrides: Sequence[str] = ()) -> Config:
    """The resolved configuration of a run folder, with key=value overrides. RunFolderError when it holds no run."""
    if not holds_run(folder):
        raise RunFolderError(f"{folder} holds no run (no {CONFIG_FILE}). Give the folder that `clarify-rl run` wrote.")
    saved = OmegaConf.create(yaml.safe_load((folder / CONFIG_FILE).read_text()))
    for item in overrides:
        saved = _changed(saved, item)
    return _validated(OmegaConf.to_container(saved))


def holds_run(folder: Path) -> bool:
    """Whether a run was begun in this folder."""
    return (folder / CONFIG_FILE).is_file()


def to_yaml(config: Config) -> str:
    """The resolved configuration, as it is saved in the run folder and as `config show` prints it."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)


def differences(before: str, after: str) -> list[str]:
    """The settings in which two resolved configurations differ, each as `key: BEFORE, now AFTER`.

    What an older version did not know yet had the default that it has now.
    """
    old, new, completed = (dict(_leaves(yaml.safe_load(text))) for text in (before, after, _completed(before)))
    old = {key: completed[key] for key in new if key in completed} | old
    return [
        f"{key}: {old.get(key, 'not set')}, now {new.get(key, 'not set')}"
        for key in dict.fromkeys([*old, *new])
        if old.get(key, _NOT_SET) != new.get(key, _NOT_SET)
    ]


_NOT_SET = object()


def _completed(text: str) -> str:
    """A resolved configuration with the options that have come since; as it is where it holds one that has gone."""
    try:
        return to_yaml(_validated(yaml.safe_load(text)))
    except ConfigError:
        return text


def _leaves(tree: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Each value of nested mappings by its dotted key."""
    if not isinstance(tree, Mapping) or not tree:
        yield path, tree
        return
    for key, value in tree.items():
        yield from _leaves(value, f"{path}.{key}" if path else str(key))


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
        if not isinstance(yaml.safe_load(text) or {}, Mapping):
            raise ConfigError(f"{spec}: a configuration is a mapping such as `seed: 1`, and this is none.")
        return _spelled_out(
            OmegaConf.create(text)
        )  # it reads 1e-3 as a number, as on the command line; yaml alone reads a text
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{spec}: not valid YAML: {error}") from None


def _validated(data: object) -> Config:
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(item) for item in error.errors())) from None


def _changed(merged: Any, item: str) -> Any:  # Any: OmegaConf's DictConfig
    """`merged` with one key=value."""
    key = item.partition("=")[0]
    if "=" not in item:
        raise ConfigError(f"{item!r} is not key=value. For example: seed=1 rl.trainer.max_steps=20")
    try:
        return OmegaConf.merge(merged, _spelled_out(OmegaConf.from_dotlist([item])))
    except (OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigError(f"Cannot read {item}: {error}") from None
    except TypeError:  # OmegaConf's word for a list where a mapping stands, or the other way round
        raise ConfigError(
            f"{key}: this puts a mapping where a list stands, or a list where a mapping stands. A list is changed as "
            "a whole, e.g. 'rewards=[{use: pass_rate, weight: 1.0}]'."
        ) from None


def _spelled_out(tree: Any) -> Any:  # Any: as above
    """With `engine: vllm` as `engine: {use: vllm}`, so that a later engine.options.NAME does not take its place."""
    for key, short_for in SHORT.items():
        if isinstance(said := OmegaConf.select(tree, key), str):
            OmegaConf.update(tree, key, {short_for: said}, merge=False)
    return tree


def _explain(error: Any) -> str:  # Any: pydantic's ErrorDetails
    """One validation error in a sentence, with the nearest known key for an unknown one."""
    # Of a choice, pydantic names the alternatives as well, e.g. dict[str,any].
    path = ".".join(str(part) for part in error["loc"] if "[" not in str(part))
    if error["type"] == "value_error":
        return f"{path}: {error['ctx']['error']}" if path else str(error["ctx"]["error"])
    if error["type"] != "extra_forbidden":
        said = "Input should be a list" if error["type"] == "tuple_type" else error["msg"]
        return f"{path or 'configuration'}: {said} (found {error['input']!r})."
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
