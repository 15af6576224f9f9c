"""Chat templates as token arithmetic: sampled ids are kept, user turns are appended, nothing is tokenised twice."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import jinja2

from clarify_rl.dialogue.prices import Prices
from clarify_rl.errors import ConfigError
from clarify_rl.types import Message, Variant

DATE = "26 Jul 2024"  # what Llama 3.1 takes where it is told none; Llama 3.2 would take today

_REMEDY = "Give the model a prefix-preserving template (for example ChatML) in its chat_template.jinja."


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that is used here."""

    eos_token_id: int

    def apply_chat_template(self, conversation: Sequence[Mapping[str, str]], **options: Any) -> Any:  # Any: HF's own
        ...

    def encode(self, text: str, **options: Any) -> Any: ...  # Any: HF's own

    def decode(self, token_ids: Sequence[int], **options: Any) -> Any: ...  # Any: HF's own


PLACE = "{problem}"  # where an instruction has the statement inside it


@dataclass(frozen=True)
class Chat:
    """How dialogues become token ids for one tokenizer. Raises ConfigError if its template is not prefix-preserving.

    `instruction` stands before every problem ("" for models trained on this task); `last_call` follows the user's last
    answer, after which only code is accepted. `prices` are those of a question that a prompt may say. `end_ids` are the
    tokens that may end an assistant turn. A template that takes a `date_string` (Llama's) gets the same on every day:
    with today's, a run resumed tomorrow would differ.

    With `anew`, each turn renders the whole dialogue again, as servers do, so that any template will do. What the model
    read is then no sequence that an episode's ids make up, so nothing can be trained on it.
    """

    tokenizer: Tokenizer
    instruction: str = ""
    last_call: str = ""
    end_ids: frozenset[int] = field(default_factory=frozenset)
    anew: bool = False
    prices: Prices = field(default_factory=Prices)

    def __post_init__(self) -> None:
        if not self.end_ids:
            object.__setattr__(self, "end_ids", frozenset({self.tokenizer.eos_token_id}))
        try:
            if self.anew:
                self.context_ids([Message("user", "Write it.")])
            else:
                self._check_template()
        except jinja2.TemplateError as error:
            raise ConfigError(
                f"The chat template cannot render user and assistant turns: {error}. {_REMEDY}"
            ) from error

    def _check_template(self) -> None:
        """Two exchanges, appended turn by turn, must give what rendering all of them at once gives."""
        # Where a reply begins inside a thought, one without a thought would be rendered with other line breaks.
        replies = ("<think>Hm.</think>\n\nIs it so?", f"{'<think>So.</think>' * self.opens_thinking}And this?")
        messages = [{"role": "user", "content": "Write it."}]
        ids = self._render(messages, generate=True)
        for reply in replies:
            messages += [{"role": "assistant", "content": reply}]
            done = self._render(messages)
            end = last_index(done, self.end_ids) + 1
            if end <= len(ids) or done[: len(ids)] != ids:
                raise ConfigError(self._refusal())
            messages += [{"role": "user", "content": "Yes."}]
            ids = (*done[:end], *self.user_turn_ids("Yes."))
            if self._render(messages, generate=True) != ids:
                raise ConfigError(self._refusal())

    def _refusal(self) -> str:
        ends = ", ".join(repr(str(self.tokenizer.decode([token]))) for token in sorted(self.end_ids))
        return (
            "This chat template cannot be used for dialogues: one more turn changes the tokens of earlier ones (it may "
            "strip thinking or count turns), or an assistant turn does not end with an end-of-turn token "
            f"(tried {ends}). {_REMEDY}"
        )

    def first_message(self, variant: Variant, price: float | None = None) -> str:
        return _first_message(self.instruction, variant, self.prices.said(price))

    def prompt_ids(self, variant: Variant, price: float | None = None) -> tuple[int, ...]:
        """Ids from the beginning up to and including the first assistant header."""
        return self._render([{"role": "user", "content": self.first_message(variant, price)}], generate=True)

    def context_ids(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """All that the model reads before its next reply, rendered anew."""
        return self._render([{"role": message.role, "content": message.content} for message in messages], generate=True)

    @cached_property
    def opens_thinking(self) -> bool:
        """Whether the template begins a reply with <think>, so that what is sampled begins inside it."""
        ids = self._render([{"role": "user", "content": "Write it."}], generate=True)
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False)).rstrip().endswith("<think>")

    def said(self, text: str) -> str:
        """What a policy writes that says `text` without a thought."""
        return f"\n</think>\n\n{text}" if self.opens_thinking else text

    def user_turn_ids(self, text: str) -> tuple[int, ...]:
        """Ids from behind an assistant's end-of-turn token up to its next turn: the user's words with their frame."""
        before = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
        done = self._render(before)
        full = self._render([*before, {"role": "user", "content": text}], generate=True)
        cut = last_index(done, self.end_ids) + 1
        if cut == 0 or full[:cut] != done[:cut]:
            raise ConfigError(self._refusal())
        return full[cut:]

    def missing_end(self, reply_ids: Sequence[int]) -> tuple[int, ...]:
        """What a reply that its budget cut off lacks before the user may speak: the token that ends a turn."""
        return () if reply_ids and reply_ids[-1] in self.end_ids else (self.turn_end_id,)

    @property
    def turn_end_id(self) -> int:
        """The one of `end_ids` that the template itself puts behind an assistant turn."""
        done = self._render([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}])
        return done[last_index(done, self.end_ids)]

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of a reply's text, without special tokens."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of a reply, without special tokens."""
        # Some tokenizers tidy up: they turn " ," into ",", which changes what a program prints.
        options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
        return str(self.tokenizer.decode(list(token_ids), **options))

    def _render(self, messages: Sequence[Mapping[str, str]], *, generate: bool = False) -> tuple[int, ...]:
        ids = self.tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=False, add_generation_prompt=generate, date_string=DATE
        )
        return tuple(ids)


@dataclass(frozen=True)
class TextChat:
    """Dialogues with a model that tokenizes them itself, behind a server: everything is text, and there are no ids."""

    instruction: str = ""
    last_call: str = ""
    prices: Prices = field(default_factory=Prices)
    anew = False
    opens_thinking = None

    def first_message(self, variant: Variant, price: float | None = None) -> str:
        return _first_message(self.instruction, variant, self.prices.said(price))

    def prompt_ids(self, _variant: Variant, _price: float | None = None) -> tuple[int, ...]:
        return ()

    def user_turn_ids(self, _text: str) -> tuple[int, ...]:
        return ()

    def missing_end(self, _reply_ids: Sequence[int]) -> tuple[int, ...]:
        return ()

    def decode(self, token_ids: Sequence[int]) -> str:
        assert not token_ids
        return ""


def _first_message(instruction: str, variant: Variant, price: str) -> str:
    """The instruction, the statement and the price, a paragraph each; {problem} in the instruction is the statement."""
    if PLACE in instruction:
        instruction, statement = instruction.replace(PLACE, variant.prompt), ""
    else:
        statement = variant.prompt
    return "\n\n".join(part for part in (instruction, statement, price) if part)


def last_index(token_ids: Sequence[int], sought: Collection[int]) -> int:
    """Index of the last id that is in `wanted`; -1 when there is none."""
    return max((i for i, token in enumerate(token_ids) if token in sought), default=-1)
