"""Policies: token ids in, token ids out. Scripted ones for tests and data checks, Hugging Face ones for the rest."""
