"""Train: `python train.py`, `python train.py model=mae encoder=vit_base masker=block data=imagenet
trainer=gpu logger=wandb`.
"""

from mim.installed import CONFIGS
from mim.launch.entry import launch

if __name__ == "__main__":
    launch("mim.command.train.train", CONFIGS, "train")
