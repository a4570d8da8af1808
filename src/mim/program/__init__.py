"""What `python -m mim <command>` says of itself: one module a command, whose docstring is its help.

They import nothing that takes seconds.
"""
