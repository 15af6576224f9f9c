"""What a base model reads: what it is to code is complete, and it learns which sentences of a statement are unclear."""

from collections import Counter
from itertools import islice
from random import Random

from clarify_rl.problems.bank.draw import Draw, draws
from clarify_rl.problems.bank.families import FAMILIES
from clarify_rl.synthesis.base_text import base_dialogue
from clarify_rl.types import Message


def dialogues(count: int, **shares: float) -> list[tuple[Draw, tuple[Message, ...]]]:
    rng = Random(4)
    every = {"completed_share": 0.0, "reading_share": 0.0, "unclear_share": 0.0, **shares}
    return [(draw, base_dialogue(draw, rng, **every)) for draw in islice(draws(FAMILIES, "train", 4), count)]


def test_an_unclear_statement_is_never_coded_and_nobody_asks_unasked() -> None:
    shares = {"completed_share": 0.3, "reading_share": 0.2, "unclear_share": 0.3}
    for draw, messages in dialogues(300, **shares):
        *before, reply = messages
        assert reply.role == "assistant" and all(message.role == "user" for message in before)
        assert "?" not in reply.content.replace("'?'", "") or reply.content.startswith("```")
        if draw.solution.strip() in reply.content:
            told = " ".join(message.content for message in before)
            answers = [(draw.sentence(spec), *draw.option(spec).answers) for spec in draw.facts]
            assert all(any(text in told for text in texts) for texts in answers)


def test_what_is_unclear_is_read_from_the_statement_and_a_clear_one_has_nothing() -> None:
    replies = Counter[str]()
    for draw, (asked, reply) in dialogues(300, unclear_share=1.0):
        if reply.content == "Nothing.":
            replies["clear"] += 1
            assert asked.content.startswith(draw.prompt)
            continue
        stated = {draw.sentence(spec) for spec in draw.facts}
        left = reply.content
        for sentence in sorted(stated, key=len, reverse=True):
            left = left.replace(sentence, "")
        assert left.strip(), "the sentences that are the truth alone leave nothing unclear"
        for sentence in reply.content.split(". "):
            assert sentence.rstrip(".") in asked.content
        replies["unclear"] += 1
    assert replies["clear"] > 50 and replies["unclear"] > 150
