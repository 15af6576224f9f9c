"""What a user who installs the wheel gets."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSTALLED_AS = {"clarify_rl": "clarify_rl"} | {name: f"clarify_rl/{name}" for name in ("rewards", "envs", "configs")}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a wheel is built from, without the folders that an earlier build may have left."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in INSTALLED_AS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for file in ("pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / file).exists():
            shutil.copy(ROOT / file, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the checkout, built without the network."""
    target = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir"]
    done = subprocess.run([*pip, target, checkout], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(target.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel was unpacked in, as an installation does it."""
    folder = tmp_path_factory.mktemp("site-packages")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def test_the_wheel_has_every_module_config_template_and_asset(checkout: Path, installed: Path) -> None:
    wanted = {
        f"{target}/{path.relative_to(checkout / folder).as_posix()}"
        for folder, target in INSTALLED_AS.items()
        for path in (checkout / folder).rglob("*")
        if path.is_file()
    }
    missing = sorted(name for name in wanted if not (installed / name).is_file())
    assert not missing, f"List their packages in pyproject.toml (tool.setuptools packages, package-data): {missing}"


def test_every_folder_with_modules_is_a_package(checkout: Path) -> None:
    folders = {path.parent for name in INSTALLED_AS for path in (checkout / name).rglob("*.py")}
    assert not [folder for folder in sorted(folders) if not (folder / "__init__.py").exists()]


def test_every_library_that_is_imported_is_a_declared_dependency(checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: wanted for name, wanted in project["optional-dependencies"].items() if name != "dev"}
    declared = {re.split(r"\W", line)[0] for lines in (project["dependencies"], *extras.values()) for line in lines}
    imported = {
        name.partition(".")[0]
        for path in checkout.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in _imported_by(node)
    }
    undeclared = imported - declared - sys.stdlib_module_names - {"clarify_rl", "yaml"}  # yaml is pyyaml's module
    assert not undeclared, f"Add {sorted(undeclared)} to the dependencies in pyproject.toml and constraints.txt."


def _imported_by(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def test_nothing_called_rewards_or_envs_reaches_site_packages(installed: Path) -> None:
    names = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert names == {"clarify_rl"}


def test_the_wheel_installs_the_command(installed: Path) -> None:
    (points,) = installed.glob("*.dist-info/entry_points.txt")
    assert "clarify-rl = clarify_rl.cli:main" in points.read_text(encoding="utf-8")


def test_a_users_own_rewards_folder_hides_none_of_ours(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "rewards").mkdir()
    (tmp_path / "rewards" / "__init__.py").write_text("raise RuntimeError('not this one')", encoding="utf-8")
    program = "import clarify_rl.rewards.pass_rate as found; print(found.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == installed / "clarify_rl" / "rewards" / "pass_rate.py"
