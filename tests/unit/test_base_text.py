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


def test_an_unclear_statement_is_never_coded_and_nobody_asks_unless_told_to_say_what_is_unclear() -> None:
    for draw, (*before, reply) in dialogues(300, completed_share=0.3, reading_share=0.2, unclear_share=0.3):
        assert reply.role == "assistant" and all(message.role == "user" for message in before)
        told = " ".join(message.content for message in before)
        if any(question in reply.content for spec in draw.facts for question in spec.asks):
            assert told.endswith(("unclear?", "open?"))
        if draw.solution.strip() in reply.content:
            facts = [(draw.sentence(spec), *draw.option(spec).answers) for spec in draw.facts]
            assert all(any(text in told for text in texts) for texts in facts)


def test_what_is_unclear_is_a_question_for_each_fact_that_is_and_nothing_for_a_complete_statement() -> None:
    replies = Counter[str]()
    for draw, (asked, reply) in dialogues(300, unclear_share=1.0):
        complete = all(draw.sentence(spec) in asked.content for spec in draw.facts)
        named = [spec for spec in draw.facts if any(question in reply.content for question in spec.asks)]
        if reply.content == "Nothing.":
            replies["clear"] += 1
            assert asked.content.startswith(draw.prompt)
            continue
        assert named
        if complete:  # then something else is said, too
            statement, question = asked.content.rsplit(". ", 1)
            left = statement.removeprefix(draw.opening)
            for spec in draw.facts:
                left = left.replace(draw.sentence(spec).rstrip("."), "", 1)
            assert question.endswith("?") and left.strip(". ")
        replies["contradicted" if complete else "blurred"] += 1
    assert replies["clear"] > 50 and replies["blurred"] > 30 and replies["contradicted"] > 80
