"""`python -m mim evaluate`: what it runs is imported once its config is sound."""

from mim.installed import CONFIGS
from mim.launch.entry import launch

if __name__ == "__main__":
    launch("mim.command.evaluate.evaluate", CONFIGS, "eval")
