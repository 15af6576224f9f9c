"""What a reply is: seven classes, exactly one for every text, in time that grows with its length only."""

import gzip
import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from clarify_rl.dialogue.replies import find_questions, parse_reply
from clarify_rl.types import ReplyKind

SHARED = Path(__file__).parents[3] / "shared" / "data"
CODE = "def f(x):\n    return x"
FENCED = f"```python\n{CODE}\n```"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("What is the limit?", ReplyKind.QUESTION),
        ("1. What is the limit?\n2. Does case matter?", ReplyKind.QUESTION),
        ("I wonder.\n**Which order?** Thanks.", ReplyKind.QUESTION),
        ("Which separator, `?` or `,`?", ReplyKind.QUESTION),
        (FENCED, ReplyKind.CODE),
        (f"```\n{CODE}\n```", ReplyKind.CODE),
        (f"~~~python\n{CODE}\n~~~", ReplyKind.CODE),
        (f"Here it is:\n{FENCED}\nIt returns x.", ReplyKind.CODE),
        (f"Here it is: {FENCED}", ReplyKind.CODE),
        (f"{FENCED}\n{FENCED}", ReplyKind.CODE),
        ("```python\n" + CODE + "```", ReplyKind.CODE),
        ("```python\ndef f(x):  # really?\n    '''Is it?'''\n    return x == '?'\n```", ReplyKind.CODE),
        ("```python\n```", ReplyKind.CODE),
        (f"What is the limit?\n{FENCED}", ReplyKind.MIXED),
        (f"{FENCED}\nIs that right?", ReplyKind.MIXED),
        (f"{FENCED}\nIs it?\n{FENCED}", ReplyKind.MIXED),
        (CODE, ReplyKind.BARE_CODE),
        ("def f(x):  # really?\n    return x", ReplyKind.BARE_CODE),
        ("import math", ReplyKind.BARE_CODE),
        (f"```python\n{CODE}", ReplyKind.BARE_CODE),
        ("", ReplyKind.EMPTY),
        (" \n\t\n ", ReplyKind.EMPTY),
        ("I cannot tell.", ReplyKind.OTHER),
        ("?", ReplyKind.OTHER),
        ("?!? ... ?", ReplyKind.OTHER),
        ("x = 1", ReplyKind.OTHER),
        ("Use `a ? b : c` here.", ReplyKind.OTHER),
        ("See https://example.org/?page=2 for more.", ReplyKind.OTHER),
        ("```python\ndef f(x:  # what now?\n", ReplyKind.OTHER),
        ("What is the limit?\n```python\ndef f(x:", ReplyKind.OTHER),
    ],
)
def test_every_reply_has_its_class(text: str, kind: ReplyKind) -> None:
    reply = parse_reply(text)
    assert reply.kind is kind
    assert bool(reply.questions) == (kind in (ReplyKind.QUESTION, ReplyKind.MIXED))
    assert (reply.code is not None) == (kind in (ReplyKind.CODE, ReplyKind.MIXED, ReplyKind.BARE_CODE))


@pytest.mark.parametrize("text", ["What is the limit?", FENCED, CODE, "Hm", f"Why?\n{FENCED}"])
def test_what_the_budget_cut_off_is_truncated_whatever_it_holds(text: str) -> None:
    reply = parse_reply(text, finished=False)
    assert reply.kind is ReplyKind.TRUNCATED
    assert not reply.questions
    assert reply.code is None


@pytest.mark.parametrize(
    ("text", "in_thought", "thinking", "said"),
    [
        (f"<think>\nHm?\n</think>\n\n{FENCED}", False, "Hm?", FENCED),
        (f"Hm?\n</think>\n\n{FENCED}", True, "Hm?", FENCED),
        (f"<think>Hm?</think>{FENCED}", True, "Hm?", FENCED),
        (f"Hm?\n</think>\n{FENCED}", None, "Hm?", FENCED),  # a server, whose template may have opened it
        (FENCED, None, "", FENCED),
        ("<think></think>", False, "", ""),
        ("It prints '</think>'. Fine?", False, "", "It prints '</think>'. Fine?"),
    ],
)
def test_thinking_stands_apart_from_what_is_said(text: str, in_thought: bool | None, thinking: str, said: str) -> None:
    reply = parse_reply(text, in_thought=in_thought)
    assert (reply.thinking, reply.text) == (thinking, said.strip())
    assert replace(reply, thinking="") == parse_reply(said)


@pytest.mark.parametrize(("text", "in_thought"), [(f"<think>{FENCED}", False), (FENCED, True), ("Why?", True)])
def test_thinking_that_never_ends_says_nothing(text: str, in_thought: bool) -> None:
    reply = parse_reply(text, in_thought=in_thought)
    assert (reply.kind, reply.text, reply.questions, reply.code) == (ReplyKind.TRUNCATED, "", (), None)


def test_nothing_that_the_budget_cut_off_is_empty() -> None:
    assert parse_reply("  ", finished=False).kind is ReplyKind.EMPTY


def test_the_first_block_is_the_answer_and_stays_as_it_was_written() -> None:
    first = 'def f(x):\r\n    s = "```"\n    return "\x0c?" + s'
    assert parse_reply(f"```py\n{first}\n```\nor\n```py\nx = 2\n```").code == first + "\n"
    assert parse_reply("````\n```\n````").code == "```\n"


def test_each_question_counts_once_and_is_kept_as_it_was_asked() -> None:
    text = 'Hello. What is the limit??\n- Which one, "?" or `,`?  And (in a tie) who wins?! Version 3.5 is fine.'
    assert find_questions(text) == ("What is the limit??", 'Which one, "?" or `,`?', "And (in a tie) who wins?!")


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "a " * 100_000 + "?",
        "?" * 200_000,
        "? " * 100_000,
        "?*" * 100_000,
        "?" + "*" * 200_000,
        " " * 100_000 + "x" + "\t" * 100_000,
        "```" * 66_000,
        "`" * 200_000 + "~x",
        "`" * 200_000 + "x`",
        "~" * 200_000 + "`x",
        "a```x\n" * 33_000,
        "```python\n" * 20_000,
        "```python\n" + "x\n" * 100_000,
        '"?' * 100_000,
        "(" * 200_000,
        "[" * 90 + "]" * 90 + "\n" * 199_000,
        "-" * 200_000 + "1",
        "not " * 50_000 + "x",
        "x" + ".a" * 100_000,
        "x" + "[0]" * 66_000,
        "lambda: " * 25_000 + "0",
        "def f():\n    pass\n" * 11_000,
        "\n" * 200_000 + "x",
        "\x00" * 200_000,
    ],
    ids=lambda text: text[:12],
)
def test_no_text_takes_long_to_read(text: str) -> None:
    for reply in (text, f"```python\n{text}", f"{text}\n```python\nx\n```"):
        start = time.process_time()
        parse_reply(reply)
        assert time.process_time() - start < 60  # what grows with the square would take an hour


@pytest.mark.parametrize("tail", [f"import a{'.b' * 40_000}", "x = 1\n" * 20_000, "("])
def test_a_long_reply_is_read_in_a_moment_and_by_its_beginning(tail: str) -> None:
    head = "def f():\n    return 1\n" * 500
    assert parse_reply(f"{head}{tail}").kind is ReplyKind.BARE_CODE
    assert parse_reply(f"import a{'.b' * 40_000}").kind is not ReplyKind.CODE


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (
            "The problem does not specify whether the list is sorted. Please clarify.",
            ("The problem does not specify whether the list is sorted.",),
        ),
        ("Please clarify.", ("Please clarify.",)),
        ("It is not clear which limit is meant.", ("It is not clear which limit is meant.",)),
        ("I need to know the value of K. With it, I can go on.", ("I need to know the value of K.",)),
        ("Could you tell me the order", ("Could you tell me the order",)),
        ("The statement is ambiguous about ties.", ("The statement is ambiguous about ties.",)),
        (
            "I need more information. Please provide the following details:\n1. The format of the date.\n2. The unit.",
            ("The format of the date.", "The unit."),
        ),
        ("Should I use this mapping:\n- 1: one\n- 2: two", ("Should I use this mapping: 1: one 2: two",)),
        ("```markdown\nWhich order is meant?\n```", ("Which order is meant?",)),
    ],
)
def test_a_reply_without_a_question_mark_may_ask(text: str, asked: tuple[str, ...]) -> None:
    reply = parse_reply(text)
    assert reply.kind is ReplyKind.QUESTION
    assert tuple(question.rstrip(".") for question in reply.questions) == tuple(one.rstrip(".") for one in asked)


@pytest.mark.parametrize(
    "text",
    [
        "The task is clear and does not require clarification.",
        "No questions.",
        "If you need anything else, let me know.",
        "Let me know if you have any questions.",
        "If the list is not given, the function returns None.",
        "The function sorts the numbers and returns the first.",
        "There is nothing unclear and nothing ambiguous here, I need no more information.",
    ],
)
def test_courtesies_and_explanations_ask_nothing(text: str) -> None:
    assert parse_reply(text).kind is ReplyKind.OTHER


def test_beside_code_an_offer_is_no_question_and_a_request_is_none_either() -> None:
    offer = f"{FENCED}\nWould you like me to add tests?"
    request = f"It is not specified what x is.\n{FENCED}\nPlease tell me if that is right."
    assert [parse_reply(text).kind for text in (offer, request)] == [ReplyKind.CODE, ReplyKind.CODE]


def macro_f1(read: Mapping[str, Counter[str]], classes: Mapping[str, str]) -> float:
    """The mean over the classes of 2 tp / (2 tp + fp + fn), by label and by what the reader said."""
    scores = []
    for label, kind in classes.items():
        hit, labelled = read[label][kind], read[label].total()
        said = sum(counts[kind] for counts in read.values())
        scores.append(2 * hit / (labelled + said))
    return sum(scores) / len(scores)


def test_recorded_replies_of_real_models_are_read_as_a_person_reads_them() -> None:
    """300 distinct first replies, labelled by hand: 130 drawn from those with code, 170 from the others."""
    folder = SHARED / "recorded"
    if not folder.is_dir():
        pytest.skip("the recorded replies of HumanEvalComm's models are not here")
    files = [gzip.decompress(path.read_bytes()).decode() for path in folder.glob("*.gz")]
    rows = [json.loads(line) for text in files for line in text.splitlines()]
    texts = {
        hashlib.sha256(text.encode()).hexdigest()[:16]: text for row in rows if (text := row["first_reply"].strip())
    }
    labels = dict(line.split() for line in (Path(__file__).parent / "recorded_replies.txt").read_text().splitlines())
    read = {name: Counter[str]() for name in ("asks", "code", "mixed", "bare", "neither")}
    for name, label in labels.items():
        read[label][parse_reply(texts[name]).kind.value] += 1
    classes = {"asks": "question", "code": "code", "mixed": "mixed", "bare": "bare_code", "neither": "other"}
    assert macro_f1({label: read[label] for label in classes}, classes) >= 0.95
    assert read["asks"]["question"] >= 0.97 * read["asks"].total()
    assert read["code"]["code"] >= 0.99 * read["code"].total()
    assert read["neither"]["other"] >= 0.97 * read["neither"].total()
    assert read["mixed"]["mixed"] == read["mixed"].total() and read["bare"]["bare_code"] == read["bare"].total()


def test_what_only_announces_questions_is_none_unless_it_is_all_there_is() -> None:
    assert find_questions("Could you please provide more details?\n1. Which order?\n2. Why?") == (
        "Which order?",
        "Why?",
    )
    assert find_questions("Could you please provide more details?") == ("Could you please provide more details?",)
    assert find_questions("Can you give more details on the order?") == ("Can you give more details on the order?",)
