"""A package that is a function of the front door as well: `mim.train(cfg)`, and
`from mim.train.pretrain import Pretrain`.
"""

from pkgutil import resolve_name
from types import ModuleType

FUNCTIONS = "mim.command.from_python"
"""Module that holds the functions."""


class Callable(ModuleType):
    """Module of such a package. Importing it puts it in the place of the function, so it is called
    as the function is.
    """

    def __call__(self, *args: object, **settings: object) -> object:
        """What the function of the same name returns."""
        name = self.__name__.rpartition(".")[2]
        return resolve_name(f"{FUNCTIONS}:{name}")(*args, **settings)
