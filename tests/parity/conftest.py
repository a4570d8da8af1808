"""Our MAE with the weights, and the draws, of the official one."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import pytest
from torch import Tensor, nn

from mim.batch import Batch
from mim.encoder.vit import ViT
from mim.geometry import Geometry
from mim.loss.term import Term
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.ranking import Ranking
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.target.pixel import Pixel
from mim.weights.official_mae import from_official


class Drawn(nn.Module):
    """Hide the patches that drew the largest number, as the official code does with its `noise`."""

    needs_tokens = False
    noise: Tensor

    def forward(self, batch: Batch, grid: tuple[int, int], tokens: Tensor | None = None) -> Ranking:
        return Ranking(self.noise)


@pytest.fixture
def build_mae() -> Callable[..., SimpleNamespace]:
    """Model, loss and settable draws, as the settings of a golden file say."""

    def build(reference, load: bool = True) -> SimpleNamespace:
        m = reference.meta
        encoder = ViT(
            m["img_size"],
            m["patch_size"],
            m["embed_dim"],
            m["depth"],
            m["num_heads"],
            m["mlp_ratio"],
        )
        decoder = partial(
            Decoder,
            width=m["decoder_embed_dim"],
            depth=m["decoder_depth"],
            heads=m.get("decoder_num_heads", 4),
            mlp_ratio=m["mlp_ratio"],
        )
        loss = Term(
            Pixel(Geometry.of(m["patch_size"], m["patch_size"]), m.get("norm_pix_loss", True))
        )
        score = Drawn()
        model = MAE(
            encoder,
            Masker(score, FixedRatio(m.get("mask_ratio", 0.75))),
            decoder,
            {"pixel": loss.target_dim},
        )
        if load:
            model.load_state_dict(
                {from_official(name): value for name, value in reference.under("sd.").items()}
            )
        return SimpleNamespace(model=model, loss=loss, score=score)

    return build
