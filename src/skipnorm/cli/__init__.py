"""Arguments in, library calls out: `skipnorm --help`.

Nothing heavier than typer and rich is imported before a command has begun.
"""
