"""Who may import whom. A new edge is a decision: add it to the table, and say why in the pull request."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]

# From low to high. Each line: a module or package of clarify_rl, and what it may import besides itself.
MAY_IMPORT = {
    name: frozenset(allowed.split())
    for name, allowed in {
        "types": "",
        "errors": "",
        "command_line": "errors",
        "check_arguments": "command_line",
        "data_arguments": "command_line",
        "reading_arguments": "command_line",
        "arguments": "clarify_rl command_line check_arguments data_arguments reading_arguments",
        "trouble": "errors",
        "threads": "",
        "timeline": "",
        "syntax": "",
        "seeds": "",
        "wording": "",
        "loading": "errors",
        "registry": "types errors loading",
        "parallel": "",
        "executor": "types errors loading parallel",
        "records": "types errors executor",
        "sections": "",
        "rl_sections": "sections",
        "eval_sections": "sections",
        "config": "types errors registry sections rl_sections eval_sections",
        "config_files": "types errors config",
        "store": "types errors records config config_files",
        "assets": "",
        "engines": "errors config rl_sections",
        "policies": "types errors seeds eval_sections config assets engines",
        "problems": "types errors syntax seeds wording records config registry executor",
        "synthesis": "types errors seeds syntax wording records config executor policies problems",
        # problems: how a statement is taken apart into sentences and examples.
        "matching": "types errors wording records problems",
        "answering": "types errors matching",
        "dialogue.requests": "wording",
        "dialogue.replies": "types errors syntax dialogue.requests",
        "training.templates": "",
        "dialogue": "types errors seeds registry timeline policies dialogue.replies",
        # training: TRL's templates, for a model whose own cannot be trained on.
        "players": "types errors sections config engines policies dialogue training.templates",
        # config, policies, players: a model that a user or a judge asks.
        "consult": "types eval_sections config policies dialogue players",
        # consult: a reward that is a judge.
        "rewards": "clarify_rl types errors registry syntax consult",
        # consult: a user that is a language model.
        "envs": "clarify_rl types errors registry seeds wording config policies executor matching answering consult "
        "dialogue.replies",
        "pool": "types errors seeds registry config executor",
        "demonstrations": "types errors seeds policies synthesis dialogue",
        "training": "types errors loading seeds timeline sections rl_sections config engines store policies problems "
        "synthesis dialogue pool demonstrations",
        "evaluation": "types errors seeds timeline records eval_sections config store policies problems dialogue "
        "dialogue.replies pool",
        "report": "types errors seeds records config store evaluation",
        "launch": "clarify_rl types errors config store pool training evaluation",
        "pipeline": "types errors seeds timeline wording registry records sections rl_sections eval_sections config "
        "config_files engines store parallel executor policies "
        "problems matching synthesis dialogue dialogue.replies players consult pool demonstrations training evaluation "
        "report launch",
        "play": "types errors config store policies players dialogue pipeline",
        "notebook": "types errors config config_files store evaluation pipeline",
        "doctor": "clarify_rl errors executor config engines",
        "data_commands": "config_files pipeline command_line",
        "check_commands": "clarify_rl config_files pipeline command_line doctor",
        "reading_commands": "errors config_files store evaluation pipeline command_line",
        # training: the base model's pretraining is no stage of a run, so the command calls it itself.
        "cli": "clarify_rl errors config config_files store training launch pipeline play doctor arguments "
        "command_line trouble threads data_commands check_commands reading_commands",
        "__main__": "cli",
    }.items()
}
PARTS = frozenset(
    {"dialogue.replies", "dialogue.requests", "training.templates"}
)  # lines of the table that are a part of a package: envs may import only that part

ONLY = {"ray": frozenset({"pool", "launch"}), "trl": frozenset({"training", "training.templates"})}

CORE = frozenset(
    "types errors seeds wording registry records config store executor problems synthesis dialogue demonstrations "
    "evaluation report doctor".split()
)
HEAVY = frozenset({"torch", "transformers", "trl", "ray", "peft", "datasets", "accelerate"})


class Import(NamedTuple):
    """`importer` imports `imported`; both are dotted module names."""

    importer: str
    imported: str


def _modules() -> dict[str, Path]:
    """Every module of the package by its installed name."""
    folders = {"clarify_rl": ROOT / "clarify_rl"}
    folders |= {f"clarify_rl.{name}": ROOT / name for name in ("rewards", "envs", "configs")}
    found = {}
    for package, folder in folders.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join((package, *parts)).removesuffix(".__init__")] = path
    return found


MODULES = _modules()


def _imports(importer: str, path: Path) -> Iterator[Import]:
    """What a module imports anywhere in its text: functions and TYPE_CHECKING blocks count too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (Import(importer, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the import with its long name, not with dots."
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield Import(importer, inner if inner in MODULES else node.module)


IMPORTS = [edge for name, path in MODULES.items() for edge in _imports(name, path)]


def _line(module: str) -> str:
    """The line of the table that a module belongs to: `clarify_rl.problems.bank.draw` is on `problems`."""
    names = module.split(".")[1:]
    for part in PARTS:
        if names[:2] == part.split("."):
            return part
    return names[0] if names else "clarify_rl"


def _edges() -> Iterator[tuple[str, str, Import]]:
    for edge in IMPORTS:
        importer, imported = _line(edge.importer), _line(edge.imported)
        if edge.imported.partition(".")[0] == "clarify_rl" and importer != imported:
            yield importer, imported, edge


def test_the_table_goes_from_low_to_high() -> None:
    seen = {"clarify_rl"}
    for name, allowed in MAY_IMPORT.items():
        assert allowed <= seen, (
            f"{name} may import {sorted(allowed - seen)}, which the table lists above it or not at all."
        )
        seen.add(name)


def test_every_module_is_on_a_line_of_the_table() -> None:
    unlisted = {_line(module) for module in MODULES} - MAY_IMPORT.keys() - {"clarify_rl", "configs"}
    assert not unlisted, f"Add {sorted(unlisted)} to MAY_IMPORT, at the height where it belongs."


def test_no_module_imports_against_the_table() -> None:
    wrong = [
        f"{edge.importer} imports {edge.imported}: '{importer}' may import only {sorted(MAY_IMPORT.get(importer, ()))}."
        for importer, imported, edge in _edges()
        if importer != "clarify_rl" and imported not in MAY_IMPORT.get(importer, ())
    ]
    assert not wrong, "\n".join(wrong)


def test_the_package_itself_imports_only_what_plugin_authors_need() -> None:
    assert {imported for importer, imported, _ in _edges() if importer == "clarify_rl"} <= {
        "types", "registry", "notebook"  # the last for type checkers, and when one of its names is asked for
    }  # fmt: skip


def test_no_plugin_imports_another_and_the_core_imports_none() -> None:
    plugins = ("clarify_rl.rewards.", "clarify_rl.envs.")
    wrong = [edge for edge in IMPORTS if edge.imported.startswith(plugins)]
    assert not wrong, f"Load plugins through clarify_rl.registry: {wrong}"


def test_modules_import_each_other_in_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for edge in IMPORTS:
        if edge.imported in MODULES and edge.imported != "clarify_rl":
            graph.setdefault(edge.importer, set()).add(edge.imported)
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_no_public_class_shares_its_name_with_another() -> None:
    """One name, one thing: whoever reads a name should not have to look where it comes from."""
    found: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8"), str(path)).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(module)
    twice = {name: modules for name, modules in found.items() if len(modules) > 1}
    assert not twice, f"Rename all but one: {twice}"


@pytest.mark.parametrize("library", sorted(ONLY))
def test_only_its_own_modules_import(library: str) -> None:
    importers = {_line(edge.importer) for edge in IMPORTS if edge.imported.partition(".")[0] == library}
    assert importers <= ONLY[library], f"{library} is imported by {sorted(importers - ONLY[library])}."


FIRST_HEAVY = """
import importlib, sys
heavy = set(sys.argv[1].split())
for module in sys.argv[2:]:
    importlib.import_module(module)
    if found := heavy & set(sys.modules):
        sys.exit(f"Importing {module} loads {sorted(found)}: import them inside the function that needs them.")
"""


def test_importing_the_core_loads_no_heavy_library() -> None:
    core = sorted(name for name in MODULES if name.split(".")[1:2] and name.split(".")[1] in CORE)
    core.append("clarify_rl.pool")  # a pool in this process needs no Ray
    done = subprocess.run(
        [sys.executable, "-c", FIRST_HEAVY, " ".join(HEAVY), *core],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
