"""The stages of a run, a file each: data, train, evaluate, compare. Each reads and writes the run folder only."""
