"""An episode under way: what the next reply follows, what was said, and why it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from clarify_rl.dialogue.chat import Chat, TextChat
from clarify_rl.dialogue.replies import parse_reply
from clarify_rl.types import (
    Episode,
    Execution,
    Message,
    Opening,
    Reply,
    Request,
    Response,
    Sample,
    Start,
    Stop,
    Turn,
    Variant,
)


@dataclass(frozen=True)
class DialogueLimits:
    """Budgets of one episode, in tokens; `total_tokens` counts everything after the prompt, user turns included."""

    max_questions: int = 3
    turn_tokens: int = 128
    total_tokens: int = 512
    context_tokens: int = 2048


@dataclass
class LiveEpisode:
    """An episode under way."""

    id: str
    variant: Variant
    seed: int
    prompt_ids: tuple[int, ...]
    messages: list[Message] = field(default_factory=list)
    opening: Opening | None = None
    price: float | None = None
    completion_ids: list[int] = field(default_factory=list)
    policy_mask: list[int] = field(default_factory=list)
    rendered: tuple[int, ...] | None = None  # what the next reply follows, where each turn renders it anew
    logprobs: list[float] | None = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    stop: Stop | None = None
    execution: Execution | None = None
    failure: str = ""
    untold_tokens: int = 0  # of replies whose ids the policy does not know

    def context(self) -> tuple[int, ...]:
        """All that the next reply follows."""
        return (*self.prompt_ids, *self.completion_ids) if self.rendered is None else self.rendered

    def room(self, limits: DialogueLimits) -> int:
        """Tokens that may still follow."""
        used = len(self.context()) - len(self.prompt_ids) + self.untold_tokens
        return min(limits.total_tokens - used, limits.context_tokens - len(self.prompt_ids) - used)

    def is_bound_by_context(self, limits: DialogueLimits) -> bool:
        """Whether the model holds less than the budget allows."""
        return limits.context_tokens - len(self.prompt_ids) < limits.total_tokens

    def is_on_last_turn(self, limits: DialogueLimits) -> bool:
        """Whether the next reply must be code."""
        return len(self.turns) == limits.max_questions

    def fail(self, why: str) -> None:
        self.stop, self.failure = Stop.FAILED, why

    @property
    def given(self) -> tuple[int, ...]:
        """The ids that the next reply is made to begin with."""
        return self.opening.token_ids if self.opening and not self.turns else ()

    def add_reply(self, sample: Sample) -> None:
        self.add_given(self.given)
        self.completion_ids += sample.token_ids
        self.policy_mask += [1] * len(sample.token_ids)
        self.untold_tokens += sample.tokens or 0
        if self.logprobs is not None:
            self.logprobs = None if sample.logprobs is None else [*self.logprobs, *sample.logprobs]

    def add_given(self, token_ids: Sequence[int]) -> None:
        """Appends what the policy did not choose: the user's words, or an opening."""
        self.completion_ids += token_ids
        self.policy_mask += [0] * len(token_ids)
        if self.logprobs is not None:
            self.logprobs += [0.0] * len(token_ids)

    def freeze(self) -> Episode:
        assert self.stop is not None and len(self.policy_mask) == len(self.completion_ids)
        return Episode(
            id=self.id,
            variant=self.variant,
            seed=self.seed,
            turns=tuple(self.turns),
            stop=self.stop,
            execution=self.execution,
            failure=self.failure,
            prompt_ids=self.prompt_ids,
            completion_ids=tuple(self.completion_ids),
            policy_mask=tuple(self.policy_mask),
            logprobs=None if self.logprobs is None else tuple(self.logprobs),
            opening=self.opening,
            price=self.price,
        )


def begin(start: Start, chat: Chat | TextChat, limits: DialogueLimits) -> LiveEpisode:
    """An episode that is about to be played, with the turns that were played before."""
    first = Message("user", chat.first_message(start.variant, start.price))
    prompt_ids = chat.prompt_ids(start.variant, start.price)
    episode = LiveEpisode(start.id, start.variant, start.seed, prompt_ids, [first], price=start.price)
    if start.opening and len(start.opening.token_ids) < min(limits.turn_tokens, episode.room(limits)):
        episode.opening = start.opening
    if episode.room(limits) < 1:
        tokens = len(episode.prompt_ids)
        episode.fail(f"the prompt has {tokens} tokens, which leaves no room in a context of {limits.context_tokens}")
    for turn in start.turns:
        _take_up(episode, turn, chat, limits)
    return episode


def _take_up(episode: LiveEpisode, turn: Turn, chat: Chat | TextChat, limits: DialogueLimits) -> None:
    """Adds a turn that was played before, as ids that are given."""
    if episode.stop is not None:
        return
    if turn.answer is None or (isinstance(chat, Chat) and not turn.reply.token_ids):
        lacks = "no answer" if turn.answer is None else "no token ids"
        episode.fail(f"turn {len(episode.turns)} of those behind it has {lacks}, so the episode cannot go on from it")
        return
    episode.add_given(turn.reply.token_ids)
    episode.untold_tokens += turn.reply.tokens or 0
    episode.messages.append(Message("assistant", turn.reply.text))
    react(episode, turn.reply, Response(answer=turn.answer), chat, limits)


def next_request(episode: LiveEpisode, limits: DialogueLimits) -> Request:
    """What the policy is asked for; of an ended episode, next to nothing."""
    budget = 1 if episode.stop else min(limits.turn_tokens, episode.room(limits)) - len(episode.given)
    # Nobody reads the reply to an ended episode, and its context may be too long for the model.
    whole = (*episode.context(), *episode.given)
    context = episode.prompt_ids[:1] if episode.stop else whole
    return Request(context, budget, episode.id, len(episode.turns), episode.seed, tuple(episode.messages))


def read(episode: LiveEpisode, sample: Sample, chat: Chat | TextChat, limits: DialogueLimits) -> Reply:
    """The reply in a sample, added to the episode, which ends here where the model's context cut it off."""
    given = episode.given
    token_ids = (*given, *sample.token_ids)
    logprobs = None if sample.logprobs is None else (*(0.0 for _ in given), *sample.logprobs)
    room = min(limits.turn_tokens, limits.total_tokens - (len(episode.context()) - len(episode.prompt_ids)))
    cut_off = not sample.finished and len(token_ids) < room and episode.is_bound_by_context(limits)
    episode.add_reply(sample)
    if cut_off:
        episode.fail(_TOO_LONG.format(limits.context_tokens))
    text = chat.decode(token_ids) if sample.text is None else sample.text
    parsed = parse_reply(text, finished=sample.finished, in_thought=chat.opens_thinking)
    episode.messages.append(Message("assistant", parsed.text))
    return replace(parsed, token_ids=token_ids, logprobs=logprobs, tokens=sample.tokens)


def react(
    episode: LiveEpisode,
    reply: Reply,
    response: Response,
    chat: Chat | TextChat,
    limits: DialogueLimits,
) -> None:
    """Ends the episode, or appends the user's answer if a reply still fits behind it: no sample ends on user tokens."""
    episode.turns.append(Turn(reply, response.answer))
    episode.execution = response.execution
    episode.failure = response.failure
    episode.stop = response.stop
    if response.stop is None and response.answer is not None:
        last_call = f" {chat.last_call}" if chat.last_call and episode.is_on_last_turn(limits) else ""
        _add_answer(episode, reply, f"{response.answer.text}{last_call}", chat, limits)


def _add_answer(episode: LiveEpisode, reply: Reply, text: str, chat: Chat | TextChat, limits: DialogueLimits) -> None:
    episode.messages.append(Message("user", text))
    user_ids: tuple[int, ...] = ()
    if isinstance(chat, Chat) and chat.anew:
        episode.rendered = chat.context_ids(episode.messages)
    else:
        user_ids = (*chat.missing_end(reply.token_ids), *chat.user_turn_ids(text))
    if len(user_ids) < episode.room(limits):
        episode.add_given(user_ids)
        return
    episode.messages.pop()
    if episode.is_bound_by_context(limits):
        episode.fail(_TOO_LONG.format(limits.context_tokens))
    else:
        episode.stop = Stop.BUDGET


_TOO_LONG = (
    "the model's context of {} tokens was full before the budget was: take a smaller dialogue.total_tokens, or a model "
    "that holds more"
)
