"""Chat templates as token arithmetic: what is appended turn by turn is what rendering the whole dialogue gives."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import trl
from transformers import PreTrainedTokenizerFast

from clarify_rl.config import Config
from clarify_rl.dialogue.chat import Chat, TextChat, last_index
from clarify_rl.dialogue.replies import parse_reply
from clarify_rl.errors import ConfigError
from clarify_rl.players import make_chat
from clarify_rl.policies.models import load_model
from clarify_rl.types import Case, Message, Policy, Problem, Request, Sample, Tests, Variant
from tests.dialogues import ASK, DESC, UNCLEAR, play
from tests.templates import GEMMA, LLAMA3, QWEN2_5, SMOLLM2
from tests.templates import byte_tokenizer as tokenizer

PROBLEM = Problem("p", "Write f(xs) that sorts xs.", "f", Tests((Case(([],), []),)), "def f(xs): ...", "test")
VARIANT = Variant("v", PROBLEM, "Write f(xs).")

COUNTS_TURNS = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }} {{ loop.index }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {{ messages | length + 1 }}\n{% endif %}"
)
STRIPS_THINKING = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{{ m['content'] if loop.last else m['content'].split('</think>')[-1].lstrip('\n') }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
COUNTS_MESSAGES_FIRST = "{{ messages | length }} messages\n" + QWEN2_5
NEVER_ENDS = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
LAST_TURN_OPEN = QWEN2_5.replace(
    "{{ m['content'] }}<|im_end|>\n", "{{ m['content'] }}{% if not loop.last %}<|im_end|>\n{% endif %}"
)
OTHER_HEADER = QWEN2_5.replace("<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n<think>\n{% endif %}")


def ids_of(made: PreTrainedTokenizerFast, *tokens: str) -> frozenset[int]:
    return frozenset(made.convert_tokens_to_ids(token) for token in tokens)


def embedded() -> PreTrainedTokenizerFast:
    return load_model("embedded", device="cpu").tokenizer


@pytest.mark.parametrize(
    ("made", "end"),
    [
        (embedded(), "<|im_end|>"),
        (tokenizer(QWEN2_5, "<|im_end|>"), "<|im_end|>"),
        (tokenizer(SMOLLM2, "<|im_end|>"), "<|im_end|>"),
        (tokenizer(LLAMA3, "<|eot_id|>"), "<|eot_id|>"),
        (tokenizer(GEMMA, "<eos>"), "<end_of_turn>"),
    ],
    ids=["embedded", "qwen2.5", "smollm2", "llama3", "gemma"],
)
def test_appended_ids_are_those_of_the_whole_dialogue(made: PreTrainedTokenizerFast, end: str) -> None:
    chat = Chat(made, "Ask or code.", end_ids=ids_of(made, end))
    dialogue = [
        ("What is the order?", "Ascending.\nMind it."),
        ("Is it as\n\nbefore?", "No. <3"),
        ("Who wins?", "All."),
    ]
    ids = list(chat.prompt_ids(VARIANT))
    messages = [{"role": "user", "content": "Ask or code.\n\nWrite f(xs)."}]
    for reply, answer in dialogue:
        ids += [*made.encode(reply, add_special_tokens=False), *ids_of(made, end), *chat.user_turn_ids(answer)]
        messages += [{"role": "assistant", "content": reply}, {"role": "user", "content": answer}]
        assert ids == made.apply_chat_template(messages, tokenize=True, return_dict=False, add_generation_prompt=True)


def test_a_template_that_writes_the_date_gives_the_same_ids_on_every_day() -> None:
    today = "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    dated = today + "<|im_start|>system\nToday is {{ date_string }}.<|im_end|>\n" + QWEN2_5
    made = tokenizer(dated, "<|im_end|>")
    text = made.decode(Chat(made, end_ids=ids_of(made, "<|im_end|>")).prompt_ids(VARIANT))
    assert "Today is 26 Jul 2024." in text


@pytest.mark.parametrize(
    "template",
    [COUNTS_TURNS, STRIPS_THINKING, COUNTS_MESSAGES_FIRST, NEVER_ENDS, LAST_TURN_OPEN, OTHER_HEADER],
    ids=["counts turns", "strips thinking", "counts messages", "never ends", "last turn open", "other header"],
)
def test_a_template_that_is_not_prefix_preserving_is_refused(template: str) -> None:
    with pytest.raises(ConfigError, match=r"chat template cannot be used for dialogues.*prefix-preserving.*ChatML"):
        Chat(tokenizer(template, "<|im_end|>"))


def test_without_the_token_that_ends_a_turn_the_message_names_those_that_were_tried() -> None:
    with pytest.raises(ConfigError, match=r"end-of-turn token \(tried '<eos>'\)"):
        Chat(tokenizer(GEMMA, "<eos>"))


def test_a_template_that_only_takes_other_roles_is_refused_in_a_sentence() -> None:
    picky = "{{ raise_exception('Only user and assistant roles are supported!') }}"
    with pytest.raises(ConfigError, match="Only user and assistant roles"):
        Chat(tokenizer(picky, "<|im_end|>"))


def test_a_turn_may_end_with_any_of_several_tokens() -> None:
    made = tokenizer(LLAMA3, "<eos>")
    ends = ids_of(made, "<eos>", "<|eot_id|>")
    assert Chat(made, end_ids=ends).user_turn_ids("Yes.") == Chat(
        made, end_ids=ids_of(made, "<|eot_id|>")
    ).user_turn_ids("Yes.")


def test_the_tokenizers_own_end_is_the_default() -> None:
    made = tokenizer(QWEN2_5, "<|im_end|>")
    assert Chat(made).end_ids == ids_of(made, "<|im_end|>")


def test_an_instruction_stands_before_the_problem_and_nothing_does_without_one() -> None:
    made = tokenizer(QWEN2_5, "<|im_end|>")
    assert Chat(made, "Ask first.").first_message(VARIANT) == "Ask first.\n\nWrite f(xs)."
    assert Chat(made).first_message(VARIANT) == "Write f(xs)."


def test_decoding_gives_the_code_as_it_was_written() -> None:
    made = tokenizer(QWEN2_5, "<|im_end|>")
    code = "x = ' , ' if a != b else ' . '  # don 't\n\n    ? ! n't"
    ids: Sequence[int] = [*made.encode(code, add_special_tokens=False), *ids_of(made, "<|im_end|>")]
    assert Chat(made).decode(ids) == code


def test_the_last_index_of_nothing_is_minus_one() -> None:
    assert last_index([1, 2, 3, 2], {2}) == 3
    assert last_index([1, 2, 3], {5}) == -1
    assert last_index([], {5}) == -1


def test_a_template_that_rewrites_earlier_turns_may_be_rendered_anew_where_nothing_is_trained() -> None:
    made = tokenizer(STRIPS_THINKING, "<|im_end|>")
    chat = Chat(made, anew=True)
    said = [
        Message("user", "Write it."),
        Message("assistant", "<think>Hm.</think>Which order?"),
        Message("user", "Up."),
    ]
    text = made.decode(chat.context_ids(said))
    assert "Hm." not in text
    assert text.endswith("<|im_start|>user\nUp.<|im_end|>\n<|im_start|>assistant\n")


def test_a_dialogue_rendered_anew_gives_each_turn_the_template_of_the_whole() -> None:
    made = tokenizer(COUNTS_TURNS, "<|im_end|>")
    chat, read = Chat(made, anew=True), list[str]()

    class Asks(Policy):
        def generate(self, requests: Sequence[Request]) -> list[Sample]:
            read.extend(made.decode(request.context) for request in requests)
            text = ASK if requests[0].turn == 0 else DESC
            return [Sample((*chat.encode(text), made.eos_token_id), None, True) for _ in requests]

    (episode,) = play((UNCLEAR, ()), policy=Asks(), using=chat)
    assert episode.solved
    assert len(episode.questions) == 1
    assert read[1].count("<|im_start|>") == 4
    assert read[1].endswith("<|im_start|>assistant 4\n")
    assert all(bit == 1 for bit in episode.policy_mask)


def test_a_reply_that_begins_inside_a_thought_is_known_by_the_template() -> None:
    assert Chat(tokenizer(OTHER_HEADER, "<|im_end|>"), anew=True).opens_thinking
    assert not Chat(tokenizer(QWEN2_5, "<|im_end|>")).opens_thinking


@pytest.mark.parametrize("name", ["qwen3", "qwen3_5_think", "qwen3_6"])
def test_trls_training_template_stands_in_for_one_that_cannot_be_trained_on(name: str) -> None:
    folder = Path(trl.__file__).parent / "chat_templates"
    own, training = ((folder / f"{name}{kind}.jinja").read_text() for kind in ("", "_training"))
    made = tokenizer(own, "<|im_end|>")
    with pytest.raises(ConfigError, match="cannot be used for dialogues"):
        Chat(made)
    chat = make_chat(Config(), made, ids_of(made, "<|im_end|>"))
    assert made.chat_template == training
    assert not chat.anew
    said = made.decode(chat.encode(chat.said(DESC)))
    assert parse_reply(said, in_thought=chat.opens_thinking).text == DESC


def test_one_that_trl_does_not_know_is_evaluated_anew_and_never_trained_on() -> None:
    made = tokenizer(COUNTS_TURNS, "<|im_end|>")
    assert make_chat(Config(), made, ids_of(made, "<|im_end|>"), trains=False).anew
    with pytest.raises(ConfigError, match="cannot be used for dialogues"):
        make_chat(Config(), made, ids_of(made, "<|im_end|>"))
    assert made.chat_template == COUNTS_TURNS


def test_an_instruction_may_have_the_statement_inside_it() -> None:
    around = TextChat("Answer or ask: {problem}").first_message(UNCLEAR)
    assert around == f"Answer or ask: {UNCLEAR.prompt}"
    before = TextChat("Answer or ask.").first_message(UNCLEAR)
    assert before == f"Answer or ask.\n\n{UNCLEAR.prompt}"
