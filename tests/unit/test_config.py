from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from clarify_rl.config import Config, WorkersConfig
from clarify_rl.config_files import differences, load_config, saved_config, shipped_configs, to_yaml
from clarify_rl.errors import ConfigError, RunFolderError


def written(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", shipped_configs())
def test_a_shipped_configuration_loads_and_opens_with_its_command(name: str) -> None:
    text = (Path(__file__).parents[2] / "configs" / f"{name}.yaml").read_text(encoding="utf-8")
    assert isinstance(load_config(name), Config)
    assert text.startswith("# ")
    assert "clarify-rl " in text.splitlines()[0]


def test_the_command_line_wins_over_options_over_the_file_over_base(tmp_path: Path) -> None:
    file = written(tmp_path, "name: file\nseed: 1\ndialogue: {turn_tokens: 7}\n")
    config = load_config(file, ["seed=3"], options={"name": "options", "seed": 2})
    assert (config.name, config.seed, config.dialogue.turn_tokens) == ("options", 3, 7)
    assert [item.use for item in config.rewards][:1] == ["pass_rate"]


def test_options_may_hold_dots_and_colons(tmp_path: Path) -> None:
    options = {"eval": {"models": {"qwen2.5": "a/b"}}, "dialogue": {"instruction": "Code: or ask?"}}
    config = load_config(None, options=options)
    assert config.eval.models == {"qwen2.5": "a/b"}
    assert config.dialogue.instruction == "Code: or ask?"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sed=1", "Did you mean 'seed'?"),
        ("rl.trainr.max_steps=2", "Unknown key 'rl.trainr'. Did you mean 'trainer'?"),
        ("eval.suites.new_families.family=unseen", "Did you mean 'families'?"),
        ("seed=-1", "seed: Input should be greater than or equal to 0 (found -1)."),
        ("seed", "'seed' is not key=value"),
        ("name=${nothing}", "Cannot put the configuration together"),
        ("rewards.0.weight=2", "A list is changed as a whole, e.g. 'rewards=[{use: pass_rate, weight: 1.0}]'"),
        ("rl.health.stop_on=kl", "rl.health.stop_on: Input should be a list (found 'kl')."),
        ("out=runs/{nam}", "out: the only placeholder is {name}"),
        ("data.rl.missing.0=1", "data.rl.missing.0: Input should be greater than or equal to 1"),
        (
            "eval.suites.mine.defects={ambiguous: 0, incomplete: 0, inconsistent: 0}",
            "eval.suites.mine.defects: give one of these a weight above 0",
        ),
        ("rl.lora=continu", "rl.lora: Input should be 'continue' (found 'continu')."),
    ],
)
def test_a_wrong_override_says_what_to_type(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("demo", [override])
    assert message in str(caught.value)


def test_an_unknown_configuration_names_those_that_ship() -> None:
    with pytest.raises(ConfigError, match=r"one that ships \(.*demo.*\)\. Did you mean 'demo'\?"):
        load_config("demmo")


def test_broken_yaml_names_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, "seed: [1")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(file)


def test_a_file_that_holds_no_mapping_is_refused(tmp_path: Path) -> None:
    for text in ("- seed", "5", "seed"):
        with pytest.raises(ConfigError, match="a configuration is a mapping such as"):
            load_config(written(tmp_path, text))
    assert load_config(written(tmp_path, "# only a comment\n")) == load_config(None)


def test_a_file_and_the_command_line_read_numbers_alike(tmp_path: Path) -> None:
    file = written(tmp_path, "rl: {trainer: {learning_rate: 1e-3}}\n")
    config = load_config(file)
    assert config.rl is not None
    assert config.rl.trainer["learning_rate"] == 0.001
    assert config == load_config(None, ["rl.trainer.learning_rate=1e-3"])


def test_settings_that_do_not_fit_each_other_are_named_without_the_whole_configuration() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("demo", ["rl.lora=continue"])
    assert str(caught.value) == (
        "rl.lora=continue needs an adapter of SFT to go on with. Set sft.lora, e.g. sft.lora.r=16"
    )


def test_differences_name_each_setting_with_both_values() -> None:
    before = load_config("demo", ["rl.trainer.max_steps=3"])
    after = load_config("demo", ["seed=2", "sft=null"])
    found = differences(to_yaml(before), to_yaml(after))
    assert "seed: 0, now 2" in found
    assert "rl.trainer.max_steps: 3, now 80" in found
    assert "sft: not set, now None" in found
    assert differences(to_yaml(before), to_yaml(before)) == []


def test_an_option_that_came_with_a_newer_version_is_no_difference_at_its_default() -> None:
    now = load_config("demo", [])
    older = yaml.safe_load(to_yaml(now))
    del older["data"]["seldom_share"], older["rl"]["groups"]
    assert differences(yaml.safe_dump(older), to_yaml(now)) == []
    changed = load_config("demo", ["data.seldom_share=0.2"])
    assert differences(yaml.safe_dump(older), to_yaml(changed)) == ["data.seldom_share: 0.1, now 0.2"]
    older["data"]["gone"] = 1
    assert "data.gone: 1, now not set" in differences(yaml.safe_dump(older), to_yaml(now))


def test_a_family_has_one_role(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'clock'"):
        load_config(None, ["data.demonstrated=[clock]", "data.held_out=[clock]"])


def test_a_stage_can_be_left_out() -> None:
    config = load_config("demo", ["sft=null", "rl=null"])
    assert (config.sft, config.rl) == (None, None)


def test_the_saved_configuration_is_the_resolved_one(tmp_path: Path) -> None:
    config = load_config("demo", ["seed=5", "sft=null"])
    (tmp_path / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    assert saved_config(tmp_path) == config
    assert to_yaml(saved_config(tmp_path)) == to_yaml(config) == to_yaml(load_config(str(tmp_path / "config.yaml")))


def test_a_folder_without_a_run_is_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="holds no run"):
        saved_config(tmp_path)


def test_workers_are_a_number_or_a_range(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("env: {workers: 16}")
    assert load_config(str(file)).env.workers == 16
    assert load_config(str(file), ["env.workers=0"]).env.workers == 0
    found = load_config(str(file), ["env.workers={min: 2, max: 64}"]).env.workers
    assert found == WorkersConfig(min=2, max=64)
    assert load_config(str(file), ["env.workers.max=64"]).env.workers == WorkersConfig(min=1, max=64)


@pytest.mark.parametrize(
    ("workers", "message"),
    [
        ("-1", "greater than or equal to 0"),
        ("many", "valid integer"),
        ("{min: 3, max: 2}", r"min \(3\) is above max \(2\)"),
        ("{max: 2, least: 1}", "Did you mean 'min'|Known here"),
    ],
)
def test_wrong_workers_are_explained(workers: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, [f"env.workers={workers}"])


@pytest.mark.parametrize(
    "overrides",
    [
        ["engine=hf", "engine.options.enforce_eager=true"],
        ["engine.options.enforce_eager=true", "engine=hf"],
    ],
)
def test_a_word_for_a_section_and_its_other_keys_do_not_take_each_others_place(overrides: list[str]) -> None:
    engine = load_config("demo", overrides).engine
    assert (engine.use, engine.options) == ("hf", {"enforce_eager": True})


def test_the_word_for_a_section_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("rl: {credit: turn}\nengine: vllm\n")
    made = load_config(str(tmp_path / "mine.yaml"), ["rl.credit.outcome=0.2", "engine.options.seed=1"])
    assert made.rl is not None
    assert (made.rl.credit.by, made.rl.credit.outcome) == ("turn", 0.2)
    assert (made.engine.use, made.engine.options) == ("vllm", {"seed": 1})
