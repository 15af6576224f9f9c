"""Dialogues: what a reply is, chat templates as token arithmetic, and the one turn loop of training and evaluation."""
