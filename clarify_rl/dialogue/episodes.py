"""The one dialogue loop: used by training, evaluation, data checks and `play` alike.

Follow an episode: a request goes to the policy, the sampled ids are kept as they are, the reply is parsed, the pool's
environment reacts, and the user's words are appended as masked ids, until something stops it. Then rewards score it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from clarify_rl.dialogue.answers import Answers
from clarify_rl.dialogue.chat import Chat, TextChat
from clarify_rl.dialogue.live import DialogueLimits, LiveEpisode, begin, next_request, react, read
from clarify_rl.timeline import Timeline
from clarify_rl.types import (
    Episode,
    Exchange,
    Policy,
    Pool,
    Reply,
    Response,
    Sample,
    Start,
    Stop,
    Stream,
    StreamingPolicy,
    Turn,
)

__all__ = ["DialogueLimits", "run_episodes"]


def run_episodes(
    starts: Sequence[Start],
    *,
    policy: Policy,
    pool: Pool,
    chat: Chat | TextChat,
    limits: DialogueLimits,
    lockstep: bool = False,
    stream: bool = True,
    timeline: Timeline | None = None,
) -> list[Episode]:
    """One scored episode for each start, in order: at most `max_questions` question turns, then code.

    A policy that streams, with `stream`, gets each request as soon as the user has answered, others all of a turn. With
    `lockstep` the policy is called max_questions + 1 times with a request for every episode, ended ones included, for
    backends whose processes must call together. An episode whose budget its opening would fill goes without.
    `timeline` is told what the time goes to: generate, env (only what is waited for) and score.
    """
    dialogues = _Dialogues(policy, pool, chat, limits, timeline or Timeline())
    live = [begin(start, chat, limits) for start in starts]
    opened = policy.stream() if stream and not lockstep and isinstance(policy, StreamingPolicy) else None
    if opened is None:
        dialogues.take_turns(live, lockstep=lockstep)
    else:
        with opened as engine:
            dialogues.flow(live, engine)
    episodes = [episode.freeze() for episode in live]
    with dialogues.timeline.during("score"):
        scores = pool.score(episodes)
    return [replace(episode, scores=score) for episode, score in zip(episodes, scores, strict=True)]


@dataclass(frozen=True)
class _Dialogues:
    """Plays episodes until each has ended."""

    policy: Policy
    pool: Pool
    chat: Chat | TextChat
    limits: DialogueLimits
    timeline: Timeline

    def take_turns(self, live: Sequence[LiveEpisode], *, lockstep: bool) -> None:
        """Turn by turn: the next replies are sampled when all users have answered."""
        for _ in range(self.limits.max_questions + 1):
            running = [episode for episode in live if episode.stop is None]
            if running or lockstep:
                self._take_turn(live if lockstep else running)

    def _take_turn(self, asked: Sequence[LiveEpisode]) -> None:
        with self.timeline.during("generate"):
            samples = self.policy.generate([next_request(episode, self.limits) for episode in asked])
        spoken: list[tuple[LiveEpisode, Reply]] = []
        for episode, sample in zip(asked, samples, strict=True):
            if episode.stop is None and (reply := self._hear(episode, sample)):
                spoken.append((episode, reply))
        exchanges = [self._exchange(episode, reply) for episode, reply in spoken]
        with self.timeline.during("env"):
            responses = self.pool.respond(exchanges) if exchanges else []
        for (episode, reply), response in zip(spoken, responses, strict=True):
            self._react(episode, reply, response)

    def flow(self, live: Sequence[LiveEpisode], engine: Stream) -> None:
        """Each episode at its own pace: users answer, and programs run, while other replies are still sampled."""
        spoken: dict[int, Reply] = {}
        for number, episode in enumerate(live):
            if episode.stop is None:
                engine.add(number, next_request(episode, self.limits))
        with Answers(self.pool) as answers:
            while engine.busy or answers.waiting:
                if engine.busy:
                    with self.timeline.during("generate"):
                        sampled = engine.step()
                    for number, sample in sampled:
                        if reply := self._hear(live[number], sample):
                            spoken[number] = reply
                            answers.ask(number, self._exchange(live[number], reply))
                with self.timeline.during("env"):
                    answered = answers.take(wait=not engine.busy)
                for number, response in answered:
                    self._react(live[number], spoken.pop(number), response)
                    if live[number].stop is None:
                        engine.add(number, next_request(live[number], self.limits))

    def _hear(self, episode: LiveEpisode, sample: Sample) -> Reply | None:
        """The reply that the environment is to react to; None where the episode has ended before it."""
        if sample.failure:
            episode.fail(sample.failure)
            return None
        reply = read(episode, sample, self.chat, self.limits)
        if episode.stop is None:
            return reply
        episode.turns.append(Turn(reply))
        return None

    def _exchange(self, episode: LiveEpisode, reply: Reply) -> Exchange:
        last = episode.is_on_last_turn(self.limits)
        return Exchange(episode.variant, tuple(episode.turns), reply, last, episode.seed, episode.id)

    def _react(self, episode: LiveEpisode, reply: Reply, response: Response) -> None:
        if episode.is_on_last_turn(self.limits) and response.stop is None:
            response = Response(stop=Stop.NO_CODE)
        react(episode, reply, response, self.chat, self.limits)
