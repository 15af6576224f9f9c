"""Whether dialogues fit into a model's context, told before the work begins."""

from __future__ import annotations

from collections.abc import Sequence

from clarify_rl.dialogue.chat import Chat, TextChat
from clarify_rl.dialogue.episodes import DialogueLimits
from clarify_rl.pipeline.terminal import say
from clarify_rl.types import Variant

_FRAME = 512  # tokens that a template may add; a statement has fewer tokens than letters


def say_what_is_cut_off(chat: Chat | TextChat, limits: DialogueLimits, variants: Sequence[Variant]) -> None:
    """Warns of statements that leave less room than `dialogue.total_tokens`; a server's context is not known here."""
    letters = max((len(chat.first_message(variant).encode()) for variant in variants), default=0)
    if isinstance(chat, TextChat) or letters + _FRAME + limits.total_tokens <= limits.context_tokens:
        return
    lengths = [len(chat.prompt_ids(variant)) for variant in variants]
    room = limits.context_tokens - limits.total_tokens
    cut = sum(length > room for length in lengths)
    if cut:
        left = limits.context_tokens - max(lengths)
        advice = f"Set dialogue.total_tokens={left}, or take" if left > 0 else "Leave the longest out, or take"
        say(
            f"[yellow]The model holds {limits.context_tokens} tokens, and {cut} of {len(lengths)} statements (the "
            f"longest has {max(lengths)}) leave fewer than dialogue.total_tokens={limits.total_tokens} for the "
            f"dialogue. What is cut off so counts as unmeasured. {advice} a model that holds more.[/yellow]"
        )
