"""Edits: each finds one kind of fact in a problem, as executable readings. One file each."""
