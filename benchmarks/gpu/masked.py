"""MAE under the maskers that this project is about; images (B, 3, H, W) -> scalar loss, as for
every contestant.
"""

from functools import partial
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from sizes import Sizes
from torch import Tensor, nn

from mim.batch import Batch, View
from mim.draw import keys
from mim.encoder.vit import ViT
from mim.geometry import Geometry
from mim.launch.resolvers import register_resolvers
from mim.loss.term import Term
from mim.masker.attention_store import AttentionStore
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.target.pixel import Pixel

CONFIGS = Path(__file__).parents[2] / "configs"
MASKERS = {
    "random": ["masker=random"],
    "sbm": ["masker=sbm"],
    "sbam": ["masker=sbam"],
    "am": ["masker=am"],
    "amt, 40 % thrown": [
        "masker=amt",
        "masker.partition.mask_ratio=0.45",
        "masker.partition.throw_ratio=0.4",
    ],
    "amt, 50 % thrown": [
        "masker=amt",
        "masker.partition.mask_ratio=0.4",
        "masker.partition.throw_ratio=0.5",
    ],
    "emae": ["masker=emae"],
}


class Masked(nn.Module):
    """MAE with one of `MASKERS`.

    Args:
        sizes: of encoder and decoder.
        name: of the masker.
        batch: images a step.
        times: how often the images are repeated, with other masks.
    """

    key: Tensor

    def __init__(self, sizes: Sizes, name: str, batch: int, times: int = 1):
        super().__init__()
        register_resolvers()
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            masker = instantiate(compose("train", MASKERS[name]).masker)
        width, depth, heads = sizes.decoder
        decoder = partial(Decoder, width=width, depth=depth, heads=heads)
        self.loss = Term(Pixel(Geometry.of(sizes.patch, sizes.patch), normalise=True))
        encoder = ViT(sizes.image, sizes.patch, *sizes.encoder)
        self.model, self.times = (
            MAE(encoder, masker, decoder, {"pixel": self.loss.target_dim}),
            times,
        )
        # the input makes them, not the step
        self.register_buffer("key", keys(0, 0, torch.arange(batch * times)))

    def forward(self, image: Tensor) -> Tensor:
        image = image.repeat(self.times, 1, 1, 1)
        place = torch.arange(len(image), device=image.device)
        box, flip = image.new_zeros(len(image), 4), place < 0
        made = self.model(Batch((View(image, box, flip),), place, place, self.key))
        return self.loss(made.prediction, image, made.split)

    def to(self, device: torch.device) -> "Masked":  # type: ignore[override]
        """Moved, and the maps of attention that a run would have looked up drawn at random."""
        super().to(device)
        for store in (part for part in self.modules() if isinstance(part, AttentionStore)):
            store.maps = torch.rand(1024, *self.model.encoder.geometry.grid, device=device).half()
        return self
