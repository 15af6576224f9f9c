"""A price of a question that is said in the prompt, and drawn anew for each episode.

One checkpoint then serves every price, and playing it at several draws the whole curve from asking little to asking
much. After steerable clarification (arXiv 2512.04068), whose users set the price as they like.
"""

from __future__ import annotations

from dataclasses import dataclass

from clarify_rl.seeds import derive_seed


@dataclass(frozen=True)
class Prices:
    """The prices to draw from, none by default, and how one is said."""

    values: tuple[float, ...] = ()
    note: str = ""

    def drawn(self, *parts: object) -> float | None:
        """One of the prices, by what the choice is about; None where there are none."""
        return self.values[derive_seed("price", *parts) % len(self.values)] if self.values else None

    def said(self, price: float | None) -> str:
        """What the prompt says about a price; "" about none."""
        return "" if price is None else self.note.format(price=f"{price:g}")
