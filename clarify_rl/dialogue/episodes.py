"""The one dialogue loop: used by training, evaluation, data checks and `play` alike.

Follow an episode: a request goes to the policy, the sampled ids are kept as they are, the reply is parsed, the pool's
environment reacts, and the user's words are appended as masked ids, until something stops it. Then rewards score it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from clarify_rl.dialogue.chat import Chat, TextChat
from clarify_rl.dialogue.replies import parse_reply
from clarify_rl.types import (
    Episode,
    Exchange,
    Execution,
    Message,
    Opening,
    Policy,
    Pool,
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
class _Live:
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


def run_episodes(
    starts: Sequence[Start],
    *,
    policy: Policy,
    pool: Pool,
    chat: Chat | TextChat,
    limits: DialogueLimits,
    lockstep: bool = False,
) -> list[Episode]:
    """One scored episode for each start, in order: at most `max_questions` question turns, then code.

    With `lockstep` the policy is called max_questions + 1 times with a request for every episode, ended ones included,
    for backends whose processes must call together. An episode whose budget its opening would fill goes without.
    """
    live = [_begun(start, chat, limits) for start in starts]
    for _ in range(limits.max_questions + 1):
        running = [episode for episode in live if episode.stop is None]
        if running or lockstep:
            _take_turn(live if lockstep else running, policy, pool, chat, limits)
    episodes = [episode.freeze() for episode in live]
    scores = pool.score(episodes)
    return [replace(episode, scores=score) for episode, score in zip(episodes, scores, strict=True)]


def _begun(start: Start, chat: Chat | TextChat, limits: DialogueLimits) -> _Live:
    first = Message("user", chat.first_message(start.variant, start.price))
    prompt_ids = chat.prompt_ids(start.variant, start.price)
    episode = _Live(start.id, start.variant, start.seed, prompt_ids, [first], price=start.price)
    if start.opening and len(start.opening.token_ids) < min(limits.turn_tokens, episode.room(limits)):
        episode.opening = start.opening
    if episode.room(limits) < 1:
        tokens = len(episode.prompt_ids)
        episode.fail(f"the prompt has {tokens} tokens, which leaves no room in a context of {limits.context_tokens}")
    for turn in start.turns:
        _take_up(episode, turn, chat, limits)
    return episode


def _take_up(episode: _Live, turn: Turn, chat: Chat | TextChat, limits: DialogueLimits) -> None:
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
    _apply(episode, turn.reply, Response(answer=turn.answer), chat, limits)


def _take_turn(
    asked: Sequence[_Live], policy: Policy, pool: Pool, chat: Chat | TextChat, limits: DialogueLimits
) -> None:
    samples = policy.generate([_request(episode, limits) for episode in asked])
    for episode, sample in zip(asked, samples, strict=True):
        if episode.stop is None and sample.failure:
            episode.fail(sample.failure)
    running = [(episode, sample) for episode, sample in zip(asked, samples, strict=True) if episode.stop is None]
    read = [(episode, _read(episode, sample, chat, limits)) for episode, sample in running]
    spoken = [(episode, reply) for episode, reply in read if episode.stop is None]
    for episode, reply in read:
        if episode.stop is not None:
            episode.turns.append(Turn(reply))
    exchanges = [
        Exchange(
            episode.variant, tuple(episode.turns), reply, episode.is_on_last_turn(limits), episode.seed, episode.id
        )
        for episode, reply in spoken
    ]
    responses = pool.respond(exchanges) if exchanges else []
    for (episode, reply), response in zip(spoken, responses, strict=True):
        if episode.is_on_last_turn(limits) and response.stop is None:
            response = Response(stop=Stop.NO_CODE)
        _apply(episode, reply, response, chat, limits)


def _request(episode: _Live, limits: DialogueLimits) -> Request:
    budget = 1 if episode.stop else min(limits.turn_tokens, episode.room(limits)) - len(episode.given)
    # Nobody reads the reply to an ended episode, and its context may be too long for the model.
    whole = (*episode.context(), *episode.given)
    context = episode.prompt_ids[:1] if episode.stop else whole
    return Request(context, budget, episode.id, len(episode.turns), episode.seed, tuple(episode.messages))


def _read(episode: _Live, sample: Sample, chat: Chat | TextChat, limits: DialogueLimits) -> Reply:
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


def _apply(
    episode: _Live,
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


def _add_answer(episode: _Live, reply: Reply, text: str, chat: Chat | TextChat, limits: DialogueLimits) -> None:
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
