"""Training: the base model's pretraining, SFT on demonstrations, and reinforcement learning; the only package that imports trl."""
