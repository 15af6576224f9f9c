"""The experiments that ship with clarify-rl: one YAML file each, opening with the command that runs it."""
