"""Four kinds of models in miniature: chat templates, tokenizers and random weights that behave as well-known ones do.

Each shows one trait that dialogues must live with: a system prompt that nobody asked for (Qwen2.5, SmolLM2), a date in
the system prompt and headers of several tokens (Llama 3), and no system role, another name for the assistant, contents
that lose their spaces, and an end of turn that is not the tokenizer's end of text (Gemma).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from clarify_rl.dialogue.chat import Chat

QWEN2_5 = (
    "{% if messages[0]['role'] == 'system' %}<|im_start|>system\n{{ messages[0]['content'] }}<|im_end|>\n"
    "{% else %}<|im_start|>system\nYou answer as Qwen would.<|im_end|>\n{% endif %}"
    "{% for m in messages if m['role'] != 'system' %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SMOLLM2 = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}<|im_start|>system\nYou answer as SmolLM "
    "would.<|im_end|>\n{% endif %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{{- bos_token }}{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] | trim %}"
    "{%- set messages = messages[1:] %}{%- else %}{%- set system = '' %}{%- endif %}"
    "{{- '<|start_header_id|>system<|end_header_id|>\n\nToday: ' + (today | default('26 Jul 2024')) + '\n\n' + system "
    "+ '<|eot_id|>' }}{%- for m in messages %}"
    "{{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}"
    "{%- endfor %}{%- if add_generation_prompt %}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system role') }}{% endif %}"
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + m['content'] | trim "
    "+ '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)

SPECIALS = (
    "<unk> <pad> <bos> <eos> <|im_start|> <|im_end|> <|start_header_id|> <|end_header_id|> <|eot_id|> "
    "<start_of_turn> <end_of_turn>"
).split()
MERGES = [("a", "s"), ("e", "r"), ("Ċ", "Ċ"), ("i", "s"), ("t", "h"), (".", "Ċ")]


def byte_tokenizer(template: str, end: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with a few merges, so that text joined otherwise has other tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*SPECIALS, *letters, *map("".join, MERGES)])}
    backend = Tokenizer(BPE(vocab=vocabulary, merges=MERGES, unk_token="<unk>"))
    # As Llama 3 and Qwen2.5 do: newlines stay together, whatever follows.
    lines = pre_tokenizers.Split(Regex(r"\s*[\r\n]+|\s+(?!\S)|\s*\S+"), "isolated")
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([lines, bytes_only])
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(SPECIALS)
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<unk>",
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token=end,
        clean_up_tokenization_spaces=True,
        clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output=True,
    )
    made.chat_template = template
    return made


ROWS = 320  # embeddings: more than the tokenizer has tokens, as those of many models, so a policy may sample no token


@dataclass(frozen=True)
class Kind:
    """A model family: its template, the token that ends a turn, the tokenizer's own end of text, and its weights."""

    name: str
    template: str
    end_of_turn: str
    end_of_text: str
    make: Callable[[dict[str, Any]], Any]  # Any: options and classes of transformers

    def tokenizer(self) -> PreTrainedTokenizerFast:
        return byte_tokenizer(self.template, self.end_of_text)

    def chat(self) -> Chat:
        made = self.tokenizer()
        ends = made.convert_tokens_to_ids([self.end_of_turn, self.end_of_text])
        return Chat(made, "Ask or code.", end_ids=frozenset(ends))

    def model(self) -> Any:  # Any: a class of transformers
        torch.manual_seed(0)
        sizes = {
            "vocab_size": ROWS,
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 1024,
            "initializer_range": 0.3,  # large, so that no gradient is zero by chance
        }
        made = self.make(sizes).eval()
        made.generation_config.eos_token_id = self.tokenizer().convert_tokens_to_ids(self.end_of_turn)
        return made


KINDS = (
    Kind(
        "qwen2.5",
        QWEN2_5,
        "<|im_end|>",
        "<|im_end|>",
        lambda sizes: Qwen2ForCausalLM(Qwen2Config(**sizes, tie_word_embeddings=True)),
    ),
    Kind("smollm2", SMOLLM2, "<|im_end|>", "<|im_end|>", lambda sizes: LlamaForCausalLM(LlamaConfig(**sizes))),
    Kind("llama3", LLAMA3, "<|eot_id|>", "<|eot_id|>", lambda sizes: LlamaForCausalLM(LlamaConfig(**sizes))),
    Kind(
        "gemma",
        GEMMA,
        "<end_of_turn>",
        "<eos>",
        lambda sizes: Gemma2ForCausalLM(
            Gemma2Config(**sizes, head_dim=8, sliding_window=32, final_logit_softcapping=5.0)
        ),
    ),
)
