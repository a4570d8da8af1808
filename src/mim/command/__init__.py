"""What `python -m mim <command>` runs: one module a command.

Its docstring is the help, `add_arguments(parser)` says what it takes, `run(arguments)` does it.
"""
