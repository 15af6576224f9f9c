"""The `rl` section of a configuration and its parts, each with its defaults."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from clarify_rl.sections import Lora, Options, Section, Share


class PPOSection(Section):
    """What `algorithm: ppo` adds to `trainer`, whose `epsilon`, `num_iterations` and `beta` it keeps.

    `critic`: a value head on a backbone of its `own`, a copy of the starting model's, or on the policy's (`shared`),
    which saves that memory and asks more often where nothing is missing.
    `gae_lambda` below 1 trusts the critic about what comes later: at 0.95, a reward 50 tokens away counts for 0.08, and
    whether to ask is decided in the first ones. `learning_rate`: the critic's; by default the policy's.
    """

    critic: Literal["own", "shared"] = "own"
    gamma: Share = 1.0
    gae_lambda: Share = 1.0
    value_clip: float | None = Field(0.2, gt=0.0)
    value_weight: float = Field(0.5, ge=0.0)
    learning_rate: float | None = Field(None, gt=0.0)


class GroupsSection(Section):
    """Groups that can teach, all of it off by default; docs/training.md tells when to turn on what.

    `resample`: how many times the groups of a batch whose rewards are all equal are exchanged for groups of other
    problems. `by_solve_rate`: prefer problems that were solved about half of the time. `ask_share` and `code_share`: in
    these shares of an unclear problem's group the first reply is made to begin as a question, or as code.
    `replay_share`: in this share it begins behind good questions that the user has answered.
    """

    resample: int = Field(0, ge=0)
    by_solve_rate: bool = False
    ask_share: Share = 0.0
    code_share: Share = 0.0
    replay_share: Share = 0.0


class CreditSection(Section):
    """Which turns the scores of an episode are laid to; clarify_rl/training/credit.py tells the ways apart.

    `by`: `episode` (all of it to all turns), `to_go` (to a turn what came of it and after it), `turn` (to a turn its
    own scores, and of the outcome a share of `outcome` where it asks), or path/to/file.py:name, a function from the
    episodes of a group to an advantage for each of their turns. `rl.credit=turn` is short for `rl.credit.by=turn`.
    """

    by: str = "episode"
    outcome: Share = 0.5

    @field_validator("by")
    @classmethod
    def _known(cls, by: str) -> str:
        if by not in ("episode", "to_go", "turn") and ":" not in by:
            raise ValueError(f"no credit named {by!r}. Known: episode, to_go, turn, or path/to/file.py:name")
        return by


class InformationSection(Section):
    """What answers were worth, as one more reward, each with its turn; clarify_rl/training/information.py tells how.

    `measure`: `withheld` plays on without each answer (`rollouts` on each side), `siblings` compares with those of the
    group that did not ask, `answer_effect` is what an answer changes in the reply, `information_gain` how much likelier
    it makes the reference solution. The first two are logged as value_of_information, the others by their names.
    """

    measure: Literal["withheld", "siblings", "answer_effect", "information_gain"] = "withheld"
    weight: float = 0.5
    rollouts: int = Field(1, ge=1)


class GateSection(Section):
    """What the first batch of RL, sampled before any update, must show of the policy that RL starts from.

    `asks`: the least share of unclear problems in which it asks. `understood`: the least share of its questions that
    the user understands. Below, the run says what to change; with `stop` it ends there.
    """

    asks: Share = 0.02
    understood: Share = 0.5
    stop: bool = False


class EvaluationSection(Section):
    """Plays `data.rl_dev` greedily before the first step, after each `every` steps (0: never) and after the last.

    models/rl is then the best policy by `metric`, not the last. Training ends after `patience` evaluations in a row
    without progress; null: it goes on to its last step.
    """

    every: int = Field(0, ge=0)
    metric: Literal["reward", "solved"] = "reward"
    patience: int | None = Field(5, ge=1)


AlarmName = Literal[
    "ask_collapse",
    "entropy_collapse",
    "malformed",
    "zero_variance",
    "kl",
    "gradient",
    "unmeasured",
    "unclear",
    "flat_reward",
    "reward_hacking",
]


class HealthSection(Section):
    """When RL warns: by means over the last `window` steps, some against the mean over the first ones.

    `ask_left`, `entropy_left`: what is left of asking in unclear problems, of entropy. `malformed_rise`: how many
    more dialogues have a malformed reply. `zero_variance`: groups whose episodes all earned the same. `kl`: nats a
    token from the reference. `gradient_rise`: how many times the first norm of the gradient. Unmeasured episodes: half
    of env.max_failed_share. `unclear`: questions that the user did not understand. `solved_fall`: how much less is
    solved while the reward rises (reward_hacking). A reward that is the same for all episodes is a flat_reward. Alarms
    named in `stop_on` end training, and the best evaluated policy becomes models/rl.
    """

    window: int = Field(5, ge=1)
    ask_left: Share = 0.5
    entropy_left: Share = 0.1
    malformed_rise: Share = 0.1
    zero_variance: Share = 0.75
    kl: float = Field(0.5, gt=0.0)
    gradient_rise: float = Field(10.0, gt=1.0)
    unclear: Share = 0.1
    solved_fall: Share = 0.1
    stop_on: tuple[AlarmName, ...] = ()


class RLSection(Section):
    """`trainer` goes to TRL's GRPOConfig and `lora` to peft's LoraConfig, untouched.

    A `lora` of its own is a fresh adapter on the merged SFT model; `lora: continue` goes on with SFT's adapter (without
    SFT, with the one that `model.base` is). Either way the reference of the KL term is the policy that RL starts from.
    """

    algorithm: Literal["grpo", "ppo"] = "grpo"
    groups: GroupsSection = GroupsSection()
    credit: CreditSection = CreditSection()
    information: InformationSection | None = None
    ppo: PPOSection = PPOSection()
    evaluation: EvaluationSection = EvaluationSection()
    gate: GateSection = GateSection()
    health: HealthSection = HealthSection()
    trainer: Options = {}
    lora: Lora = None

    @field_validator("credit", mode="before")
    @classmethod
    def _short(cls, credit: object) -> object:
        return {"by": credit} if isinstance(credit, str) else credit
