"""Steps of methods with teachers, targets of their own or several views, built from the settings of
this project; images (B, 3, H, W) -> scalar loss, as for every contestant.

What is timed: the student's step, the teacher's pass, the loss, and the optimiser. A teacher's
average is not followed: it costs a copy of the weights.
"""

from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from sizes import Sizes
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mim.batch import Batch, View
from mim.draw import keys
from mim.geometry import pair
from mim.launch.resolvers import register_resolvers

CONFIGS = Path(__file__).parents[2] / "configs"
METHODS = {
    "data2vec": ["model=simmim", "masker=block", "loss=features", "teacher=ema"],
    "BootMAE": ["model=bootmae"],
    "CMAE": ["model=cmae", "augment@data.augment=shifted_pair"],
    "I-JEPA": ["model=ijepa"],
    "iBOT": ["model=ibot", "augment@data.augment=multi_crop"],
    "MoCo v3": ["model=moco_v3", "augment@data.augment=multi_crop_moco_v3"],
}


class Method(nn.Module):
    """Training of one of `METHODS`.

    Args:
        sizes: of the encoder.
        name: of the method.
        batch: images a step.
    """

    key: Tensor

    def __init__(self, sizes: Sizes, name: str, batch: int):
        super().__init__()
        register_resolvers()
        width, depth, heads = sizes.encoder
        settings = ["encoder=vit_base", "data=imagenet", f"data.image_size={sizes.image}"]
        settings += [f"encoder.patch_size={sizes.patch}", f"encoder.width={width}"]
        settings += [f"encoder.depth={depth}", f"encoder.heads={heads}", *METHODS[name]]
        small = [f"loss.target.blocks={min(6, depth)}"] if name == "data2vec" else []
        if sizes.image < 96 and name == "iBOT":
            small = [f"data.augment.local_size={sizes.image // 2}"]
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            cfg = compose("train", [*settings, *small, "hydra.run.dir=unused"])
        self.task = instantiate(cfg.task)
        recipes = instantiate(cfg.data.augment).views
        self.views = [pair(recipe.size or sizes.image) for recipe in recipes]
        self.register_buffer("key", keys(0, 0, torch.arange(batch)))

    def forward(self, image: Tensor) -> Tensor:
        place = torch.arange(len(image), device=image.device)
        box, flip = image.new_zeros(len(image), 4), place < 0
        views = tuple(
            View(image if size == image.shape[-2:] else interpolate(image, size), box, flip)
            for size in self.views
        )
        loss, _, _ = self.task.objective(Batch(views, place, place, self.key))
        return loss
