"""Comparisons: variants x seeds, measured one trial at a time, each trial kept in its own file.

Import from the modules: `study` (what is compared), `plan` (its trials), `identity` (their
names), `run` (do what is missing), `executors` (where), `measure` (the doorway from tensors to
labelled arrays).
"""
