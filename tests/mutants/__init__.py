"""Proof that the tests hold the isolation: take one protection away at a time, and see them turn red.

`uv run python -m tests.mutants` does it all; a word or two choose mutants by their names, `--list` only names them.
"""
