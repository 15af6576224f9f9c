"""Synthesis: Problem -> Variants that hide, blur or contradict facts, and the replies of an exemplary engineer to them."""
