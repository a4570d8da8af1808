"""AMT against guijiejie/AMT @ dfe380e: tolerances on max |a - b| / max |b|."""

import pytest
import torch
from torch import nn

from mim.encoder.beit import Beit
from mim.encoder.encoder import cls_attention
from mim.encoder.vit import ViT
from mim.geometry import Geometry
from mim.loss.term import Term
from mim.masker.attention_store import attention_weights
from mim.masker.crop_map import cut_map
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.throw_middle import ThrowMiddle
from mim.masker.score.ranking import Ranking
from mim.model.simmim import SimMIM
from mim.target.pixel import Pixel
from mim.tokens import patchify, take
from mim.weights.official_mae import from_official
from mim.weights.official_simmim import from_official_simmim


class Drawn(nn.Module):
    """Hide the patches, or cells, that were drawn first by the weighted draw of the official
    code.
    """

    needs_tokens = False

    def __init__(self, order):
        super().__init__()
        self.rank = -order.argsort(dim=1).float()  # minus the place in the order

    def forward(self, batch, grid, tokens=None):
        return Ranking(self.rank)


def whole(B):
    """Boxes and flips of images that were not cut."""
    return torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(B, 4), torch.zeros(B, dtype=torch.bool)


def flags(split, L):
    """1 masked, 0 visible, -1 thrown: (B, L)."""
    thrown = torch.full((len(split.visible), L), -1)
    return thrown.scatter(1, split.visible[:, 0], 0).scatter(1, split.masked[:, 0], 1)


def hidden_share(mask):
    """A ratio that masks as many patches, whichever way it is rounded: all images have equally
    many.
    """
    return (mask[0].sum().item() - 0.5) / mask[0].numel()


def check_gradients(model, reference, expected, rename, distance):
    gradient = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    for name, value in expected.items():
        assert distance(gradient[name], value) < 1e-4, name
    for name, norm in zip(
        reference.names("gradnorm_names"), reference["gradnorm"].tolist(), strict=True
    ):
        if norm > 1e-7:
            assert gradient[rename(name)].norm().item() == pytest.approx(norm, rel=2e-3), name


def test_with_mae_everything_is_the_official_one(golden, build_mae, batch_of, distance):
    reference = golden("amt_mae")
    m = reference.meta
    ours = build_mae(reference)
    ours.model.masker = Masker(
        Drawn(reference["ids_shuffle"]), ThrowMiddle(m["mask_ratio"], m["throw_ratio"])
    )
    images = reference["images"]
    made = ours.model(batch_of(images))
    prediction, split = made.prediction, made.split
    assert torch.equal(flags(split, len(reference["mask"][0])), reference["mask"].long())
    assert torch.equal(
        split.visible[:, 0], reference["ids_shuffle"][:, m["num_masked_or_thrown"] :]
    )

    encoder = ours.model.encoder
    latent = encoder.encode(encoder.embed(images, split.visible)[:, 0])
    assert distance(latent, reference["latent"]) < 2e-5

    kept = (
        torch.cat([split.visible, split.masked], dim=2)[:, 0].sort(dim=1).values
    )  # theirs is in the order of the grid
    place = torch.searchsorted(kept, split.masked[:, 0].contiguous())
    assert distance(prediction, take(reference["pred"], place[:, None])) < 2e-5

    normalised = Term(Pixel(Geometry.of(m["patch_size"], m["patch_size"]), normalise=True))(
        prediction, images, split
    )
    assert normalised.item() == pytest.approx(reference["loss_normpix"].item(), rel=1e-5)
    loss = ours.loss(prediction, images, split)
    assert loss.item() == pytest.approx(reference["loss"].item(), rel=1e-5)
    assert loss.item() == pytest.approx(reference["loss_f64"].item(), rel=1e-5)
    loss.backward()
    expected = {from_official(name): value for name, value in reference.under("grad.").items()}
    check_gradients(ours.model, reference, expected, from_official, distance)


def test_before_it_starts_it_masks_at_random(golden, build_mae, batch_of, distance):
    reference = golden("amt_mae")
    ours = build_mae(reference)
    ours.score.noise = reference["random.noise"]
    ours.model.masker.partition = FixedRatio(hidden_share(reference["random.mask"]))
    made = ours.model(batch_of(reference["images"]))
    prediction, split = made.prediction, made.split
    assert torch.equal(
        flags(split, len(reference["random.mask"][0])), reference["random.mask"].long()
    )
    assert distance(prediction, take(reference["random.pred"], split.masked)) < 2e-5
    loss = ours.loss(prediction, reference["images"], split)
    assert loss.item() == pytest.approx(reference["random.loss"].item(), rel=1e-5)


@pytest.mark.parametrize("name", ["amt_mae", "amt_attn"])
def test_the_one_row_of_attention_is_that_of_the_whole_matrix(golden, distance, name):
    reference = golden(name)
    m = reference.meta
    encoder = ViT(
        m["img_size"], m["patch_size"], m["embed_dim"], m["depth"], m["num_heads"], m["mlp_ratio"]
    )
    names = encoder.state_dict().keys()
    encoder.load_state_dict(
        {key: value for key, value in reference.under("sd.").items() if key in names}
    )
    row = cls_attention(encoder, reference["images"])
    theirs = reference["attn_last"][:, :, 0] if name == "amt_mae" else reference["cls_row"]
    assert distance(row, theirs[..., 1:]) < 2e-5


def test_heads_are_stretched_before_the_mean_as_released_and_after_it_as_the_paper_says(
    golden, distance
):
    reference = golden("amt_attn")
    row = reference["cls_row"][..., 1:]
    released, paper = (
        attention_weights(row, heads).view_as(reference["mask_weights_14x14"])
        for heads in ("stretch_first", "mean_first")
    )
    assert distance(released, reference["mask_weights_14x14"]) < 2e-5
    assert distance(paper, reference["alt_mean_then_minmax_14x14"]) < 2e-5
    assert distance(paper, released) > 1e-2


def test_the_crop_of_a_map_is_exact(golden, distance):
    reference = golden("amt_crop")
    for m in reference.meta["configs"]:
        width, height = m["image_wh"]
        top, left, h, w = m["crop_ijhw"]
        box = torch.tensor(
            [[left / width, top / height, (left + w) / width, (top + h) / height]],
            dtype=torch.float64,
        )
        size, number = m["out_size"], m["index"]
        cut = cut_map(
            reference[f"attn_{number}"][None], box, torch.tensor([False]), (size, size)
        ).view(size, size)
        assert distance(cut, reference[f"exact_crop_{number}"]) < 1e-6
        # the release's crop is wrong
        assert distance(cut, reference[f"out_mask_{number}"][0]) > 0.1


@pytest.mark.parametrize(
    ("name", "unit"), [("amt_mae", "patch_size"), ("amt_simmim", "mask_patch_size")]
)
def test_the_weight_of_a_patch_or_cell_is_that_of_its_pixels(golden, distance, name, unit):
    reference = golden(name)
    patch = reference.meta[unit]
    maps = reference["mask_weights"][:, 0]  # (B, H, W): a map as fine as the pixels
    side = maps.shape[-1] // patch
    weights = cut_map(maps, *whole(len(maps)), (side, side), (patch, patch))
    assert distance(weights * patch**2, reference["patch_weights"]) < 1e-5


def simmim_name(name):
    """Names of the official SimMIM, the decoder's too."""
    return name.replace("encoder.mask_token", "mask_token").replace("decoder.0.", "decoder.")


def simmim(reference, layer_scale):
    m = reference.meta
    encoder = Beit(
        m["img_size"],
        m["patch_size"],
        m["embed_dim"],
        m["depth"],
        m["num_heads"],
        "absolute",
        m["mlp_ratio"],
    )
    partition = ThrowMiddle(m["mask_ratio"], m["throw_ratio"], rounding="up")
    masker = Masker(
        Drawn(reference["ids_multinomial"]), partition, cell=m["mask_patch_size"] // m["patch_size"]
    )
    model = SimMIM(encoder, masker, {"pixel": 3 * m["patch_size"] ** 2})
    model.load_state_dict(from_official_simmim(reference.under("sd.")))
    if not layer_scale:  # the release forgets it where attention is added
        for block in encoder.blocks:
            nn.init.ones_(block.gamma_1)
    return model


@pytest.mark.parametrize("prefix", ["", "with_gamma1."])
def test_with_simmim_everything_is_the_official_one(golden, batch_of, distance, prefix):
    reference = golden("amt_simmim")
    m = reference.meta
    model = simmim(reference, layer_scale=bool(prefix))
    images, grid = reference["images"], model.encoder.geometry.grid
    made = model(batch_of(images))
    prediction, split = made.prediction, made.split
    hidden = flags(split, grid[0] * grid[1])
    assert torch.equal(hidden.view(-1, *grid), reference["mask"].long())
    cell = (m["mask_patch_size"] // m["patch_size"]) ** 2  # patches of it
    assert ((hidden == 1).sum(1) == cell * m["mask_count"]).all()
    assert ((hidden == -1).sum(1) == cell * m["throw_count"]).all()

    loss = Term(Pixel(Geometry.of(m["patch_size"], m["patch_size"]), normalise=False), "l1")(
        prediction, images, split
    )
    assert loss.item() == pytest.approx(reference[f"{prefix}loss"].item(), rel=1e-5)

    # packed row by row
    kept = torch.cat([split.visible, split.masked], dim=2)[:, 0].sort(dim=1).values
    place = torch.searchsorted(kept, split.masked[:, 0].contiguous())[:, None]
    if not prefix:
        assert loss.item() == pytest.approx(reference["loss_f64"].item(), rel=1e-5)
        assert (
            distance(prediction, take(patchify(reference["x_rec"], m["patch_size"]), place)) < 2e-5
        )
        loss.backward()
        expected = from_official_simmim(reference.under("grad."))
        check_gradients(model, reference, expected, simmim_name, distance)
    latent = reference[f"{prefix}z"].flatten(2).mT  # (B, kept, D)
    assert distance(prediction, model.decoder(take(latent, place))) < 2e-5


def test_simmims_random_start_is_the_official_one(golden, batch_of):
    reference = golden("amt_simmim")
    m = reference.meta
    model = simmim(reference, layer_scale=False)
    cell = m["mask_patch_size"] // m["patch_size"]
    model.masker = Masker(
        Drawn(reference["random.perm"]), FixedRatio(m["mask_ratio"], "mask_up"), cell
    )
    images, (rows, columns) = reference["images"], model.encoder.geometry.grid
    made = model(batch_of(images))
    prediction, split = made.prediction, made.split
    assert torch.equal(
        flags(split, rows * columns).view(-1, rows, columns), reference["random.mask"].long()
    )
    loss = Term(Pixel(Geometry.of(m["patch_size"], m["patch_size"]), normalise=False), "l1")(
        prediction, images, split
    )
    assert loss.item() == pytest.approx(reference["random.loss"].item(), rel=1e-5)


def test_the_one_row_of_attention_of_simmims_encoder_is_that_of_the_whole_matrix(golden, distance):
    reference = golden("amt_simmim")
    row = cls_attention(simmim(reference, layer_scale=False).encoder, reference["images"])
    assert distance(row, reference["attn_last_cls_row"][..., 1:]) < 2e-5
