"""Whatever a policy says in whatever chat template: what is trained on is what was sampled, and only that."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from tempfile import mkdtemp
from typing import Any, Literal

import pytest
import torch
from datasets import Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PrinterCallback
from trl import GRPOConfig

from clarify_rl.dialogue.chat import Chat
from clarify_rl.dialogue.episodes import DialogueLimits, run_episodes
from clarify_rl.policies.hf import HFPolicy
from clarify_rl.rl_sections import PPOSection
from clarify_rl.training.groups import GenerationBatch
from clarify_rl.training.grpo import DialogueGRPOTrainer, reward_function
from clarify_rl.training.ppo import DialoguePPOTrainer
from clarify_rl.types import Answer, Episode, Exchange, Policy, Request, Response, Sample, Score, Start, Stop
from tests.dialogues import CLEAR, UNCLEAR
from tests.templates import KINDS, ROWS, SPECIALS, Kind

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
LIMITS = DialogueLimits(max_questions=3, turn_tokens=24, total_tokens=160, context_tokens=1024)
CHATS = {kind.name: kind.chat() for kind in KINDS}
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


# ---- dialogues of any content

Ids = tuple[int, ...]
Words = tuple[str, ...]


@dataclass(frozen=True)
class Dialogue:
    """What the policy samples turn by turn, and what the user says in between."""

    replies: tuple[Ids, ...]
    answers: Words


@st.composite
def replies(draw: st.DrawFn, chat: Chat) -> Ids:
    """Text, strange text, or any ids at all: special ones, halves of letters, rows of no token. Ended or cut off."""
    ids = draw(
        st.one_of(
            st.text(max_size=12).map(chat.encode),
            st.sampled_from(["", " ", "\n\n", "In which order?", "```python\ndef f(xs): ...\n```", "é🙂\u200b"]).map(
                chat.encode
            ),
            st.lists(st.integers(0, ROWS - 1), max_size=12),
            st.lists(st.integers(0, len(SPECIALS) - 1), max_size=4),
        )
    )
    return (*ids, *draw(st.sampled_from([(), *((end,) for end in sorted(chat.end_ids))])))


answers = st.one_of(
    st.text(max_size=12), st.sampled_from(["", " Descending. ", "<|im_end|>\n<|im_start|>assistant\n", "\n\n"])
)


@st.composite
def dialogues(draw: st.DrawFn, chat: Chat) -> Dialogue:
    made = tuple(draw(st.lists(replies(chat), min_size=1, max_size=4)))
    return Dialogue(made, tuple(draw(st.lists(answers, min_size=len(made), max_size=len(made)))))


@dataclass(frozen=True)
class Recited(Policy):
    """Says what each dialogue holds, cut to the budget."""

    dialogues: Mapping[str, Dialogue]
    end_ids: frozenset[int]

    def generate(self, requests: Sequence[Request]) -> list[Sample]:
        return [self._sample(request) for request in requests]

    def _sample(self, request: Request) -> Sample:
        ids = self.dialogues[request.episode_id].replies[request.turn][: request.max_new_tokens]
        return Sample(ids, None, bool(ids) and ids[-1] in self.end_ids)


@dataclass(frozen=True)
class Talk:
    """A pool whose user talks on as long as the dialogue lasts, and which scores every episode differently."""

    dialogues: Mapping[str, Dialogue]

    def respond(self, exchanges: Sequence[Exchange]) -> list[Response]:
        return [self._respond(exchange) for exchange in exchanges]

    def _respond(self, exchange: Exchange) -> Response:
        dialogue, turn = self.dialogues[f"e{exchange.seed}"], len(exchange.turns)
        if exchange.last_turn or turn + 1 == len(dialogue.replies):
            return Response(stop=Stop.NO_CODE)
        return Response(answer=Answer(dialogue.answers[turn]))

    def score(self, episodes: Sequence[Episode]) -> list[tuple[Score, ...]]:
        return [(Score("told", [0.0, 0.37, 1.0, 2.3][i % 4]),) for i in range(len(episodes))]

    def describe(self) -> str:
        return ""

    def numbers(self) -> Mapping[str, float]:
        return {}

    def close(self) -> None:
        pass


def play(chat: Chat, made: Sequence[Dialogue], policy: Policy | None = None) -> list[Episode]:
    named = {f"e{i}": dialogue for i, dialogue in enumerate(made)}
    return run_episodes(
        [Start(UNCLEAR if i < 4 else CLEAR, name, i) for i, name in enumerate(named)],
        policy=policy or Recited(named, chat.end_ids),
        pool=Talk(named),
        chat=chat,
        limits=LIMITS,
    )


@each_kind
@few
@given(data=st.data())
def test_an_episode_holds_the_sampled_ids_and_nothing_else_of_the_policy(kind: Kind, data: st.DataObject) -> None:
    chat = CHATS[kind.name]
    dialogue = data.draw(dialogues(chat))
    (episode,) = play(chat, [dialogue])
    expected: list[int] = []
    mask: list[int] = []
    for i, turn in enumerate(episode.turns):
        sampled = dialogue.replies[i][: LIMITS.turn_tokens]
        assert turn.reply.token_ids == sampled[: len(turn.reply.token_ids)]  # the whole budget may cut off more
        assert len(turn.reply.token_ids) == min(len(sampled), LIMITS.total_tokens - len(expected))
        last = i + 1 == len(episode.turns)
        ended = sampled[-1:] != () and sampled[-1] in chat.end_ids
        heard = () if last else (*(() if ended else (chat.turn_end_id,)), *chat.user_turn_ids(dialogue.answers[i]))
        expected += [*turn.reply.token_ids, *heard]
        mask += [1] * len(turn.reply.token_ids) + [0] * len(heard)
    assert (episode.completion_ids, episode.policy_mask) == (tuple(expected), tuple(mask))
    assert episode.prompt_ids == chat.prompt_ids(UNCLEAR)


@each_kind
@few
@given(first=st.text(max_size=20), answer=answers)
def test_what_the_user_says_has_the_ids_that_the_template_gives_it(kind: Kind, first: str, answer: str) -> None:
    chat = CHATS[kind.name]
    messages = [
        {"role": "user", "content": first},
        {"role": "assistant", "content": "Is it so?"},
        {"role": "user", "content": answer},
    ]
    whole = chat._render(messages, generate=True)
    heard = chat.user_turn_ids(answer)
    assert whole[len(whole) - len(heard) :] == heard
    assert whole[len(whole) - len(heard) - 1] == chat.turn_end_id


@each_kind
@few
@given(data=st.data())
def test_the_next_turn_stands_where_the_template_puts_it_even_behind_a_reply_cut_off(
    kind: Kind, data: st.DataObject
) -> None:
    """Rendering what was said gives the same ids, for replies whose text has those ids."""
    chat = CHATS[kind.name]
    words = data.draw(
        st.lists(st.sampled_from(["Is it so?", "as is", "```\ndef f():\n    x\n```"]), min_size=2, max_size=4)
    )
    cut = data.draw(st.lists(st.booleans(), min_size=len(words), max_size=len(words)))
    said = [
        (*chat.encode(text), *(() if short else (chat.turn_end_id,))) for text, short in zip(words, cut, strict=True)
    ]
    (episode,) = play(chat, [Dialogue(tuple(said), ("Yes.",) * len(said))])
    messages = [{"role": "user", "content": chat.first_message(UNCLEAR)}]
    for text in words[:-1]:
        messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "Yes."}]
    assert (*episode.prompt_ids, *episode.completion_ids) == (*chat._render(messages, generate=True), *said[-1])


# ---- what the trainers make of them


@dataclass
class Given:
    """Rollouts that a test decides on."""

    episodes: Sequence[Episode] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __call__(self, trainer: DialogueGRPOTrainer, rows: Sequence[int]) -> GenerationBatch:
        return GenerationBatch(tuple(rows), tuple(self.episodes))


@cache
def trainer(kind: Kind, algorithm: Literal["grpo", "ppo"] = "grpo") -> DialogueGRPOTrainer:
    """A trainer of eight episodes a step, whose rollouts a test puts in."""
    own: dict[str, Any] = {"options": PPOSection()} if algorithm == "ppo" else {}  # Any: either's options
    kinds: dict[str, Any] = {"grpo": DialogueGRPOTrainer, "ppo": DialoguePPOTrainer}  # Any: their signatures differ
    made: DialogueGRPOTrainer = kinds[algorithm](
        rollouts=Given(),
        model=kind.model(),
        reward_funcs=[reward_function("told", 0)],
        args=GRPOConfig(
            output_dir=mkdtemp(),
            num_generations=4,
            per_device_train_batch_size=4,
            gradient_accumulation_steps=2,
            beta=0.0,
            use_cpu=True,
            bf16=False,
            report_to="none",
            gradient_checkpointing=False,
            ddp_find_unused_parameters=False,
        ),
        train_dataset=Dataset.from_dict({"prompt": ["a", "b"], "variant_index": [0, 1]}),
        processing_class=kind.tokenizer(),
        **own,
    )
    made.remove_callback(PrinterCallback)
    made.model.train()
    made.current_gradient_accumulation_steps = 2  # what its loop sets
    if isinstance(made, DialoguePPOTrainer):
        torch.nn.init.normal_(made.critic.value_head.weight)  # one that knows nothing has no gradient either
    return made


@dataclass
class Part:
    """A micro-batch as the loss saw it, with the gradient by each position's last hidden state, from which its logits
    come: position t decides token t + 1."""

    inputs: dict[str, Any]  # Any: TRL's own batch
    gradient: torch.Tensor


def step(made: DialogueGRPOTrainer, episodes: Sequence[Episode]) -> list[Part]:
    """Both micro-batches of one update, through the trainer's own preparation and loss."""
    made._rollouts = Given(episodes)  # type: ignore[assignment] # what Rollouts is to the trainer
    made._step, made._buffered_inputs = 0, None
    backbone, parts = made.model.base_model, []
    for _ in range(2):
        inputs = made._prepare_inputs([{"prompt": "a", "variant_index": i} for i in range(8)])
        states: list[torch.Tensor] = []
        hook = backbone.register_forward_hook(lambda *seen, kept=states: kept.append(seen[-1].last_hidden_state))
        loss = made.compute_loss(made.model, inputs)
        hook.remove()
        (gradient,) = torch.autograd.grad(loss, states[:1])
        parts.append(Part(inputs, gradient))
        made._step += 1
    return parts


def unpadded(inputs: Mapping[str, Any], row: int) -> tuple[Ids, Ids]:  # Any: TRL's own batch
    """The prompt and the completion of a row."""
    parts = ((inputs[f"{name}_ids"][row], inputs[f"{name}_mask"][row]) for name in ("prompt", "completion"))
    prompt, completion = (tuple(ids[mask == 1].tolist()) for ids, mask in parts)
    return prompt, completion


def owner(inputs: Mapping[str, Any], row: int, episodes: Sequence[Episode]) -> Episode:  # Any: as above
    """The episode of a row, found by its ids: TRL shuffles them, and equal ones may differ in their masks only."""
    prompt, completion = unpadded(inputs, row)
    mask = tuple(inputs["tool_mask"][row, : len(completion)].tolist())
    found = [
        e for e in episodes if (e.prompt_ids, trained(e)) == (prompt, completion) and (e.policy_mask or (0,)) == mask
    ]
    assert found, "a row holds ids that no episode has"
    return found[0]


def trained(episode: Episode) -> Ids:
    """TRL takes no empty completion: a masked end token stands for one."""
    return episode.completion_ids or (CHATS_END[episode.prompt_ids],)


CHATS_END = {
    chat.prompt_ids(variant): chat.tokenizer.eos_token_id for chat in CHATS.values() for variant in (UNCLEAR, CLEAR)
}


@each_kind
@pytest.mark.parametrize("algorithm", ["grpo", pytest.param("ppo", marks=pytest.mark.slow)])
@few
@given(data=st.data())
def test_only_what_the_policy_sampled_is_learned(
    kind: Kind, algorithm: Literal["grpo", "ppo"], data: st.DataObject
) -> None:
    chat = CHATS[kind.name]
    episodes = play(chat, data.draw(st.lists(dialogues(chat), min_size=8, max_size=8)))
    parts = step(trainer(kind, algorithm), episodes)
    assert sum(len(part.gradient) for part in parts) == len(episodes)
    for part in parts:
        for row, gradient in enumerate(part.gradient):
            episode = owner(part.inputs, row, episodes)
            width = part.inputs["prompt_ids"].shape[1]
            decided = torch.zeros(len(gradient), dtype=torch.bool)
            own = torch.tensor(episode.policy_mask, dtype=torch.bool)
            decided[width - 1 : width - 1 + len(own)] = own
            assert gradient[~decided].eq(0).all()
            if part.inputs["advantages"][row].any():
                assert gradient[decided].ne(0).any(-1).all()


@each_kind
@few
@given(data=st.data())
def test_the_trainers_logprobs_are_those_of_a_plain_forward_pass(kind: Kind, data: st.DataObject) -> None:
    """The trainer pads prompts on the left and completions on the right; a plain pass reads one row without padding."""
    chat, made = CHATS[kind.name], trainer(kind)
    episodes = play(chat, data.draw(st.lists(dialogues(chat), min_size=8, max_size=8)))
    for part in step(made, episodes):
        inputs, width = part.inputs, part.inputs["completion_ids"].shape[1]
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
        seen = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
        with torch.no_grad():
            logprobs = made._get_per_token_logps_and_entropies(made.model, ids, seen, width)[0]
        for row in range(len(ids)):
            prompt, completion = unpadded(inputs, row)
            assert torch.allclose(logprobs[row, : len(completion)], plain_logprobs(made, prompt, completion), atol=1e-5)


def plain_logprobs(made: DialogueGRPOTrainer, prompt: Ids, completion: Ids) -> torch.Tensor:
    with torch.no_grad():
        logits = made.model(torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1]
        found: torch.Tensor = logits.log_softmax(-1).gather(1, torch.tensor(completion)[:, None])[:, 0]
    return found


@each_kind
def test_what_the_model_itself_samples_has_one_logprob_everywhere(kind: Kind) -> None:
    """Under the policy that sampled, under the trainer, and in a plain pass: else the importance ratio is no 1."""
    chat, made = CHATS[kind.name], trainer(kind)
    sampler = HFPolicy(made.model, chat.end_ids, chat.tokenizer.pad_token_id, logprobs=True)  # type: ignore[attr-defined]
    talk = Dialogue((((),) * 4), ("Descending.", "é🙂", "<|im_end|>", ""))
    episodes = play(chat, [talk] * 8, sampler)
    assert max(len(episode.turns) for episode in episodes) > 1
    for episode in episodes:
        assert episode.logprobs is not None
        own = torch.tensor(episode.policy_mask, dtype=torch.bool)
        plain = plain_logprobs(made, episode.prompt_ids, episode.completion_ids)
        assert torch.allclose(torch.tensor(episode.logprobs)[own], plain[own], atol=1e-5)
    for part in step(made, episodes):
        for row in range(4):
            owner(part.inputs, row, episodes)
