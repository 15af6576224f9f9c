"""Edits: each finds one kind of fact in a problem, as executable readings. One file each; their order is the table's."""
