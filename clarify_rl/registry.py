"""Finds plugins (rewards, environments, users) by name, module, file or entry point."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar, cast

from clarify_rl.errors import ConfigError, unknown_name
from clarify_rl.types import Env, Reward, User

Plugin = TypeVar("Plugin", bound=Callable[..., Any])  # Any: a plugin's own options decide its signature

_PACKAGES = {"reward": "clarify_rl.rewards", "env": "clarify_rl.envs", "user": "clarify_rl.envs"}
_METHODS = {
    "reward": "__call__(episode)",
    "env": "respond(exchange)",
    "user": "answer(variant, questions, turns, seed)",
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
        return _from_location(kind, spec)
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


def _from_location(kind: str, spec: str) -> Callable[..., Any]:
    location, _, name = spec.rpartition(":")
    module = _load_file(Path(location)) if location.endswith(".py") else _load_module(location)
    try:
        return cast(Callable[..., Any], getattr(module, name))
    except AttributeError:
        public = [item for item in vars(module) if not item.startswith("_")]
        raise ConfigError(unknown_name(f"{kind} in {location}", name, public)) from None


def _load_module(location: str) -> object:
    try:
        return importlib.import_module(location)
    except ModuleNotFoundError as error:
        if error.name and not location.startswith(error.name):
            raise  # the module is there, and lacks something itself
        raise ConfigError(f"No module {location!r}. Install it, or name a file: path/to/file.py:name.") from None


def _load_file(path: Path) -> object:
    """Imports a file under a name made from its path and content: an edited file is a new module.

    It may import modules that lie beside it, at once or later: its folder is on the path from here on, behind all else.
    """
    if not path.is_file():
        raise ConfigError(f"No file {str(path)!r} (looked in {Path.cwd()}). Give a path to an existing .py file.")
    digest = hashlib.sha256(str(path.resolve()).encode() + path.read_bytes()).hexdigest()[:12]
    name = f"clarify_rl_plugin_{path.stem}_{digest}"
    if name not in sys.modules:
        found = importlib.util.spec_from_file_location(name, path)
        assert found is not None and found.loader is not None
        module = importlib.util.module_from_spec(found)
        sys.modules[name] = module
        if (folder := str(path.resolve().parent)) not in sys.path:
            sys.path.append(folder)
        try:
            found.loader.exec_module(module)
        except BaseException as error:
            del sys.modules[name]
            if not isinstance(error, Exception):
                raise
            raise ConfigError(f"{path} cannot be imported.\n{_traceback_from(path, error)}") from error
    return sys.modules[name]


def _traceback_from(path: Path, error: Exception) -> str:
    """What went wrong in a user's file, without the frames that led there."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [Path(frame.filename).resolve() == path.resolve() for frame in frames]
    shown = frames[own.index(True) :] if any(own) else []
    return "".join([*traceback.format_list(shown), *traceback.format_exception_only(error)]).rstrip()


def _import_plugins(package: str) -> None:
    folder = importlib.import_module(package)
    for module in pkgutil.iter_modules(folder.__path__):
        importlib.import_module(f"{package}.{module.name}")
