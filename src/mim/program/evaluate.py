"""Judge the features of checkpoints, on their own data set or another.

    python -m mim evaluate checkpoint=runs/<name>/<date_time> evaluate=knn pool=mean data=cifar10

Settings are those of configs/eval.yaml; `python eval.py` is the same in a checkout. What it runs is
imported once its config is sound.
"""

from mim.installed import CONFIGS
from mim.launch.entry import launch

if __name__ == "__main__":
    launch("mim.command.evaluate.evaluate", CONFIGS, "eval")
