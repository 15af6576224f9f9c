"""Environments and simulated users, one a file; installs as clarify_rl.envs."""
