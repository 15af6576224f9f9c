"""check env: an environment that keeps its contract passes, and each way to break it is told in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from clarify_rl.cli import main
from clarify_rl.config import Config
from clarify_rl.config_files import load_config
from clarify_rl.pipeline.check_env import REFERENCE, check_env
from tests.dialogues import CLEAR, UNCLEAR

ENVS = """
import itertools
from dataclasses import dataclass
from clarify_rl.envs.ask_or_code import AskOrCode
from clarify_rl.types import Answer, Execution, Response, ReplyKind, Stop, Verdict

COUNT = itertools.count()

class Odd(AskOrCode):
    def respond(self, exchange):
        return self.change(exchange, super().respond(exchange))

class Forgetful(Odd):
    def change(self, exchange, response):
        return Response(answer=Answer(f"You are number {next(COUNT)}.")) if response.answer else response

class NeverEnds(Odd):
    def change(self, exchange, response):
        return Response(answer=Answer("Go on.")) if response.stop is Stop.NO_CODE or exchange.reply.code else response

class Generous(Odd):
    def change(self, exchange, response):
        ran = response.execution
        return Response(execution=Execution(Verdict.PASS, 1, 1), stop=Stop.CODE) if ran else response

class Strict(Odd):
    def change(self, exchange, response):
        ran = response.execution
        return Response(execution=Execution(Verdict.WRONG, 0, 1), stop=Stop.CODE) if ran else response

class Raises(Odd):
    def change(self, exchange, response):
        return {}[exchange.reply.kind]

class Nothing(Odd):
    def change(self, exchange, response):
        return None

class Sealed(Odd):
    def change(self, exchange, response):
        class Mine(Response):
            pass
        return Mine(stop=response.stop or Stop.MALFORMED)
"""


def config(*overrides: str) -> Config:
    return load_config("demo", ["executor.cpu_s=0.3", *overrides])


def test_the_shipped_environment_keeps_its_contract_and_says_what_came_of_each_reply() -> None:
    report = check_env(config(), [UNCLEAR, CLEAR])
    assert report.troubles == ()
    came = {item.reply: item.came for item in report.tried}
    assert came[REFERENCE] == ("code: pass",)
    assert came["a question"] == ("answers (revealed)", "answers (none)")
    assert came["code that never ends"] == ("code: cpu_timeout",)
    assert came["prose"] == came["nothing"] == came["cut off"] == ("malformed",)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Forgetful", "asked the same a second time, it says something else"),
        ("NeverEnds", "it answers a question on the last turn"),
        ("NeverEnds", "code does not end the episode"),
        ("Generous", "code that returns an object of no kind passes"),
        ("Strict", "the reference does not pass its hidden tests"),
        ("Raises", "it raises KeyError"),
        ("Nothing", "Nothing returned a NoneType, not a Response"),
        ("Sealed", "it raises"),
    ],
)
def test_each_way_to_break_the_contract_is_told_in_a_sentence(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "odd.py").write_text(ENVS)
    report = check_env(config(f"env.use={tmp_path}/odd.py:{name}"), [UNCLEAR])
    assert any(says in trouble and "(first in " in trouble for trouble in report.troubles), report.troubles


def test_the_command_exits_with_1_where_something_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "odd.py").write_text(ENVS)
    assert main(["check", "env", "executor.cpu_s=0.3", "--count", "2"]) == 0
    assert "It keeps its contract." in capsys.readouterr().out
    assert main(["check", "env", f"{tmp_path}/odd.py:Strict", "executor.cpu_s=0.3", "--count", "2"]) == 1
    assert "does not pass" in capsys.readouterr().out
