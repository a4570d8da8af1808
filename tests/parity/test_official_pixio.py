"""Pixio against facebookresearch/pixio @ b83555d: tolerances on max |a - b| / max |b|."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from mim.encoder.pixio import Pixio
from mim.loss.term import Term
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.target.pixel import Pixel
from mim.tokens import take
from mim.weights.official_mae import from_official
from tests.parity.conftest import Drawn


@pytest.fixture
def case(golden):
    reference = golden("pixio")
    m, score = reference.meta, Drawn()
    score.noise = reference["noise"]
    encoder = Pixio(
        m["img_size"],
        m["patch_size"],
        m["embed_dim"],
        m["depth"],
        m["num_heads"],
        m["mlp_ratio"],
        cls_tokens=m["n_cls_tokens"],
    )
    decoder = partial(
        Decoder,
        width=m["decoder_embed_dim"],
        depth=m["decoder_depth"],
        heads=m["decoder_num_heads"],
        mlp_ratio=m["mlp_ratio"],
        positions="learned",
        prefix=m["n_cls_tokens"],
    )
    masker = Masker(score, FixedRatio(m["mask_ratio"]), cell=m["mask_grid"])
    model = MAE(encoder, masker, decoder, {"pixel": encoder.geometry.values_per_patch})
    model.load_state_dict(
        {from_official(name): value for name, value in reference.under("sd.").items()}
    )
    return SimpleNamespace(reference=reference, model=model, image=reference["images"])


def test_masks_tokens_and_predictions_are_official(case, batch_of, distance):
    reference, left = case.reference, []
    case.model.decoder.register_forward_pre_hook(lambda module, given: left.append(given[0]))
    made = case.model(batch_of(case.image))
    masked = made.split.masked
    hidden = torch.zeros(reference["mask"].shape).scatter(1, masked[:, 0], 1.0)
    assert torch.equal(hidden, reference["mask"])
    assert distance(made.prediction, take(reference["pred"], masked)) < 2e-5
    prefix, visible = case.model.encoder.prefix, made.split.visible[:, 0]
    assert distance(left[0][:, :prefix], reference["latent"][:, :prefix]) < 2e-5
    # patches in the order of their tokens
    theirs = reference["ids_restore"].argsort(1)[:, : visible.shape[1]]
    ours, wanted = left[0][:, prefix:], reference["latent"][:, prefix:]
    for image in range(len(visible)):
        assert (
            distance(ours[image, visible[image].argsort()], wanted[image, theirs[image].argsort()])
            < 2e-5
        )


def test_losses_and_gradients_are_official(case, batch_of, distance):
    made = case.model(batch_of(case.image))
    raw = Term(Pixel(case.model.encoder.geometry, normalise=False))(
        made.prediction, case.image, made.split
    )
    assert raw.item() == pytest.approx(case.reference["raw.loss"].item(), rel=1e-5)
    loss = Term(Pixel(case.model.encoder.geometry))(made.prediction, case.image, made.split)
    assert loss.item() == pytest.approx(case.reference["loss"].item(), rel=1e-5)
    loss.backward()
    gradient = {name: p.grad for name, p in case.model.named_parameters()}
    for name, value in case.reference.under("grad.").items():
        if not name.endswith("qkv.bias"):
            assert distance(gradient[from_official(name)], value) < 1e-4, name
    norms = zip(
        case.reference.names("gradnorm_names"), case.reference["gradnorm"].tolist(), strict=True
    )
    for name, norm in norms:
        if norm > 1e-7:
            assert gradient[from_official(name)].norm().item() == pytest.approx(norm, rel=2e-3), (
                name
            )


def test_as_many_patches_are_shown_as_theirs(golden):
    for side, square, ratio, visible, masked in golden("pixio")["counts"].tolist():
        squares = int(side // square) ** 2
        hidden = squares - int(squares * (1 - ratio))
        if 0 < hidden < squares:
            assert FixedRatio(ratio).masked_count(squares) * square**2 == masked
            assert side**2 - masked == visible


def test_squares_that_do_not_tile_the_grid_are_refused(case, batch_of):
    """The release masks 144 of 196 patches of 14 x 14, and fails later."""
    with pytest.raises(ValueError, match="cell"):
        case.model.masker(batch_of(torch.zeros(2, 3, 224, 224)), (14, 14))


def test_a_longer_prefix_needs_learned_positions():
    with pytest.raises(
        ValueError, match=r"prefix=8, positions=sincos; .* positions=learned has more"
    ):
        Decoder(8, (4, 4), 3, width=8, heads=2, prefix=8)
