"""TRL's training templates: what it has in place of chat templates that rewrite earlier turns of a dialogue."""

from __future__ import annotations

from transformers import PreTrainedTokenizerFast
from trl.chat_template_utils import get_training_chat_template


def training_template(tokenizer: PreTrainedTokenizerFast) -> str | None:
    """TRL's template for the tokenizer's own, or None where TRL does not know it, or finds nothing wrong with it."""
    try:
        template: str | None = get_training_chat_template(tokenizer)
    except ValueError:  # a template that it does not know
        return None
    return template
