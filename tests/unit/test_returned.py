"""What plugins return: each slip is one sentence with the plugin and the field, and costs its own episode only."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clarify_rl.pool import LocalPool, RewardSpec
from clarify_rl.store import Run
from clarify_rl.types import Episode, Score
from tests.dialogues import ASK, CLEAR, DESC, SPEC, UNCLEAR, play

USERS = """
from clarify_rl import Answer, Heard, Outcome

def made(**fields):
    class User:
        def answer(self, variant, questions, turns, seed):
            self.fact = variant.facts[0].id if variant.facts else ""
            return Answer(**{name: value(self) if callable(value) else value for name, value in fields.items()})
    return User

NoText = made(text=None)
NoComma = made(text="x", heard=lambda self: (Heard(Outcome.REVEALED, (self.fact)),))
Bare = made(text="x", heard=(Outcome.NONE,))
TooMany = made(text="x", heard=(Heard(Outcome.NONE), Heard(Outcome.NONE)))
Text = made(text="x", heard=(Heard("revealed", ("order",)),))
Nothing = made(text="x", heard=(Heard(Outcome.REVEALED),))
Untold = made(text="x", heard=(Heard(Outcome.BROAD, ("order",)),))
Stranger = made(text="x", heard=(Heard(Outcome.REVEALED, ("nobody",)),))
Numbers = made(text="x", heard=(Heard(Outcome.REVEALED, (1,)),))
Gossip = made(text="x", volunteered=("nobody",))
Good = made(text="x", heard=lambda self: (Heard(Outcome.REVEALED, (self.fact,)),) if self.fact else ())

class Raises:
    def answer(self, variant, questions, turns, seed):
        return {}["missing"]

class Answers:
    def answer(self, variant, questions, turns, seed):
        return "Descending."
"""
REWARDS = """
from clarify_rl import Rating, Score

def an_error(episode): return Rating(0.0, why=ValueError("x"))
def some_turns(episode): return Rating(0.0, by_turn="last")
def more_turns(episode): return Rating.of_turns((1, 1, 1))
def other_turns(episode): return Rating(3.0, by_turn=(1, 1))
def turns(episode): return Rating.of_turns((1, -2), "two")
def a_text(episode): return "0.5"
def a_score(episode): return Score("mine", 1.0)
def too_large(episode): return Rating(1e39, why="10 ** 39")
def not_a_number(episode): return float("nan")
def nobody_knows(episode): return None
def yes(episode): return True
def number(episode): return 0.25
def rated(episode): return Rating(0.5, "half")

def raises(episode):
    numbers = [1]
    return numbers[2]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "users.py").write_text(USERS, encoding="utf-8")
    (tmp_path / "rewards.py").write_text(REWARDS, encoding="utf-8")
    return tmp_path


def played(folder: Path, user: str) -> list[Episode]:
    """An episode that asks, and one that does not, with this user."""
    options = {**SPEC.env_options, "user": f"{folder}/users.py:{user}"}
    with closing(LocalPool(replace(SPEC, env_options=options))) as pool:
        return play((UNCLEAR, [ASK, DESC]), (CLEAR, [DESC]), pool=pool)


@pytest.mark.parametrize(
    ("user", "says"),
    [
        ("NoText", "users.py:NoText: Answer.text must be str, found None"),
        (
            "NoComma",
            "Heard.facts must be a tuple of fact ids, found 'order'. A tuple of one has a comma: (fact.id,)",
        ),
        ("Bare", "Answer.heard must be a tuple of Heard, found <Outcome.NONE: 'none'>"),
        ("TooMany", "Answer.heard has 2 entries for 1 questions"),
        ("Text", "Heard.outcome must be Outcome, found 'revealed'"),
        ("Nothing", "Heard with the outcome revealed names no fact"),
        ("Untold", "Heard with the outcome broad names the facts order, which it cannot tell"),
        ("Stranger", "Heard.facts names 'nobody', which is no fact of p/desc/order; its facts are order"),
        ("Numbers", "Heard.facts must be a tuple of fact ids, found (1,)"),
        ("Gossip", "Answer.volunteered names 'nobody', which is no fact of p/desc/order; its facts are order"),
        ("Answers", "users.py:Answers answered with a str, not an Answer"),
        ("Raises", "raised KeyError: 'missing' ("),
    ],
)
def test_a_slip_of_a_user_is_one_sentence_with_the_field(folder: Path, user: str, says: str) -> None:
    asked, other = played(folder, user)
    assert asked.masked and says in asked.failure, asked.failure
    assert "\n" not in asked.failure
    assert other.reward == 1.0


def test_what_a_user_raises_is_named_with_its_line(folder: Path) -> None:
    line = USERS.splitlines().index('        return {}["missing"]') + 1
    assert f"({folder}/users.py:{line})" in played(folder, "Raises")[0].failure


def test_a_user_without_a_slip_reveals_what_it_says(folder: Path) -> None:
    asked, _ = played(folder, "Good")
    assert (asked.failure, asked.revealed) == ("", ("order",))


@pytest.fixture(scope="module")
def episode() -> Episode:
    return play((UNCLEAR, [ASK, DESC]))[0]


def score(folder: Path, episode: Episode, name: str) -> Score:
    rewards = (RewardSpec(f"{folder}/rewards.py:{name}", 0.5), RewardSpec("pass_rate"))
    with closing(LocalPool(replace(SPEC, rewards=rewards))) as pool:
        ((odd, pass_rate),) = pool.score([episode])
    assert pass_rate.value == 1.0
    return odd


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("an_error", "rewards.py:an_error: Rating.why must be str, found ValueError('x')"),
        ("some_turns", "rewards.py:some_turns: Rating.by_turn must be a tuple of numbers, found 'last'"),
        ("more_turns", "rewards.py:more_turns: Rating.by_turn has 3 numbers for 2 turns"),
        ("other_turns", "rewards.py:other_turns: Rating.by_turn sums up to 2, but the value is 3"),
        ("a_text", "rewards.py:a_text returned a str, '0.5', not a number, None or a Rating"),
        ("a_score", "rewards.py:a_score returned a Score"),
        ("too_large", "rewards.py:too_large returned 1e+39, which is not a finite number in float32. 10 ** 39"),
        ("not_a_number", "returned nan, which is not a finite number"),
        ("raises", "rewards.py:raises raised IndexError: list index out of range ("),
    ],
)
def test_a_slip_of_a_reward_is_one_sentence_and_masks_the_episode(
    folder: Path, episode: Episode, name: str, says: str
) -> None:
    odd = score(folder, episode, name)
    assert odd.value is None and says in odd.why, odd.why
    assert replace(episode, scores=(odd,)).masked


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nobody_knows", (None, "", ())),
        ("yes", (1.0, "", ())),
        ("number", (0.25, "", ())),
        ("rated", (0.5, "half", ())),
        ("turns", (-1.0, "two", (1.0, -2.0))),
    ],
)
def test_a_reward_returns_a_number_none_or_a_rating_and_the_record_is_ours(
    folder: Path, episode: Episode, name: str, expected: tuple[Any, ...]
) -> None:
    odd = score(folder, episode, name)
    assert (odd.name, odd.weight) == (name, 0.5)
    assert (odd.value, odd.why, odd.by_turn) == expected


def test_whatever_a_reward_returns_its_episode_can_be_written(folder: Path, episode: Episode, tmp_path: Path) -> None:
    rated = [replace(episode, scores=(score(folder, episode, name),)) for name in ("an_error", "turns", "raises")]
    with Run.create(tmp_path / "run", "seed: 0\n", ["pytest"]) as run:
        run.add_episodes("rl", rated)
        assert run.read_episodes("rl", [UNCLEAR]) == rated


def test_a_reward_that_hangs_in_this_process_costs_its_own_episode_only(folder: Path, episode: Episode) -> None:
    text = "import time\ndef slow(episode):\n    if episode.id == 'e1': time.sleep(3600)\n    return 1.0\n"
    (folder / "slow.py").write_text(text, encoding="utf-8")
    spec = replace(SPEC, rewards=(RewardSpec(f"{folder}/slow.py:slow"),))
    with closing(LocalPool(spec, deadline_s=2.0)) as pool:
        scores = pool.score([replace(episode, id=f"e{n}") for n in range(4)])
    assert [score.value for (score,) in scores] == [1.0, None, 1.0, 1.0]
    assert scores[1][0].why == f"rewards {folder}/slow.py:slow gave no answer in 2 s for episode e1"


def test_a_plugin_may_import_a_module_beside_it(folder: Path, episode: Episode) -> None:
    (folder / "beside_rewards.py").write_text("HALF = 0.5\n", encoding="utf-8")
    text = "from beside_rewards import HALF\ndef half(episode):\n    import beside_rewards\n"
    text += "    return beside_rewards.HALF\n"
    (folder / "rewards.py").write_text(text, encoding="utf-8")
    assert score(folder, episode, "half").value == 0.5


def test_a_reward_that_always_hangs_is_given_up_after_a_few_deadlines(folder: Path, episode: Episode) -> None:
    """It notes each call: three that were late, and none for the other nine."""
    text = (
        f"import time\nfrom pathlib import Path\ndef slow(episode):\n    Path({str(folder)!r}, episode.id).touch()\n"
        "    time.sleep(3600)\n"
    )
    (folder / "always.py").write_text(text, encoding="utf-8")
    spec = replace(SPEC, rewards=(RewardSpec(f"{folder}/always.py:slow"),))
    with closing(LocalPool(spec, deadline_s=0.3)) as pool:
        scores = pool.score([replace(episode, id=f"e{n}") for n in range(12)])
    assert all(score.value is None and "gave no answer in 0.3 s" in score.why for (score,) in scores)
    assert sorted(path.name for path in folder.glob("e*[0-9]")) == ["e0", "e1", "e2"]
