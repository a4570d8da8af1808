"""Judge checkpoints: `python eval.py checkpoint=runs/<name>/<date_time> evaluate=knn pool=mean
data=cifar10`.
"""

from mim.installed import CONFIGS
from mim.launch.entry import launch

if __name__ == "__main__":
    launch("mim.command.evaluate.evaluate", CONFIGS, "eval")
