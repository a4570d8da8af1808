"""What `python -m mim <command>` does, once what it was given is sound: one module a command."""
