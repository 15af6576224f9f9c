"""Synthesis: Problem -> Variants that hide, blur or contradict facts, and an exemplary engineer's replies to them."""
