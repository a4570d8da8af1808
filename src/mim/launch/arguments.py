"""Arguments of `python -m mim <command>`: what they say of a wrong one is a line, and a path may
begin with a tilde.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from mim.launch.check import nearest


class Arguments(argparse.ArgumentParser):
    """Parser of a command's arguments, whose help is the docstring of its module.

    Args:
        program: as it is typed, `python -m mim embed`.
        description: the help.
        others: those of `argparse.ArgumentParser`.
    """

    def __init__(self, program: str | None = None, description: str | None = None, **others: Any):
        raw = {"formatter_class": argparse.RawDescriptionHelpFormatter}
        super().__init__(**({"prog": program} | raw | others), description=description)

    def parse_args(self, args: Sequence[str] | None = None, namespace: object = None) -> Any:  # type: ignore[override]
        """What was given.

        Raises:
            ValueError: one line about the first argument that is none.
        """
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            options = sorted(
                {
                    name
                    for parser in self._chosen(args or ())
                    for name in parser._option_string_actions
                }
            )
            raise ValueError(
                f"{self.prog} takes no {unknown[0]}; "
                f"{nearest(unknown[0].partition('=')[0], options)}"
            )
        return known

    def error(self, message: str) -> NoReturn:
        """Refuse an argument.

        Raises:
            ValueError: in argparse's words, with the way to the help.
        """
        raise ValueError(f"{self.prog}: {message}; {self.prog} --help says what there is")

    def _chosen(self, arguments: Sequence[str]) -> list["Arguments"]:
        """This parser, and those of the commands in it that were given."""
        below = [
            action.choices
            for action in self._actions
            if isinstance(action, argparse._SubParsersAction)
        ]
        return [
            self,
            *(parser for choices in below for name, parser in choices.items() if name in arguments),
        ]


def path(text: str) -> Path:
    """A path; shells leave a tilde after `=` or in quotes to the program."""
    return Path(text).expanduser()
