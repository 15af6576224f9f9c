"""What plugins return, looked at before anything relies on it: a slip is one sentence with the plugin and the field.

No type checker may have seen a plugin, and what is wrong with one answer would otherwise show up as a wrong reward, or
end the run in the middle of something else.
"""

from __future__ import annotations

import math
import struct
import traceback
from pathlib import Path

from clarify_rl.types import Answer, Exchange, Execution, Heard, Outcome, Rating, Response, Score, Stop

_OURS = Path(__file__).parents[1]


class ReturnedError(ValueError):
    """A plugin returned what it must not."""


def check_response(env: str, user: str, exchange: Exchange, response: object) -> Response:
    """The response as it is. ReturnedError names the environment or, where the answer is at fault, the user."""
    if not isinstance(response, Response):
        raise ReturnedError(f"environment {env} returned a {_type(response)}, not a Response")
    _check_field(f"environment {env}: Response.stop", response.stop, Stop | None)
    _check_field(f"environment {env}: Response.execution", response.execution, Execution | None)
    _check_field(f"environment {env}: Response.failure", response.failure, str)
    if response.answer is None and response.stop is None:
        raise ReturnedError(f"environment {env} returned neither an answer nor a stop")
    if response.stop is Stop.FAILED and not response.failure:
        raise ReturnedError(f"environment {env} says that the episode failed, and gives no reason: Response.failure")
    if response.answer is not None:
        _check_answer(f"user {user}", exchange, response.answer)
    return response


def _check_answer(whose: str, exchange: Exchange, answer: object) -> None:
    if not isinstance(answer, Answer):
        raise ReturnedError(f"{whose} answered with a {_type(answer)}, not an Answer")
    _check_field(f"{whose}: Answer.text", answer.text, str)
    _check_facts(f"{whose}: Answer.volunteered", exchange, answer.volunteered)
    _check_field(f"{whose}: Answer.heard", answer.heard, tuple | list)
    questions = len(exchange.reply.questions)
    if answer.heard and len(answer.heard) != questions:
        raise ReturnedError(f"{whose}: Answer.heard has {len(answer.heard)} entries for {questions} questions")
    for heard in answer.heard:
        _check_heard(whose, exchange, heard)


def _check_heard(whose: str, exchange: Exchange, heard: object) -> None:
    if not isinstance(heard, Heard):
        raise ReturnedError(f"{whose}: Answer.heard must be a tuple of Heard, found {_shown(heard)}")
    _check_field(f"{whose}: Heard.outcome", heard.outcome, Outcome)
    _check_facts(f"{whose}: Heard.facts", exchange, heard.facts)
    tells = heard.outcome in (Outcome.REVEALED, Outcome.REPEATED)
    if tells != bool(heard.facts):
        slip = "names no fact" if tells else f"names the facts {', '.join(heard.facts)}, which it cannot tell"
        raise ReturnedError(f"{whose}: Heard with the outcome {heard.outcome} {slip}")


def _check_facts(field: str, exchange: Exchange, facts: object) -> None:
    if not isinstance(facts, tuple | list) or not all(isinstance(fact_id, str) for fact_id in facts):
        hint = ". A tuple of one has a comma: (fact.id,)" if isinstance(facts, str) else ""
        raise ReturnedError(f"{field} must be a tuple of fact ids, found {_shown(facts)}{hint}")
    known = [fact.id for fact in exchange.variant.facts]
    for fact in facts:
        if fact not in known:
            raise ReturnedError(
                f"{field} names {fact!r}, which is no fact of {exchange.variant.id}; its facts are "
                f"{', '.join(known) or 'none'}"
            )


def score_of(reward: str, name: str, weight: float, returned: object, turns: int) -> Score:
    """The record of what a reward returned about an episode of `turns` turns: a number, None, or a Rating.

    ReturnedError for anything else.
    """
    whose = f"reward {reward}"
    rating = returned if isinstance(returned, Rating) else Rating(returned)  # type: ignore[arg-type]  # looked at next
    value = rating.value
    if value is not None and not _is_number(value):
        raise ReturnedError(f"{whose} returned a {_type(value)}, {_shown(value)}, not a number, None or a Rating")
    _check_field(f"{whose}: Rating.why", rating.why, str)
    if value is not None and not _is_finite(float(value)):
        # One such number would make the advantages of its whole group meaningless; training computes in float32.
        said = f"{whose} returned {float(value):g}, which is not a finite number in float32. {rating.why}"
        raise ReturnedError(said.strip())
    by_turn = _check_turns(f"{whose}: Rating.by_turn", rating, turns)
    return Score(name, None if value is None else float(value), weight, rating.why, by_turn)


_ROUNDING = 1e-6


def _check_turns(field: str, rating: Rating, turns: int) -> tuple[float, ...]:
    """What each turn brought, as floats: a number for each, and together the value."""
    given: object = rating.by_turn
    if not isinstance(given, tuple | list) or not all(map(_is_number, given)):
        raise ReturnedError(f"{field} must be a tuple of numbers, found {_shown(given)}")
    by_turn = tuple(map(float, given))
    if by_turn and len(by_turn) != turns:
        raise ReturnedError(f"{field} has {len(by_turn)} numbers for {turns} turns")
    if by_turn and rating.value is not None and not _is_near(sum(by_turn), float(rating.value)):
        raise ReturnedError(f"{field} sums up to {sum(by_turn):g}, but the value is {float(rating.value):g}")
    return by_turn


def _is_near(value: float, other: float) -> bool:
    return abs(value - other) <= _ROUNDING * max(1.0, abs(other))


def raised(whose: str, error: BaseException) -> str:
    """What a plugin raised, and in which line of which file."""
    return f"{whose} raised {type(error).__name__}: {error}{_place(error)}"


def _place(error: BaseException) -> str:
    """The innermost line that is the plugin's: behind the frames of ours that called it, before those of libraries."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not _is_library(frame.filename)]
    return f" ({theirs[-1].filename}:{theirs[-1].lineno})" if theirs else ""


def _is_library(file: str) -> bool:
    """Whether a file is Python's, an installed package's, or of our own core (rewards/ and envs/ hold plugins)."""
    path = Path(file)
    installed = {"site-packages", "dist-packages"} & set(path.parts) or file.startswith("<")
    return bool(installed) or path.is_relative_to(Path(traceback.__file__).parent) or path.is_relative_to(_OURS)


def _is_number(value: object) -> bool:
    """Whether `float` takes it as it is: a number of any library, or True and False, but no text."""
    return hasattr(type(value), "__float__") and not isinstance(value, str)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return False


def _check_field(name: str, value: object, kind: object) -> None:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):  # type: ignore[arg-type]  # a type or a union
        expected = getattr(kind, "__name__", str(kind).replace("clarify_rl.types.", ""))
        raise ReturnedError(f"{name} must be {expected}, found {_shown(value)}")


def _type(value: object) -> str:
    return type(value).__name__


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
