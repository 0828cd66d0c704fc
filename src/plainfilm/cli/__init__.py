"""The command line: one module per verb; each imports what it needs when it runs.

The module of a verb has an ``EXAMPLE``, the function ``add_arguments``, which completes the parser,
and the function ``run``, which returns the exit status.
"""
