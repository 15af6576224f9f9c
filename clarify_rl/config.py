"""The typed configuration of a run: one class a section, each field with its default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from clarify_rl.eval_sections import EvalConfig, SuiteConfig, suites_of
from clarify_rl.registry import short_name
from clarify_rl.rl_sections import RLSection
from clarify_rl.sections import CONTINUE, Lora, MixConfig, Options, Section, Share, Weight

StageName = Literal["data", "sft", "rl"]


class ModelConfig(Section):
    """`base` is `embedded`, a Hugging Face folder, an adapter's folder, a hub name, or a .gguf file.

    `dtype: auto` is float32 on a CPU. On a GPU it is what each use wants: float32 weights under bfloat16 autocast where
    all of them are trained, bfloat16 below an adapter, whose own weights stay float32, and for evaluation. All weights
    are trained in half precision only with `train_in_half`: AdamW's small updates are lost in its rounding.
    `quantization` goes to transformers' BitsAndBytesConfig, untouched, and holds for every model that a run loads. It
    needs a GPU, and an adapter to train; what a run saves is not quantised. `attn_implementation` is transformers' too:
    sdpa, eager, flash_attention_2, ...; null leaves the choice to transformers. --resume may change it.
    """

    base: str = "embedded"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    train_in_half: bool = False
    device: str = "auto"
    quantization: Options | None = None
    attn_implementation: str | None = None


class EngineConfig(Section):
    """What generates, in RL, held-out evaluation and evaluation alike. `engine=vllm` is short for `engine.use=vllm`.

    `hf` is our own loop on the model as transformers holds it, `vllm` is vLLM in this process, and `auto` is vLLM where
    it is installed and there is a GPU. `options` go to vLLM's LLM, untouched, e.g. {enforce_eager: true} for a start in
    seconds. In RL, TRL's rl.trainer.vllm_* come before them. `stream`: where the engine takes more while it samples, an
    episode's next reply is sampled as soon as its user has answered; without, when all have. --resume may change it.
    """

    use: Literal["auto", "hf", "vllm"] = "auto"
    stream: bool = True
    options: Options = {}


class PartConfig(MixConfig):
    """`sources` are shares of problems: of the bank, and of those that the configuration names under `sources`."""

    sources: dict[str, Weight] = {"bank": 1.0}


class SourceConfig(Section):
    """Problems beside the bank. `use` names a source: rows, mbpp, leetcode, apps, made, or path/to/file.py:name."""

    use: str
    options: Options = {}


class DataConfig(Section):
    """Families of the bank by what they serve for.

    `demonstrated` ones have SFT dialogues that clarify, `seldom` ones few: together they are `seldom_share` of those
    dialogues. `tests_only` ones (left out: all that remain; []: none) have tests for RL and only clear-to-code examples
    for SFT; `held_out` ones are never trained on; `unseen` ones neither, and the embedded base model never saw them.
    `rl_dev` is made where `rl.evaluation.every` asks for it.
    """

    demonstrated: tuple[str, ...] = ()
    seldom: tuple[str, ...] = ()
    seldom_share: Share = 0.1
    tests_only: tuple[str, ...] | None = None
    held_out: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    sft: PartConfig = PartConfig(count=2000, clear_share=0.5)
    sft_dev: PartConfig = PartConfig(count=200, clear_share=0.5)
    rl: PartConfig = PartConfig(count=2000, clear_share=0.25)
    rl_dev: PartConfig = PartConfig(count=100, clear_share=0.25)


class DialogueConfig(Section):
    """Budgets in tokens; `instruction` stands before each problem, or around it where it says {problem}, and
    `last_call` behind the last answer of the user.

    `prices`: what a question costs, drawn anew for each episode (each group, in RL) and said behind the problem in the
    words of `price_note`. The reward question_cost with `as_said: true` asks for it, and each suite is played at each.
    """

    max_questions: int = Field(3, ge=0)
    turn_tokens: int = Field(128, ge=1)
    total_tokens: int = Field(512, ge=1)
    instruction: str = ""
    last_call: str = ""
    prices: tuple[Annotated[float, Field(ge=0.0)], ...] = ()
    price_note: str = "A question costs {price} points."

    @field_validator("price_note")
    @classmethod
    def _names_the_price(cls, note: str) -> str:
        if "{price}" not in note:
            raise ValueError("say where the price stands, by {price}")
        return note

    @model_validator(mode="after")
    def _a_turn_fits(self) -> DialogueConfig:
        if self.turn_tokens > self.total_tokens:
            raise ValueError(
                f"turn_tokens={self.turn_tokens} is more than total_tokens={self.total_tokens}, which holds all turns "
                "and the user's answers. Raise total_tokens, or take a smaller turn_tokens."
            )
        return self


class ExecutorConfig(Section):
    """What one program may use and find; see clarify_rl/executor. CPU seconds decide, wall seconds are the backstop.

    `files_mb` is the size of a private /tmp, `python` an interpreter of another environment, `packages` makes its
    packages readable, `preload` imports some once for all. `servers`: programs at a time, by default by the processors.
    """

    cpu_s: float = 2.0
    wall_s: float = 60.0
    idle_s: float = 5.0
    memory_mb: int = 512
    output_mb: int = 4
    files_mb: int = 0
    threads: int = 16
    servers: int | None = None
    python: str = ""
    packages: bool = False
    preload: tuple[str, ...] = ()
    allow_weak: bool = False  # tier C: programs can read and change files of this user
    unsafe: bool = False  # tier D: for trusted programs only


class WorkersConfig(Section):
    """`min` environment workers are kept; up to `max` while episodes wait and Ray has room."""

    min: int = Field(1, ge=1)
    max: int = Field(ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> WorkersConfig:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is above max ({self.max})")
        return self

    def __str__(self) -> str:
        return f"{self.min} to {self.max}"


class EnvConfig(Section):
    """`workers` 0 runs the environments in this process; otherwise that many Ray actors do, or {min: 2, max: 64}.

    `worker_resources` is what each of them asks Ray for, in Ray's names: CPU, memory (bytes), or your cluster's own.
    `deadline_s`: how long the rewards may take for one episode, and on Ray an environment for one reply.
    """

    use: str = "ask_or_code"
    options: Options = {}
    user: str = "rule_based"
    user_options: Options = {}
    workers: Annotated[
        Annotated[int, Field(ge=0), Tag("number")] | Annotated[WorkersConfig, Tag("range")],
        Discriminator(lambda value: "range" if isinstance(value, Mapping | WorkersConfig) else "number"),
    ] = 0
    worker_resources: dict[str, Annotated[float, Field(ge=0.0)]] = {"CPU": 0.25}
    deadline_s: float = Field(120.0, gt=0.0)
    max_failed_share: Share = 0.1

    @property
    def most_workers(self) -> int:
        return self.workers if isinstance(self.workers, int) else self.workers.max


Kind = Literal["clear", "unclear", "ambiguous", "incomplete", "inconsistent"]


class RewardConfig(Section):
    """`use` names a reward: a name, package.module:name, or path/to/file.py:name.

    `clip`: the lowest and the highest value that counts, either may be null. `only`: the kind of problems that it is
    asked about. `schedule` maps steps of RL to factors of the weight, with straight lines between them: {0: 1, 100: 0}
    fades it out. What is evaluated has the weight itself. A weight of 0 is logged, and not trained on.
    """

    use: str
    weight: float = 1.0
    options: Options = {}
    clip: tuple[float | None, float | None] | None = None
    only: Kind | None = None
    schedule: dict[Annotated[int, Field(ge=0)], float] = {}

    @field_validator("clip")
    @classmethod
    def _in_order(cls, clip: tuple[float | None, float | None] | None) -> tuple[float | None, float | None] | None:
        if clip and None not in clip and clip[0] > clip[1]:  # type: ignore[operator]  # neither is None
            raise ValueError(f"the lowest value, {clip[0]}, is above the highest, {clip[1]}")
        return clip

    @property
    def name(self) -> str:
        return short_name(self.use)


class SFTSection(Section):
    """`trainer` goes to TRL's SFTConfig and `lora` to peft's LoraConfig, untouched.

    `lora: continue` goes on with the adapter that `model.base` is. `patience`: evaluations without progress before it
    stops.
    """

    trainer: Options = {}
    lora: Lora = None
    patience: int = Field(2, ge=1)


class LearnersConfig(Section):
    """How many processes train in the RL stage. Above 1, Ray Train spreads them, with gloo on CPUs and nccl on GPUs.

    Each learner plays and trains on a batch of its own, as `rl.trainer` sizes it, with `env.workers` of its own, so the
    batch of an update is `count` times as large. `gpus` of each: by default 1 where there are `count`, else 0.
    `restarts`: how often in a row, without a new checkpoint, a lost learner starts all of them from the newest one.
    """

    count: int = Field(1, ge=1)
    cpus: float = Field(1.0, gt=0.0)
    gpus: int | None = Field(None, ge=0)
    restarts: int = Field(3, ge=0)


class PretrainConfig(Section):
    """The embedded base model: architecture, and the plain language-model training that makes it.

    In `completed_share` of the problems the user completes the statement in further messages; in `reading_share` the
    user asks about a complete one, and in `unclear_share` what is unclear in a statement. Families in `exclude` are
    never shown. With `start` ("embedded", or a folder that pretrain wrote) training goes on from that model with its
    tokenizer: vocabulary and sizes are then its own.
    """

    start: str = ""
    exclude: tuple[str, ...] = ()
    completed_share: Share = 0.35
    reading_share: Share = 0.1
    unclear_share: Share = 0.0
    vocabulary: int = 1536
    hidden_size: int = 192
    intermediate_size: int = 512
    layers: int = 4
    heads: int = 6
    context: int = 512
    steps: int = 13_000
    batch_size: int = 256
    learning_rate: float = 2e-3
    warmup_steps: int = 500
    weight_decay: float = 0.05
    device: str = "auto"


class Config(Section):
    """A whole run. `out` is the run folder; the resolved configuration is saved there before work starts."""

    name: str = "run"
    out: str = "runs/{name}"
    seed: int = Field(0, ge=0)
    model: ModelConfig = ModelConfig()
    engine: EngineConfig = EngineConfig()
    sources: dict[str, SourceConfig] = {}
    data: DataConfig = DataConfig()
    dialogue: DialogueConfig = DialogueConfig()
    env: EnvConfig = EnvConfig()
    executor: ExecutorConfig = ExecutorConfig()
    rewards: tuple[RewardConfig, ...] = (RewardConfig(use="pass_rate"),)
    sft: SFTSection | None = SFTSection()
    rl: RLSection | None = RLSection()
    learners: LearnersConfig = LearnersConfig()
    eval: EvalConfig = EvalConfig()
    pretrain: PretrainConfig = PretrainConfig()

    @field_validator("engine", mode="before")
    @classmethod
    def _short(cls, engine: object) -> object:
        return {"use": engine} if isinstance(engine, str) else engine

    @field_validator("out")
    @classmethod
    def _holds_only_the_name(cls, out: str) -> str:
        try:
            out.format(name="")
        except (LookupError, ValueError) as error:
            raise ValueError("the only placeholder is {name}, e.g. runs/{name}; write {{ for a brace") from error
        return out

    @model_validator(mode="after")
    def _families_do_not_overlap(self) -> Config:
        data = self.data
        groups = (data.demonstrated, data.seldom, data.tests_only or (), data.held_out, data.unseen)
        names = [name for group in groups for name in group]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"families {twice} stand twice in data.demonstrated, seldom, tests_only, held_out and unseen. "
                "Give each one role."
            )
        return self

    @model_validator(mode="after")
    def _adapters_fit(self) -> Config:
        if self.sft and self.rl and self.rl.lora == CONTINUE and self.sft.lora is None:
            raise ValueError("rl.lora=continue needs an adapter of SFT to go on with. Set sft.lora, e.g. sft.lora.r=16")
        for name, section in (("sft", self.sft), ("rl", self.rl)):
            if self.model.quantization and section and section.lora is None:
                raise ValueError(
                    "model.quantization: quantised weights cannot be trained, only an adapter on them. "
                    f"Set {name}.lora, e.g. {name}.lora.r=16 {name}.lora.target_modules=all-linear"
                )
        if self.model.quantization and self.rl and self.rl.algorithm == "ppo" and self.rl.ppo.critic == "own":
            raise ValueError("rl.ppo.critic=own would train a copy of quantised weights. Take rl.ppo.critic=shared")
        return self

    @property
    def suites(self) -> dict[str, SuiteConfig]:
        """The suites to play: those of `eval`, and each again under the circumstances that it names."""
        return suites_of(self.eval, self.dialogue.prices)

    def stage_before(self, stage: StageName) -> StageName | None:
        """The stage that `stage` goes on from."""
        before: dict[StageName, StageName | None] = {"data": None, "sft": "data", "rl": "sft" if self.sft else "data"}
        return before[stage]

    @property
    def folder(self) -> Path:
        return Path(self.out.format(name=self.name))
