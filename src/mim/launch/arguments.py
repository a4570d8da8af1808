"""Arguments of `python -m mim <command>`: what they say of a wrong one is a line, and a path may
begin with a tilde.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from mim.launch.check import nearest


class Arguments(argparse.ArgumentParser):
    """Parser of a command's arguments, whose help is the docstring of its module.

    Args:
        program: as it is typed, `python -m mim embed`.
        description: the help.
        refuse: raises a ValueError about arguments that do not go with each other, or with what is
            on the disk; it imports nothing that takes seconds.
        others: those of `argparse.ArgumentParser`.
    """

    def __init__(
        self,
        program: str | None = None,
        description: str | None = None,
        refuse: Callable[[argparse.Namespace], None] | None = None,
        **others: Any,
    ):
        raw = {"formatter_class": argparse.RawDescriptionHelpFormatter}
        super().__init__(**({"prog": program} | raw | others), description=description)
        self.refuse = refuse
        self.counts: list[tuple[str, int, int | None]] = []

    def add_count(
        self,
        name: str,
        help: str,
        default: int | None = None,
        least: int = 1,
        most: int | None = None,
        required: bool = False,
    ) -> None:
        """Add an option that is a whole number within bounds.

        Args:
            name: `--batch-size`.
            help: what it is.
            default: value where it is not given, which may be None.
            least, most: its bounds; None for no upper one.
            required: whether it has to be given.
        """
        self.add_argument(name, type=int, default=default, help=help, required=required)
        self.counts.append((name, least, most))

    def add_size(self, when: str) -> None:
        """Add the image size: one number, or two."""
        self.add_argument(
            "--image-size",
            type=_size,
            metavar="PIXELS",
            help=f"pixels per side, or height x width as 64x16, {when}",
        )

    def add_opening(self) -> None:
        """Add what says how a checkpoint is opened, where the checkpoint itself does not."""
        self.add_size("where not those of the training")
        self.add_argument(
            "--encoder", help="a class of your own that the checkpoint is of: my_module.MyEncoder"
        )
        self.add_count("--heads", "attention heads, where nothing in the checkpoint says")
        self.add_argument(
            "--key", help="which weights of a file that holds several: student, state_dict_ema"
        )

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """What was given.

        Raises:
            ValueError: one line about the first argument that is none.
        """
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            raise ValueError(
                f"{self.prog} takes no {unknown[0]}; {self._instead(unknown[0], args or ())}"
            )
        for parser in self._chosen(args or ()):
            parser._refuse(known)
        return known

    def error(self, message: str) -> NoReturn:
        """Refuse an argument.

        Raises:
            ValueError: in argparse's words, with the way to the help.
        """
        raise ValueError(f"{self.prog}: {message}; {self.prog} --help says what there is")

    def _instead(self, option: str, given: Sequence[str]) -> str:
        """What may be given in the place of an option that is none."""
        name = option.partition("=")[0]
        places = [action.dest for action in self._actions if not action.option_strings]
        if name.removeprefix("--") in places:
            typed = " ".join(f"<{place}>" for place in places)
            return f"it is given without a name: {self.prog} {typed}"
        parsers = self._chosen(given)
        return nearest(
            name, sorted({each for parser in parsers for each in parser._option_string_actions})
        )

    def _refuse(self, given: argparse.Namespace) -> None:
        """Refuse numbers out of their bounds, then what else cannot be."""
        for name, least, most in self.counts:
            number = vars(given)[name.removeprefix("--").replace("-", "_")]
            if number is not None and not least <= number <= (number if most is None else most):
                bounds = f"{least} at least" if most is None else f"{least} to {most:,}"
                raise ValueError(f"{name}={number}; needs {bounds}")
        if self.refuse is not None:
            self.refuse(given)

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


def refuse_existing(out: Path) -> None:
    """Refuse to write where something is.

    Raises:
        ValueError: naming it.
    """
    if out.exists():
        raise ValueError(f"{out} exists already; remove it, or write elsewhere")


def path(text: str) -> Path:
    """A path; shells leave a tilde after `=` or in quotes to the program."""
    return Path(text).expanduser()


def _size(text: str) -> int | tuple[int, int]:
    """Pixels per side, or height and width: 224, 64x16.

    Raises:
        ArgumentTypeError: where it is neither.
    """
    sides = [int(side) if side.isdecimal() else 0 for side in text.split("x")]
    if len(sides) > 2 or not all(sides):
        raise argparse.ArgumentTypeError(
            f"--image-size={text}; needs 1 at least, or height x width, e.g. 64x16"
        )
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])
