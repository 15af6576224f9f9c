"""Training: pretraining of the base model, SFT on demonstrations, and RL; the only package that imports trl."""
