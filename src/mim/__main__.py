"""`python -m mim <command> ...`: what its command line may say is in `mim/program/`, what it does
in `mim/command/`.

Programs import nothing that takes seconds: help, typos and files that are not there are said at
once.
"""

import ast
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from runpy import run_module

from mim import program
from mim.installed import COMMANDS, CONFIGS
from mim.launch.check import nearest
from mim.launch.errors import report
from mim.launch.imports import without_collection
from mim.launch.output import lead_nowhere
from mim.launch.there import refuse_missing, refuse_missing_pictures


def main(arguments: list[str]) -> int:
    """Run the command that the first argument names -> exit code: 0 well, 1 refused."""
    commands = [module.name for module in iter_modules(program.__path__)]
    if not arguments or arguments[0] in ("-h", "--help"):
        for name in commands:
            # not imported: that takes seconds
            source = Path(program.__path__[0], f"{name}.py").read_text()
            print(f"{name:<14}{(ast.get_docstring(ast.parse(source)) or '').partition(chr(10))[0]}")
        return 0
    if arguments[0] not in commands:
        print(
            f"error: python -m mim {arguments[0]} is no command; {nearest(arguments[0], commands)}",
            file=sys.stderr,
        )
        return 1
    # programs: ranks and jobs that they start know them by their module
    if arguments[0] in COMMANDS.values():
        sys.argv[1:] = arguments[1:]
        run_module(f"mim.program.{arguments[0]}", run_name="__main__", alter_sys=True)
    try:
        given = import_module(f"mim.program.{arguments[0]}").parser().parse_args(arguments[1:])
        named = vars(given)
        refuse_missing(named.get("checkpoints") or filter(None, [named.get("checkpoint")]))
        for pictures in ("pictures", "files", "among"):
            refuse_missing_pictures(named.get(pictures) or ())
        with without_collection():
            command = import_module(f"mim.command.{arguments[0]}")
        command.run(given, CONFIGS)
    except BrokenPipeError:
        raise
    except Exception as error:
        report(
            error,
            CONFIGS,
            arguments[0] if (CONFIGS / f"{arguments[0]}.yaml").is_file() else "gallery",
        )
        return 1
    return 0


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        lead_nowhere(sys.stdout)
        code = 0
    sys.exit(code)
