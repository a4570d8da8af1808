"""Models with the weights, draws and images of published code, on a device: the builders of
tests/parity, sent there.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mim.geometry import Geometry
from mim.loss.term import Term
from mim.masker.masker import Masker
from mim.masker.partition.adaptive_ratio import AdaptiveRatio
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.throw_middle import ThrowMiddle
from mim.masker.score.ranking import Ranking
from mim.masker.score.salience import salience
from mim.masker.split import Split
from mim.model.simmim import SimMIM
from mim.target.pixel import Pixel
from mim.tokens import patchify, take
from mim.weights.official_mae import from_official
from mim.weights.official_simmim import from_bare, from_official_simmim
from tests.parity import test_official_amt as amt
from tests.parity import test_official_simmim as simmim
from tests.parity.test_official_finetune import classifier


class Published(NamedTuple):
    """What a model has to give."""

    model: nn.Module
    output: Callable[[], tuple[Any, Tensor, Tensor]]
    """What came out whole, what is compared of it, and the published numbers."""
    loss: Callable[[Any], Tensor]
    published_loss: float
    gradient: dict[str, Tensor]


class Given(nn.Module):
    """Patches that somebody else chose."""

    needs_tokens = False

    def __init__(self, split: Split):
        super().__init__()
        self.split = split

    def forward(self, batch: Any, grid: Any, tokens: Any = None) -> Split:
        return self.split


def _in_order_of_grid(split: Split) -> Tensor:
    """The masked patches' places among all that are kept, sorted."""
    kept = torch.cat([split.visible, split.masked], dim=2)[:, 0].sort(dim=1).values
    return torch.searchsorted(kept, split.masked[:, 0].contiguous())[:, None]


def _pretraining(
    reference: Any, model: nn.Module, loss: nn.Module, batch: Any, compared: Any, rename: Any
) -> Published:
    return Published(
        model.to(batch.image.device),
        lambda: (lambda made: (made, *compared(made.prediction, made.split)))(model(batch)),
        lambda made: loss(made.prediction, batch.image, made.split),
        reference["loss"].item(),
        rename(reference.under("grad.")),
    )


def _mae_names(gradient: dict[str, Tensor]) -> dict[str, Tensor]:
    return {from_official(name): value for name, value in gradient.items()}


def mae(reference: Any, build_mae: Any, batch: Any) -> Published:
    device = batch.image.device
    ours, pred = build_mae(reference), reference["pred"].to(device)
    ours.score.noise = reference["noise"].to(device)

    def compared(prediction: Tensor, split: Split) -> tuple[Tensor, Tensor]:
        return prediction, take(pred, split.masked)

    return _pretraining(reference, ours.model, ours.loss, batch, compared, _mae_names)


def amt_mae(reference: Any, build_mae: Any, batch: Any) -> Published:
    m, device = reference.meta, batch.image.device
    ours, pred = build_mae(reference), reference["pred"].to(device)
    score = amt.Drawn(reference["ids_shuffle"].to(device))
    ours.model.masker = Masker(score, ThrowMiddle(m["mask_ratio"], m["throw_ratio"]))

    def compared(prediction: Tensor, split: Split) -> tuple[Tensor, Tensor]:
        return prediction, take(pred, _in_order_of_grid(split))

    return _pretraining(reference, ours.model, ours.loss, batch, compared, _mae_names)


def sbam(reference: Any, build_mae: Any, batch: Any) -> Published:
    ours = build_mae(reference)
    pred = reference["pred"].to(batch.image.device)
    ours.model.masker = Given(released_split(reference, batch.image.device))

    def compared(prediction: Tensor, split: Split) -> tuple[Tensor, Tensor]:
        valid = split.masked_valid
        return prediction[valid], take(pred, split.masked)[valid]

    return _pretraining(reference, ours.model, ours.loss, batch, compared, _mae_names)


def released_split(reference: Any, device: torch.device) -> Split:
    """The release's patches: one ratio for the batch, and the draws that it made."""
    m = reference.meta
    found = salience(reference["tokens"].to(device))
    partition = AdaptiveRatio(m["base_mask_ratio"], m["mask_ratio_var"], m["delta"], per="batch")
    return partition(Ranking(found + 0.5 * reference["rand"].to(device), found))


def simmim_of_patches(reference: Any, build_mae: Any, batch: Any) -> Published:
    m, device = reference.meta, batch.image.device
    encoder = simmim.encoder_of(m)
    score = simmim.Drawn(reference["mask_perm"].to(device))
    masker = Masker(
        score,
        FixedRatio(m["mask_ratio"], "mask_up"),
        m["mask_patch_size"] // encoder.geometry.patch_size[0],
    )
    loss = Term(Pixel(encoder.geometry, normalise=False), "l1")
    model = SimMIM(encoder, masker, {"pixel": loss.target_dim})
    model.load_state_dict(from_official_simmim(reference.under("sd.")))
    pred = patchify(reference["x_rec"].to(device), encoder.geometry.patch_size)

    def compared(prediction: Tensor, split: Split) -> tuple[Tensor, Tensor]:
        return prediction, take(pred, split.masked)

    return _pretraining(reference, model, loss, batch, compared, from_official_simmim)


def amt_simmim(reference: Any, build_mae: Any, batch: Any) -> Published:
    m, device = reference.meta, batch.image.device
    model = amt.simmim(reference, layer_scale=False)
    model.masker.score.rank = model.masker.score.rank.to(device)
    pred = patchify(reference["x_rec"].to(device), m["patch_size"])

    def compared(prediction: Tensor, split: Split) -> tuple[Tensor, Tensor]:
        return prediction, take(pred, _in_order_of_grid(split))

    loss = Term(Pixel(Geometry.of(m["patch_size"], m["patch_size"]), normalise=False), "l1")
    return _pretraining(reference, model, loss, batch, compared, from_official_simmim)


def finetuning(pool: str) -> Callable[..., Published]:
    def build(reference: Any, build_mae: Any, batch: Any) -> Published:
        device = batch.image.device
        model = classifier(reference.meta, pool)
        model.load_state_dict(from_bare(reference.under("sd.")))
        model.to(device)
        labels, logits = reference["labels"].to(device), reference["logits"].to(device)
        return Published(
            model,
            lambda: (lambda found: (found, found, logits))(model(batch)),
            lambda found: cross_entropy(found, labels),
            reference["loss"].item(),
            from_bare(reference.under("grad.")),
        )

    return build


CASES: dict[str, Callable[..., Published]] = {
    **dict.fromkeys(("mae_p16", "mae_normpix", "mae_pix"), mae),
    **dict.fromkeys(("simmim_vit_ape", "simmim_vit_srpb", "simmim_swin"), simmim_of_patches),
    "amt_mae": amt_mae,
    "amt_simmim": amt_simmim,
    **dict.fromkeys(("sbam", "sbam_sbm"), sbam),
    "vit_cls": finetuning("cls"),
    "vit_gap": finetuning("mean"),
    "simmim_vit_finetune": finetuning("mean"),
}
