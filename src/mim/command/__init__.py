"""What `python -m mim <command>` runs: one module a command, whose docstring is its help and whose `run(arguments, configs)` does it."""
