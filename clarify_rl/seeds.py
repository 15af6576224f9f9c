"""Seeds for every random choice, derived from what the choice is about, never from a global state."""

from __future__ import annotations

import hashlib


def derive_seed(*parts: object) -> int:
    """A 31-bit seed that depends on every part, e.g. (run seed, step, variant id, sample index)."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
