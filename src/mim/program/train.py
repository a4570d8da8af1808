"""Train any encoder, masker, model and loss on any data set; the demo where nothing is chosen.

    python -m mim train
    python -m mim train encoder=vit_base masker=block data=imagenet trainer=gpu logger=wandb

Settings are those of configs/train.yaml; `python train.py` is the same in a checkout. Processes and
jobs that a training starts know it as this module. What it runs is imported once its config is
sound.
"""

from mim.installed import CONFIGS
from mim.launch.entry import launch

if __name__ == "__main__":
    launch("mim.command.train.train", CONFIGS, "train")
