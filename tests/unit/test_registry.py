"""How plugins are found: by name, by module, by file."""

from pathlib import Path

import pytest

from clarify_rl.errors import ConfigError
from clarify_rl.registry import load_env, load_reward, load_user
from clarify_rl.types import Episode, Problem, Reply, ReplyKind, Stop, Tests, Turn, Variant

CONSTANT = "from clarify_rl import reward\n\n@reward({name!r})\ndef constant(episode):\n    return {value}\n"
BREVITY = """
from dataclasses import dataclass
from clarify_rl import reward

@reward("written_for_a_test")
@dataclass(frozen=True)
class Brevity:
    max_turns: int = 6

    def __call__(self, episode):
        return max(0.0, 1 - len(episode.turns) / self.max_turns)
"""


@pytest.fixture
def episode() -> Episode:
    problem = Problem("p", "Add.", "add", Tests(()), "", "test")
    turn = Turn(Reply("?", ReplyKind.QUESTION, ("Which?",)))
    return Episode("e", Variant("v", problem, "Add."), seed=0, turns=(turn,), stop=Stop.BUDGET)


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_shipped_reward_loads_by_its_name() -> None:
    assert load_reward("pass_rate", {}).__module__ == "clarify_rl.rewards.pass_rate"


def test_a_shipped_user_loads_by_its_name() -> None:
    assert type(load_user("rule_based", {})).__module__ == "clarify_rl.envs.rule_based_user"


def test_a_reward_loads_from_a_file(tmp_path: Path, episode: Episode) -> None:
    file = _write(tmp_path / "mine.py", CONSTANT.format(name="mine", value=0.25))
    assert load_reward(f"{file}:constant", {})(episode) == 0.25


def test_a_file_is_looked_for_in_the_current_folder(
    tmp_path: Path, episode: Episode, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path / "mine.py", CONSTANT.format(name="mine", value=0.5))
    monkeypatch.chdir(tmp_path)
    assert load_reward("mine.py:constant", {})(episode) == 0.5


def test_a_reward_loads_from_a_module_and_its_name(
    tmp_path: Path, episode: Episode, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "a_package_of_the_user"
    package.mkdir()
    _write(package / "__init__.py", "")
    _write(package / "rewards.py", CONSTANT.format(name="theirs", value=0.75))
    monkeypatch.syspath_prepend(tmp_path)
    assert load_reward("a_package_of_the_user.rewards:constant", {})(episode) == 0.75


def test_an_edited_file_is_a_new_module(tmp_path: Path, episode: Episode) -> None:
    file = _write(tmp_path / "edited.py", CONSTANT.format(name="edited", value=1))
    before = load_reward(f"{file}:constant", {})
    _write(file, CONSTANT.format(name="edited", value=2))
    after = load_reward(f"{file}:constant", {})
    assert (before(episode), after(episode)) == (1, 2)


def test_an_unchanged_file_is_loaded_once(tmp_path: Path) -> None:
    file = _write(tmp_path / "same.py", CONSTANT.format(name="same", value=1))
    assert load_reward(f"{file}:constant", {}) is load_reward(f"{file}:constant", {})


def test_a_file_that_fails_leaves_no_half_loaded_module(tmp_path: Path) -> None:
    file = _write(tmp_path / "broken.py", "half = 1\nraise RuntimeError('a bug in the plugin')\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match="a bug in the plugin"):
            load_reward(f"{file}:half", {})


def test_a_file_that_cannot_be_imported_is_a_mistake_shown_by_its_own_lines(tmp_path: Path) -> None:
    file = _write(tmp_path / "typo.py", "from clarify_rl import reward\n\ndef constant(episode)\n    return 1\n")
    with pytest.raises(ConfigError, match=r"typo.py cannot be imported") as caught:
        load_reward(f"{file}:constant", {})
    assert 'typo.py", line 3' in str(caught.value)
    file = _write(tmp_path / "lacks.py", "def load():\n    import no_such_package\n\nload()\n")
    with pytest.raises(ConfigError, match="No module named 'no_such_package'") as caught:
        load_reward(f"{file}:constant", {})
    lines = str(caught.value).splitlines()
    assert [line.partition(",")[2].strip() for line in lines if "File " in line] == [
        "line 4, in <module>",
        "line 2, in load",
    ]


def test_a_file_without_a_name_in_it_says_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mine\.py:NAME"):
        load_reward("mine.py", {})


def test_options_become_the_fields_of_a_class(tmp_path: Path, episode: Episode) -> None:
    file = _write(tmp_path / "brevity.py", BREVITY)
    assert load_reward(f"{file}:Brevity", {"max_turns": 2})(episode) == 0.5


def test_an_option_that_a_class_does_not_have_is_refused_by_name(tmp_path: Path) -> None:
    file = _write(tmp_path / "brevity.py", BREVITY)
    with pytest.raises(ConfigError, match="max_turn'"):
        load_reward(f"{file}:Brevity", {"max_turn": 2})


def test_options_to_a_plain_function_are_refused(tmp_path: Path) -> None:
    file = _write(tmp_path / "mine.py", CONSTANT.format(name="mine", value=1))
    with pytest.raises(ConfigError, match=r"plain function.*\['scale'\].*dataclass"):
        load_reward(f"{file}:constant", {"scale": 2})


def test_a_plugin_without_the_method_that_it_needs_is_refused(tmp_path: Path) -> None:
    file = _write(tmp_path / "reply.py", "class Wrong:\n    def reply(self):\n        pass\n\nMOST = 3\n")
    for load, method in ((load_user, "answer"), (load_env, "respond"), (load_reward, "__call__")):
        with pytest.raises(ConfigError, match=rf"has no method {method}\(.*See \w+ in clarify_rl/types.py"):
            load(f"{file}:Wrong", {})
    with pytest.raises(ConfigError, match="is of type int"):
        load_reward(f"{file}:MOST", {})


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'pas_rate'.*Did you mean 'pass_rate'\?"):
        load_reward("pas_rate", {})


def test_an_unknown_name_in_a_file_suggests_the_nearest(tmp_path: Path) -> None:
    file = _write(tmp_path / "mine.py", CONSTANT.format(name="mine", value=1))
    with pytest.raises(ConfigError, match=r"'constent'.*Did you mean 'constant'\?"):
        load_reward(f"{file}:constent", {})


def test_a_reward_is_not_found_as_an_env() -> None:
    with pytest.raises(ConfigError, match="pass_rate"):
        load_env("pass_rate", {})


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=tmp_path.name):
        load_reward("nowhere.py:constant", {})


def test_a_module_that_does_not_exist_is_a_user_mistake() -> None:
    with pytest.raises(ConfigError, match=r"No module 'no_such_package\.rewards'"):
        load_reward("no_such_package.rewards:brevity", {})
