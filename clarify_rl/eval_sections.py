"""The `eval` section of a configuration and its parts: suites, and the circumstances that each is played under."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator, model_validator

from clarify_rl.sections import MixConfig, Options, Section

SILENT, TOLD = "silent", "told"


class SuiteConfig(MixConfig):
    """Variants to evaluate on: of the bank (`families`: trained, held_out or unseen), of a named source, or
    HumanEvalComm (its file, or its name on the hub). `split` whole: all of a named source, in its order, up to `count`.
    """

    source: str = "bank"
    families: Literal["trained", "held_out", "unseen"] = "trained"
    split: Literal["dev", "test", "whole"] = "test"  # tune on dev, report on test
    draw: int = 0  # another number draws other variants of the same mixture
    samples: int = Field(1, ge=1)  # episodes of each variant, for pass@k
    temperature: float | None = Field(None, ge=0.0)  # by default eval.temperature
    price: float | None = None  # of a question, as the prompt says it; by default each of dialogue.prices, in turn
    max_questions: int | None = Field(None, ge=0)  # by default dialogue.max_questions
    told: bool = False  # the complete statement in place of the variant's: what asking could win at most
    user: str = ""  # one of eval.users, or silent; by default env.user

    @model_validator(mode="after")
    def _the_bank_has_no_whole(self) -> SuiteConfig:
        if self.split == "whole" and self.source == "bank":
            raise ValueError("split: whole takes all of a named source; the bank draws without end. Take dev or test")
        return self


class UserConfig(Section):
    """A user as `env.user` and `env.user_options` name one."""

    use: str
    options: Options = {}


class ServerConfig(Section):
    """How models behind a server are asked (`eval.models: {name: openai:http://127.0.0.1:8000/v1#model}`).

    `parallel` requests are under way at once; one that cannot be made, or is answered with 429 or 5xx, is made again up
    to `retries` times. The key is read from the environment variable `api_key_env`. `options` goes into each request,
    untouched; a null takes a field out, e.g. {max_tokens: null, max_completion_tokens: 256}. `json_schema`: replies
    that must be JSON are held to a schema (response_format); false for a server that refuses it.
    """

    parallel: int = Field(16, ge=1)
    timeout_s: float = Field(120.0, gt=0.0)
    retries: int = Field(4, ge=0)
    api_key_env: str = "OPENAI_API_KEY"
    options: Options = {}
    json_schema: bool = True


class EvalConfig(Section):
    """`temperature` 0 is greedy. `batch_size` episodes run at once.

    `also`: each suite again, NAME@silent with a user who tells nothing, NAME@told with the complete statement; the
    comparison then says what asking was worth, and what all answers would be. `users`: each suite again with another
    user, NAME@USER, e.g. one that training never met. `models` maps names to models that are evaluated in place of the
    run's own checkpoints: what `model.base` may be, openai:URL#MODEL for one behind a server, or a policy that knows
    the problems, scripted:oracle, scripted:always_asks, scripted:never_asks, ... (pipeline/canaries.py). `cache`: a
    folder in which finished suites are kept for other runs, and looked for.
    """

    suites: dict[str, SuiteConfig] = {}
    also: tuple[Literal["silent", "told"], ...] = ()
    users: dict[str, UserConfig] = {}
    models: dict[str, str] = {}
    server: ServerConfig = ServerConfig()
    temperature: float = Field(0.0, ge=0.0)
    batch_size: int = Field(128, ge=1)
    cache: str = ""

    @model_validator(mode="after")
    def _samples_differ(self) -> EvalConfig:
        for name, suite in self.suites.items():
            if suite.samples > 1 and not self.temperature_of(suite):
                raise ValueError(
                    f"{name}: {suite.samples} samples at temperature 0 would all be the same. Set "
                    f"eval.suites.{name}.temperature, e.g. 0.8"
                )
        return self

    def temperature_of(self, suite: SuiteConfig) -> float:
        return self.temperature if suite.temperature is None else suite.temperature

    @field_validator("suites", "users")
    @classmethod
    def _names_are_whole(cls, named: dict[str, object]) -> dict[str, object]:
        for name in named:
            if "@" in name or name in (SILENT, TOLD):
                raise ValueError(f"{name!r} is taken: NAME@silent, NAME@told and NAME@USER are made of these names")
        return named


def suites_of(section: EvalConfig, prices: Sequence[float]) -> dict[str, SuiteConfig]:
    """Every suite by the name it is played under: its own, then NAME@silent, NAME@told and NAME@USER.

    Where prices are said, in place of its own name there is one for each, NAME@PRICE.
    """
    played: dict[str, SuiteConfig] = {}
    for name, suite in section.suites.items():
        said = prices if suite.price is None else ()
        played |= {f"{name}@{price:g}": suite.model_copy(update={"price": price}) for price in said}
        if not said:
            played[name] = suite
        if SILENT in section.also:
            played[f"{name}@{SILENT}"] = suite.model_copy(update={"user": SILENT})
        if TOLD in section.also:
            played[f"{name}@{TOLD}"] = suite.model_copy(update={"told": True, "max_questions": 0})
        played |= {f"{name}@{user}": suite.model_copy(update={"user": user}) for user in section.users}
    return played
