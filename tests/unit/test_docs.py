"""What the documents say about the code: names that are there, commands that parse, programs that run."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from clarify_rl.arguments import parse

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMED = re.compile(r"`((?:[\w]+/)*\w+\.py):([\w.]+)`")


def _named() -> Iterator[tuple[str, str, str]]:
    for document in DOCUMENTS:
        for path, name in NAMED.findall(document.read_text(encoding="utf-8")):
            if not path.startswith(("my_", "path/to/")):  # files of the reader's own
                yield document.name, path, name


def _defined(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
    return names


@pytest.mark.parametrize(("document", "path", "name"), sorted(set(_named())))
def test_what_a_document_names_is_there(document: str, path: str, name: str) -> None:
    found = next((root / path for root in (ROOT / "clarify_rl", ROOT) if (root / path).is_file()), None)
    assert found is not None, f"{document}: no file {path}"
    assert name in _defined(found), f"{document}: {path} defines no {name}"


def test_contributing_names_the_files_of_every_step() -> None:
    assert len([each for each in _named() if each[0] == "CONTRIBUTING.md"]) > 20


def _commands() -> Iterator[tuple[str, str]]:
    for document in DOCUMENTS:
        for block in re.findall(r"```\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("clarify-rl "):
                    yield document.name, line.partition("  #")[0].strip()


@pytest.mark.parametrize(("document", "command"), sorted(set(_commands())))
def test_every_command_in_a_document_parses(document: str, command: str) -> None:
    parse(shlex.split(command)[1:])
