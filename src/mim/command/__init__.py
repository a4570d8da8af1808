"""What `python -m mim <command>` runs: one module a command; its docstring is the help, `run(arguments, configs)` does it."""
