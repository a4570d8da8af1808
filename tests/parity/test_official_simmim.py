"""SimMIM against microsoft/SimMIM @ d3e29bc: tolerances on max |a - b| / max |b|."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mim.encoder.beit import Beit
from mim.encoder.swin import Swin
from mim.loss.term import Term
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.masker.score.ranking import Ranking
from mim.model.simmim import SimMIM
from mim.optim.schedule import Constant
from mim.target.pixel import Pixel
from mim.tokens import patchify, take, unpatchify
from mim.train.pretrain import Pretrain
from mim.weights.official_simmim import from_official_simmim
from tests.stored import numbered

CASES = ["simmim_vit_ape", "simmim_vit_srpb", "simmim_swin"]


class Drawn(nn.Module):
    """Hide the cells that come first in the permutation that the official code drew."""

    needs_tokens = False

    def __init__(self, permutation):
        super().__init__()
        # minus the place of each cell in the permutation
        self.rank = -permutation.argsort(dim=1).float()

    def forward(self, batch, grid, tokens=None):
        return Ranking(self.rank)


def encoder_of(m):
    """The encoder that the settings of a golden file describe."""
    if "depths" in m:
        return Swin(
            m["img_size"],
            m["encoder_stride"],
            m["embed_dim"],
            m["depths"],
            m["num_heads"],
            m["window_size"],
        )
    positions = (
        "absolute"
        if m["use_abs_pos_emb"]
        else "shared_bias"
        if m["use_shared_rel_pos_bias"]
        else "block_bias"
    )
    return Beit(
        m["img_size"],
        m["patch_size"],
        m["embed_dim"],
        m["depth"],
        m["num_heads"],
        positions=positions,
        mlp_ratio=m["mlp_ratio"],
        layer_scale=m["init_values"],
    )


@pytest.fixture(params=CASES)
def case(request, golden, batch_of):
    reference = golden(request.param)
    m = reference.meta
    encoder = encoder_of(m)
    cell = m["mask_patch_size"] // encoder.geometry.patch_size[0]
    score = Drawn(reference["mask_perm"])
    masker = Masker(score, FixedRatio(m["mask_ratio"], "mask_up"), cell)
    loss = Term(Pixel(encoder.geometry, normalise=False), "l1")
    model = SimMIM(encoder, masker, {"pixel": loss.target_dim})
    model.load_state_dict(from_official_simmim(reference.under("sd.")))
    return SimpleNamespace(
        reference=reference,
        model=model,
        loss=loss,
        reconstruction=model(batch_of(reference["images"])),
    )


def test_the_same_patches_are_hidden(case):
    split = case.reconstruction.split
    patches = case.model.encoder.geometry.grid[0] * case.model.encoder.geometry.grid[1]
    hidden = torch.zeros(len(split.masked), patches, dtype=torch.int64).scatter(
        1, split.masked[:, 0], 1
    )
    side = (
        case.model.encoder.geometry.patch_size[0] // case.reference.meta["patch_size"]
    )  # Swin's masks are on its small patches
    small = (
        hidden.unflatten(1, case.model.encoder.geometry.grid)
        .repeat_interleave(side, 1)
        .repeat_interleave(side, 2)
    )
    assert torch.equal(small, case.reference["mask"])


def test_what_the_encoder_makes_of_it_is_official(case, distance):
    split, encoder, image = case.reconstruction.split, case.model.encoder, case.reference["images"]
    tokens = torch.cat(
        [
            encoder.embed(image, split.visible),
            encoder.position_token(case.model.mask_token, split.masked),
        ],
        dim=2,
    )
    index = torch.cat([split.visible, split.masked], dim=2)
    latent = encoder.encode(tokens.flatten(0, 1), index.flatten(0, 1))[:, encoder.prefix :]
    expected = case.reference["z"].flatten(2).transpose(1, 2)  # (B, L, D)
    assert distance(latent, take(expected, index)[:, 0]) < 2e-5


def test_predictions_are_the_official_ones(case, distance):
    made = case.reconstruction
    prediction, split = made.prediction, made.split
    expected = patchify(case.reference["x_rec"], case.model.encoder.geometry.patch_size)
    assert distance(prediction, take(expected, split.masked)) < 2e-5


def test_loss_is_the_official_one(case):
    made = case.reconstruction
    prediction, split = made.prediction, made.split
    loss = case.loss(prediction, case.reference["images"], split).item()
    assert loss == pytest.approx(case.reference["loss"].item(), rel=1e-5)
    assert loss == pytest.approx(case.reference["loss_f64"].item(), rel=1e-5)


def test_gradients_are_the_official_ones(case, distance):
    made = case.reconstruction
    prediction, split = made.prediction, made.split
    case.loss(prediction, case.reference["images"], split).backward()
    gradient = {name: p.grad for name, p in case.model.named_parameters() if p.grad is not None}

    expected = from_official_simmim(case.reference.under("grad."))
    assert len(expected) > 8
    for name, value in expected.items():
        assert distance(gradient[name], value) < 1e-4, name

    names = case.reference.names("gradnorm_names")
    norms = dict(zip(names, case.reference["gradnorm"].tolist(), strict=True))
    renamed = {
        next(iter(from_official_simmim({name: torch.zeros(3, 1)}))): norm
        for name, norm in norms.items()
    }
    assert renamed.keys() == gradient.keys()
    for name, norm in renamed.items():
        if norm > 1e-7:
            assert gradient[name].norm().item() == pytest.approx(norm, rel=2e-3), name


def test_the_shared_bias_is_the_official_one(golden):
    reference = golden("simmim_vit_srpb")
    encoder = encoder_of(reference.meta)
    encoder.load_state_dict(
        {
            k.removeprefix("encoder."): v
            for k, v in from_official_simmim(reference.under("sd.encoder.")).items()
        },
        strict=False,
    )
    table = reference["sd.encoder.rel_pos_bias.relative_position_bias_table"]
    assert torch.equal(
        encoder.distance, reference["sd.encoder.rel_pos_bias.relative_position_index"]
    )
    assert torch.equal(table[encoder.distance].permute(2, 0, 1), reference["rel_pos_bias"])


@pytest.mark.parametrize("index", numbered("simmim_maskgen"))
def test_masks_are_those_of_the_official_generator(golden, batch_of, index):
    reference = golden("simmim_maskgen")
    m = reference.meta["configs"][index]
    grid = m["input_size"] // m["model_patch_size"]
    cell = m["mask_patch_size"] // m["model_patch_size"]
    permutation = reference[f"perm_{index}"]
    masker = Masker(Drawn(permutation), FixedRatio(m["mask_ratio"], "mask_up"), cell)
    split = masker(batch_of(torch.zeros(len(permutation), 3, 2, 2)), (grid, grid))
    hidden = torch.zeros(len(permutation), grid * grid, dtype=torch.int8).scatter(
        1, split.masked[:, 0], 1
    )
    assert torch.equal(hidden.unflatten(1, (grid, grid)), reference[f"mask_{index}"].to(torch.int8))
    assert split.masked.shape[2] == m["mask_count"] * cell**2
    picture = unpatchify(hidden[..., None].float(), 1, (grid, grid))
    assert picture.mean().item() == pytest.approx(m["mask_count"] / m["token_count"])


@pytest.mark.parametrize("kind", ["vit", "swin"])
def test_decay_groups_of_pre_training_are_the_official_ones(golden, kind):
    reference = golden("simmim_optim")
    m = reference.meta
    encoder = {
        "vit": lambda: Beit(32, 16, m["embed_dim"], m["depth"], 4),
        "swin": lambda: Swin(32, 8, m["embed_dim"], m["swin_depths"], [2, 4], 2),
    }[kind]()
    task = Pretrain(
        model=partial(SimMIM, encoder=encoder, masker=Masker(Random(), FixedRatio(0.6, "mask_up"))),
        loss=Term(Pixel(encoder.geometry, normalise=False), "l1"),
        optimizer=torch.optim.AdamW,
        schedule=Constant(),
        base_lr=m["base_lr"],
        weight_decay=m["weight_decay"],
    )
    data = SimpleNamespace(batch_size=4, steps_per_epoch=1)
    task._trainer = SimpleNamespace(
        datamodule=data, world_size=1, accumulate_grad_batches=1, max_epochs=1, max_steps=-1
    )
    groups = task.configure_optimizers()["optimizer"].param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    ours = {name: decay[id(p)] for name, p in task.model.named_parameters()}
    absolute = {"encoder.pos_embed", "encoder.absolute_pos_embed"}  # neither encoder has them here
    compared = 0
    for name, expected in zip(
        reference.names(f"{kind}_pretrain.names"),
        reference[f"{kind}_pretrain.weight_decay"].tolist(),
        strict=True,
    ):
        if name not in absolute:
            renamed = next(iter(from_official_simmim({name: torch.zeros(3, 1)})))
            assert ours.pop(renamed) == expected, name
            compared += 1
    assert not ours
    assert compared > 0
