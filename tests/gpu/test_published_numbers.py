"""Published numbers (tests/golden) on the device, in float32, TF32 and bf16; each error is recorded
beside its limit.
"""

import pytest
import torch
from timm.optim import param_groups_weight_decay

from mim.encoder.encoder import cls_attention
from mim.encoder.vit import ViT
from mim.geometry import Geometry
from mim.loss.consistency import Consistency
from mim.loss.term import Term
from mim.loss.weighted_sum import WeightedSum
from mim.masker.attention_store import attention_weights
from mim.masker.crop_map import cut_map
from mim.masker.partition.adaptive_ratio import AdaptiveRatio
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.score.ranking import Ranking
from mim.masker.score.salience import salience
from mim.optim.schedule import WarmupCosine
from mim.part import Progress
from mim.pool.pool import pool_tokens
from mim.target.pixel import Pixel
from mim.tokens import unpatchify
from tests.gpu.precision import PRECISIONS
from tests.gpu.published import CASES, released_split
from tests.parity.test_official_amt import flags, simmim
from tests.parity.test_official_beyond_cls import abmilp, renamed
from tests.stored import numbered


@pytest.mark.parametrize("name", CASES)
def test_output_loss_and_gradients(
    golden, build_mae, batch_there, distance, within, device, precision, name
):
    reference = golden(name)
    batch = batch_there(reference["images"])
    case = CASES[name](reference, build_mae, batch)
    with precision(device):
        whole, ours, theirs = case.output()
        loss = case.loss(whole)
    loss.backward()
    assert ours.device.type == device.type
    gradient = {key: p.grad for key, p in case.model.named_parameters() if p.grad is not None}
    assert len(case.gradient) > 4
    errors = [distance(gradient[key].cpu(), value) for key, value in case.gradient.items()]
    within("error", distance(ours, theirs), precision.output)
    within("loss_error", abs(loss.item() / case.published_loss - 1), precision.loss)
    within("gradient_error", max(errors), precision.gradient)


@pytest.mark.parametrize("name", ["amt_mae", "amt_simmim"])
def test_amt_hides_and_throws_the_same_patches(golden, build_mae, batch_there, name):
    reference = golden(name)
    case = CASES[name](reference, build_mae, batch_there(reference["images"]))
    made, _, _ = case.output()
    split = made.split
    hidden = reference["mask"].long().flatten(1)
    assert torch.equal(
        flags(
            split._replace(visible=split.visible.cpu(), masked=split.masked.cpu()), hidden.shape[1]
        ),
        hidden,
    )


def test_five_steps_of_training(golden, build_mae, batch_there, within, device, precision):
    reference = golden("mae_train")
    m = reference.meta
    ours = build_mae(reference)
    ours.model.to(device)
    groups = param_groups_weight_decay(ours.model, m["weight_decay"])
    optimizer = torch.optim.AdamW(groups, betas=m["betas"], eps=m["adam_eps"])
    schedule, errors = WarmupCosine(m["warmup_epochs"], m["min_lr"]), []
    passes = m["steps_per_epoch"]
    for step in range(m["micro_steps"]):
        lr = m["lr"] * schedule(Progress(step + passes / 2, m["epochs"] * passes, passes), m["lr"])
        for group in optimizer.param_groups:
            group["lr"] = lr
        batch, ours.score.noise = (
            batch_there(reference["images"][step]),
            reference["noise"][step].to(device),
        )
        with precision(device):
            loss = ours.loss(
                *(lambda made: (made.prediction, batch.image, made.split))(ours.model(batch))
            )
        errors.append(abs(loss.item() / reference["losses"][step].item() - 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    within("error", max(errors), precision.loss)


@pytest.mark.parametrize("name", ["sbam", "sbam_sbm"])
def test_salience_and_the_patches_it_hides(golden, distance, within, device, precision, name):
    """Exactly the same patches in every precision: salience is computed in float32 whatever
    products round to.
    """
    reference = golden(name)
    m = reference.meta
    with precision(device):
        found = salience(reference["tokens"].to(device))
        split = released_split(reference, device)
    hidden = torch.zeros_like(reference["mask"])
    hidden.scatter_add_(1, split.masked[:, 0].cpu(), split.masked_valid[:, 0].cpu().float())
    assert torch.equal(hidden, reference["mask"])
    own = AdaptiveRatio(m["base_mask_ratio"], m["mask_ratio_var"], m["delta"])(
        Ranking(found, found)
    )
    assert own.visible_valid.sum(-1)[:, 0].tolist() == reference["per_image_len_keep"].tolist()
    within("error", distance(found.cpu(), reference["salience_f64"]), 2e-5)


@pytest.mark.parametrize("name", ["amt_mae", "amt_attn", "amt_simmim"])
def test_the_one_row_of_attention(golden, distance, within, device, precision, name):
    reference = golden(name)
    m = reference.meta
    if name == "amt_simmim":
        encoder, theirs = (
            simmim(reference, layer_scale=False).encoder,
            reference["attn_last_cls_row"],
        )
    else:
        encoder = ViT(
            m["img_size"],
            m["patch_size"],
            m["embed_dim"],
            m["depth"],
            m["num_heads"],
            m["mlp_ratio"],
        )
        names = encoder.state_dict().keys()
        encoder.load_state_dict(
            {key: value for key, value in reference.under("sd.").items() if key in names}
        )
        theirs = reference["attn_last"][:, :, 0] if name == "amt_mae" else reference["cls_row"]
    with precision(device), torch.no_grad():
        row = cls_attention(encoder.to(device), reference["images"].to(device))
    within("error", distance(row.float().cpu(), theirs[..., 1:]), precision.output)


def test_maps_of_attention_and_their_crops(golden, distance, within, device):
    reference = golden("amt_attn")
    row = reference["cls_row"][..., 1:].to(device)
    for heads, name in (
        ("stretch_first", "mask_weights_14x14"),
        ("mean_first", "alt_mean_then_minmax_14x14"),
    ):
        ours = attention_weights(row, heads).view(-1, 14, 14)
        within(f"{heads}_error", distance(ours.cpu(), reference[name]), 2e-5)
    reference, errors = golden("amt_crop"), []
    for m in reference.meta["configs"]:
        (width, height), (top, left, h, w) = m["image_wh"], m["crop_ijhw"]
        box = torch.tensor(
            [[left / width, top / height, (left + w) / width, (top + h) / height]],
            dtype=torch.float64,
        )
        size, number = m["out_size"], m["index"]
        maps, flip = (
            reference[f"attn_{number}"][None].to(device),
            torch.tensor([False], device=device),
        )
        cut = cut_map(maps, box.to(device), flip, (size, size)).view(size, size)
        errors.append(distance(cut.cpu(), reference[f"exact_crop_{number}"]))
    within("error", max(errors), 1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("prefix", ["", "per_sample."])
def test_emae(golden, within, device, dtype, prefix):
    reference = golden("emae")
    m = reference.meta
    noise = reference["noise_per_sample"] if prefix else reference["noise"].expand(2, -1)
    split = ParallelParts(m["K"])(Ranking(noise.to(device)))
    expected = reference[f"{prefix}part_ids"]
    expected = expected if prefix else expected[:, None].expand(-1, 2, -1)
    assert torch.equal(split.visible.cpu(), expected.transpose(0, 1))
    everywhere = reference["pred"].to(device, dtype).transpose(0, 1)
    prediction = everywhere.gather(
        2, split.masked[..., None].expand(-1, -1, -1, everywhere.shape[3])
    )
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    image = unpatchify(
        reference["target"].to(device, wide), m["patch_size"], (m["grid"], m["grid"])
    )
    terms = {
        "pixel": Term(Pixel(Geometry.of(m["patch_size"], m["patch_size"]), normalise=False)),
        "consistency": Consistency(geometry=Geometry.of(m["patch_size"], m["patch_size"])),
    }
    loss = WeightedSum(terms, {"pixel": 1.0, "consistency": 1.0})(
        {"pixel": prediction}, image, split
    )
    published = (reference[f"{prefix}loss_whole"] + reference[f"{prefix}cons_abs"]).item()
    limit = {torch.float64: 1e-9, torch.float32: 1e-6, torch.bfloat16: PRECISIONS["bf16"].loss}[
        dtype
    ]
    within("error", abs(loss.item() / published - 1), limit)


@pytest.mark.parametrize("number", numbered("beyond_abmilp"))
def test_abmilp(golden, distance, within, device, precision, number):
    stored = golden("beyond_abmilp")
    pool = abmilp(stored.meta, number)
    pool.load_state_dict(renamed(stored.under(f"c{number}.sd.")))
    pool.to(device)
    x = stored["x"].to(device).requires_grad_()
    with precision(device):
        out = pool(pool_tokens(x, 1, pool.needs))
    (out.float() * stored["w_out"].to(device)).sum().backward()
    within("error", distance(out.detach().cpu(), stored[f"c{number}.out"]), precision.output)
    within(
        "gradient_error", distance(x.grad.cpu(), stored[f"c{number}.grad.x"]), precision.gradient
    )
