"""Rewards, one a file; installs as clarify_rl.rewards."""
