"""Variants as dialogues: played to passing code, in the shares asked for, in a folder that `datasets` loads."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub
import pytest
from datasets import load_dataset

from clarify_rl.cli import main
from clarify_rl.config import Config
from clarify_rl.errors import DataError
from clarify_rl.executor import Executor
from clarify_rl.pipeline.dialogues import write_dialogues
from clarify_rl.pipeline.make import make
from clarify_rl.problems.made import Made
from clarify_rl.registry import load_source
from tests import own_problems


@pytest.fixture(scope="module")
def unclear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unclear")
    path = own_problems.write(folder / "mine.jsonl")
    options = dict(item.split("=") for item in own_problems.FIELDS.split(","))
    with Executor() as executor:
        make([load_source("rows", {"path": str(path), **options})], [], executor, folder / "unclear.jsonl", limit=5)
    return folder / "unclear.jsonl"


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_the_folder_loads_and_has_the_share_that_was_asked_for(unclear: Path, tmp_path: Path, share: float) -> None:
    folder = tmp_path / "dialogues"
    came = write_dialogues(unclear, folder, Config(), clarify_share=share, count=10)
    loaded = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    rows = [row for split in loaded.values() for row in split]
    assert len(rows) == sum(came.counts.values()) == 10
    assert sum(bool(row["edits"]) for row in rows) == came.asking == round(10 * share)
    groups = [{row["problem"].partition("/")[0] for row in split} for split in loaded.values()]
    assert groups
    for row in rows:
        roles = [message["role"] for message in row["messages"]]
        assert roles == ["user", "assistant"] * (len(row["edits"]) + 1)
        assert row["messages"][-1]["content"].startswith("```python")


def test_a_dialogue_asks_and_is_told_what_is_hidden_before_the_code(unclear: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dialogues"
    write_dialogues(unclear, folder, Config(), clarify_share=1.0)
    hidden = {variant.id: variant for variant in Made(str(unclear)).variants() if variant.facts}
    rows = [row for split in load_dataset(str(folder), cache_dir=str(tmp_path / "cache")).values() for row in split]
    assert {row["variant"] for row in rows} == set(hidden)
    for row in rows:
        first, *later = (message["content"] for message in row["messages"])
        assert first == hidden[row["variant"]].prompt
        for fact in hidden[row["variant"]].facts:
            assert any(question in later for question in fact.questions)
            assert any(answer in text for answer in fact.answers for text in later)


def test_questions_come_in_many_wordings(unclear: Path, tmp_path: Path) -> None:
    write_dialogues(unclear, tmp_path / "dialogues", Config(), clarify_share=1.0)
    loaded = load_dataset(str(tmp_path / "dialogues"), cache_dir=str(tmp_path / "cache"))
    asked: dict[str, set[str]] = {}
    for row in (row for split in loaded.values() for row in split if len(row["edits"]) == 1):
        asked.setdefault(row["edits"][0], set()).add(row["messages"][1]["content"])
    assert max(map(len, asked.values())) > 1


def test_the_card_says_what_is_in_it_and_whose_it_is(unclear: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dialogues"
    came = write_dialogues(unclear, folder, Config(), clarify_share=0.5, count=8)
    card = (folder / "README.md").read_text()
    assert "8 dialogues, 4 of them with\nquestions (50%)" in card
    assert all(f"split: {'validation' if split == 'dev' else split}" in card for split, n in came.counts.items() if n)
    assert "rows: your own; say which here" in card


def test_what_may_not_be_passed_on_is_left_out_where_it_is_published(unclear: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed.jsonl"
    lines = [json.loads(line) for line in unclear.read_text().splitlines()]
    for line in lines[: len(lines) // 2]:
        line["problem"]["source"] = "LeetCodeDataset"
    mixed.write_text("".join(json.dumps(line) + "\n" for line in lines))
    came = write_dialogues(mixed, tmp_path / "public", Config(), count=6, to_publish=True)
    assert came.kept_here == len(lines) // 2
    written = load_dataset(str(tmp_path / "public"), cache_dir=str(tmp_path / "cache"))
    assert {row["source"] for split in written.values() for row in split} == {"rows"}


def test_problems_of_an_evaluation_set_are_refused(unclear: Path, tmp_path: Path) -> None:
    line = json.loads(unclear.read_text().splitlines()[0])
    line["problem"]["source"] = "HumanEval"
    (tmp_path / "eval.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(DataError, match="HumanEval, which are for evaluation only"):
        write_dialogues(tmp_path / "eval.jsonl", tmp_path / "dialogues", Config())


def test_mistakes_are_told_in_a_sentence(unclear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["data", "dialogues", str(unclear), "--out", str(tmp_path / "out")]
    assert main([*command, "--clarify-share", "1.5"]) == 2
    assert "between 0 and 1" in capsys.readouterr().err
    assert main([*command, "--count", "4000"]) == 2
    assert "are asked for. Ask for fewer" in capsys.readouterr().err
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert main(command) == 2
    assert "is not empty. Choose another --out." in capsys.readouterr().err


@pytest.mark.parametrize("offline", [True, False])
def test_a_hub_that_cannot_be_reached_costs_no_dialogue(
    offline: bool, unclear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # where nobody listens
    folder = tmp_path / "out"
    assert main(["data", "dialogues", str(unclear), "--out", str(folder), "--count", "4", "--push", "me/mine"]) == 2
    assert "could not be put on the hub" in (said := capsys.readouterr().err)
    assert f"hf upload me/mine {folder} --repo-type dataset" in said
    assert (folder / "README.md").exists()
