"""The example package: installed beside clarify-rl, its reward and its user go by name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as pip installs it, without the network."""
    target = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "manners"
    source.mkdir()
    for file in (ROOT / "examples" / "manners").iterdir():
        if file.is_file():
            (source / file.name).write_bytes(file.read_bytes())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([*pip, str(target), str(source)], check=True, timeout=300)
    return target


def command(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": f"{installed}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    run = [sys.executable, "-m", "clarify_rl", *arguments]
    return subprocess.run(run, cwd=folder, env=env, capture_output=True, text=True, timeout=500)


def test_a_reward_of_an_installed_package_goes_by_its_name(installed: Path, tmp_path: Path) -> None:
    mix = "rewards=[{use: pass_rate}, {use: courtesy, weight: 0.1}]"
    ran = command(installed, tmp_path, "check", "reward", mix, "--count", "6")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "courtesy: 0 to 1" in ran.stdout


def test_a_user_of_an_installed_package_goes_by_its_name_and_takes_options(installed: Path, tmp_path: Path) -> None:
    ran = command(installed, tmp_path, "check", "user", "curt,patience=1", "--limit", "4")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "revealed to 200 requests for code, tests or everything: 200" in " ".join(ran.stdout.split())


def test_a_dry_run_plays_an_episode_with_both(installed: Path, tmp_path: Path) -> None:
    mix = "rewards=[{use: pass_rate}, {use: courtesy, weight: 0.1}]"
    ran = command(installed, tmp_path, "run", "demo", "name=polite", "env.user=curt", mix, "--dry-run")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "one scripted episode: 1 question" in " ".join(ran.stdout.split())
