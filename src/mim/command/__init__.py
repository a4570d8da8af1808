"""What `python -m mim <command>` does, once what it was given is sound: one module a command; and
the same from Python (`from_python.py`).
"""
