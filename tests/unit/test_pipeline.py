"""What the stages of a run share."""

from hashlib import sha256
from pathlib import Path

import pytest

from clarify_rl.config import Config, RewardConfig
from clarify_rl.pipeline.environments import open_pool
from clarify_rl.store import Run

REWARDS = "def half(episode):\n    return 0.5\n\n\ndef none(episode):\n    return 0.0\n"


def test_a_run_notes_what_its_plugin_files_hold_and_warns_when_one_has_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.py"
    config = Config(rewards=tuple(RewardConfig(use=f"{file}:{name}") for name in ("half", "none")))
    digests = []
    with Run.create(tmp_path / "run", "seed: 0\n", ["pytest"]) as run:
        for text in (REWARDS, REWARDS, REWARDS.replace("0.5", "0.75")):
            assert "has changed" not in capsys.readouterr().out
            file.write_text(text)
            digests.append(sha256(text.encode()).hexdigest()[:12])
            with open_pool(config, run):
                pass
        assert run.info()[f"plugin {file}"] == f"sha256 {digests[0]}, then {digests[2]}"
    assert capsys.readouterr().out.count("mine.py has changed since this run began") == 1
