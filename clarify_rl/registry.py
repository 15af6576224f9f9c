"""Finds plugins (rewards, environments, users, sources of problems) by name, module, file or entry point."""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar, cast

from clarify_rl.errors import ConfigError, unknown_name
from clarify_rl.loading import load_object
from clarify_rl.types import Env, Reward, Source, User

Plugin = TypeVar("Plugin", bound=Callable[..., Any])  # Any: a plugin's own options decide its signature

_PACKAGES = {
    "reward": "clarify_rl.rewards",
    "env": "clarify_rl.envs",
    "user": "clarify_rl.envs",
    "source": "clarify_rl.problems",
}
_METHODS = {
    "reward": "__call__(episode)",
    "env": "respond(exchange)",
    "user": "answer(variant, questions, turns, seed)",
    "source": "read()",
}
_REGISTRY: dict[tuple[str, str], Callable[..., Any]] = {}  # Any: as above


def _register(kind: str, name: str) -> Callable[[Plugin], Plugin]:
    def decorate(plugin: Plugin) -> Plugin:
        _REGISTRY[kind, name] = plugin
        return plugin

    return decorate


def reward(name: str) -> Callable[[Plugin], Plugin]:
    """Names a reward: a function of an Episode, or a frozen dataclass with options and `__call__(episode)`."""
    return _register("reward", name)


def env(name: str) -> Callable[[Plugin], Plugin]:
    """Names an environment: a callable that returns an `Env` when given its options."""
    return _register("env", name)


def user(name: str) -> Callable[[Plugin], Plugin]:
    """Names a simulated user: a callable that returns a `User` when given its options."""
    return _register("user", name)


def source(name: str) -> Callable[[Plugin], Plugin]:
    """Names a source of problems: a callable that returns a `Source` when given its options."""
    return _register("source", name)


def load_reward(spec: str, options: Mapping[str, object]) -> Reward:
    """The reward that `spec` names, ready to call. Options make sense only for a class."""
    plugin: object = _find("reward", spec)
    if isinstance(plugin, type):
        return cast(Reward, _build("reward", spec, plugin, options))
    if options:
        raise ConfigError(
            f"Reward {spec!r} is a plain function and takes no options, but got {sorted(options)}. "
            "Remove them, or make it a frozen dataclass with those fields and __call__(episode)."
        )
    if not callable(plugin):
        raise ConfigError(
            f"Reward {spec!r} is of type {type(plugin).__name__}. Name a function of an episode, or a class."
        )
    return cast(Reward, plugin)


def load_env(spec: str, options: Mapping[str, object]) -> Env:
    """The environment that `spec` names, built with its options."""
    return cast(Env, _build("env", spec, _find("env", spec), options))


def load_user(spec: str, options: Mapping[str, object]) -> User:
    """The simulated user that `spec` names, built with its options."""
    return cast(User, _build("user", spec, _find("user", spec), options))


def load_source(spec: str, options: Mapping[str, object]) -> Source:
    """The source of problems that `spec` names, built with its options."""
    return cast(Source, _build("source", spec, _find("source", spec), options))


def source_from_text(text: str) -> Source:
    """A source as it is named in a shell: its spec, then options, as in `mbpp,path=mbpp.jsonl,examples=0`."""
    return load_source(*source_and_options(text))


def source_and_options(text: str) -> tuple[str, dict[str, object]]:
    """The spec and the options in such a text. ConfigError for what is no option."""
    return _named(text, "source,name=value,... as in rows,path=mine.jsonl")


def user_from_text(text: str) -> User:
    """A user as it is named in a shell: its spec, then options, as in `rule_based,reveal=0.6`."""
    return load_user(*_named(text, "user,name=value,... as in rule_based,reveal=0.6"))


def _named(text: str, form: str) -> tuple[str, dict[str, object]]:
    """A spec and its options. ConfigError for what is no option; numbers, true and false are read as such."""
    spec, *given = text.split(",")
    options: dict[str, object] = {}
    for item in given:
        name, is_option, value = item.partition("=")
        if not is_option:
            raise ConfigError(f"{text!r}: {item!r} is no option. Write {form}")
        options[name.strip()] = _plain(value)
    return spec, options


def _plain(value: str) -> object:
    if value in ("true", "false"):
        return value == "true"
    if re.fullmatch(r"\d+\.\d+", value):
        return float(value)
    return int(value) if value.isdecimal() else value


def short_name(spec: str) -> str:
    """What a plugin is called in metrics and tables, whatever file or module it comes from."""
    return spec.rpartition(":")[2]


def source_digest(spec: str) -> str | None:
    """A short SHA-256 of the file that `spec` names a plugin in, or None where it names no file."""
    location = spec.rpartition(":")[0]
    return hashlib.sha256(Path(location).read_bytes()).hexdigest()[:12] if location.endswith(".py") else None


def _build(kind: str, spec: str, plugin: Callable[..., Any], options: Mapping[str, object]) -> object:
    try:
        built = plugin(**options)
    except TypeError as error:
        raise ConfigError(f"The {kind} {spec!r} does not take these options: {error}.") from error
    method = _METHODS[kind]
    if not callable(getattr(built, method.partition("(")[0], None)):
        raise ConfigError(
            f"The {kind} {spec!r} has no method {method}. See {kind.capitalize()} in clarify_rl/types.py."
        )
    return built


def _find(kind: str, spec: str) -> Callable[..., Any]:
    if ":" in spec:
        return cast(Callable[..., Any], load_object(kind, spec))  # Any: as above
    if spec.endswith(".py"):
        raise ConfigError(f"{spec!r} lacks the name of the {kind} in that file: {spec}:NAME")
    _import_plugins(_PACKAGES[kind])
    if (kind, spec) not in _REGISTRY:
        for point in entry_points(group=f"clarify_rl.{kind}s", name=spec):
            _REGISTRY[kind, spec] = point.load()
    if (kind, spec) not in _REGISTRY:
        known = [name for known_kind, name in _REGISTRY if known_kind == kind]
        raise ConfigError(
            unknown_name(kind, spec, known) + " A file works too: path/to/file.py:name, or package.module:name."
        )
    return _REGISTRY[kind, spec]


def _import_plugins(package: str) -> None:
    folder = importlib.import_module(package)
    for module in pkgutil.iter_modules(folder.__path__):
        importlib.import_module(f"{package}.{module.name}")
