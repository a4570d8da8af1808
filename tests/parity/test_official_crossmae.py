"""CrossMAE against TonyLianLong/CrossMAE @ ed0677a: tolerances on max |a - b| / max |b|."""

import re
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from timm.optim import param_groups_weight_decay

from mim.encoder.vit import ViT
from mim.loss.term import Term
from mim.masker.masker import Masker
from mim.masker.partition.throw_middle import ThrowMiddle
from mim.model.mae import MAE
from mim.model.query_decoder import QueryDecoder
from mim.optim.schedule import WarmupCosine
from mim.part import Progress
from mim.target.pixel import Pixel
from tests.parity.conftest import Drawn

VARIANTS = {"": {}, "sa.": {"self_attention": True}}
KEY = re.compile(
    r"(?:encoder\.blocks\.\d+\.attn\.qkv|decoder\.blocks\.\d+\.(?:attn|cross)\.(?:query|key|value))\.bias"
)


def in_parts(name, value):
    """A parameter of theirs -> ours, by name: products of keys and values by themselves, keys
    without a bias.
    """
    if name.startswith(("mask_token", "decoder", "dec_norms", "wfm")):
        name = (
            name.replace("decoder_blocks.", "blocks.")
            .replace("decoder_norm.", "norm.")
            .replace("wfm.linear", "weigh")
        )
        name = name.replace("decoder_pred.", "predict.").replace("decoder_pos_embed", "pos_embed")
        name = re.sub(r"dec_norms\.(\d+)", r"blocks.\1.norm3", name).replace(
            "cross_attn.", "cross."
        )
        name = "decoder." + name.replace("self_attn.", "attn.")
        pieces = {
            "qkv.": ("query.", "key.", "value."),
            "kv.": ("key.", "value."),
            "q.": ("query.",),
        }
        for whole, parts in pieces.items():
            if f".{whole}" in name:
                cut = zip(parts, value.chunk(len(parts)), strict=True)
                found = {name.replace(f".{whole}", f".{part}"): each for part, each in cut}
                return {each: part for each, part in found.items() if not each.endswith("key.bias")}
        return {name: value}
    return {f"encoder.{name}": value}


def ours(tensors):
    return {
        name: part
        for theirs, value in tensors.items()
        for name, part in in_parts(theirs, value).items()
    }


@pytest.fixture
def build(golden):
    reference = golden("crossmae")

    def built(variant="", every=False, normalise=True):
        m, score = reference.meta, Drawn()
        score.noise = reference["noise"]
        kept = m["mask_ratio"] if every else m["kept_mask_ratio"]
        encoder = ViT(
            m["img_size"],
            m["patch_size"],
            m["embed_dim"],
            m["depth"],
            m["num_heads"],
            m["mlp_ratio"],
        )
        said = m["sa"] if variant else m
        numbers = (
            None
            if said["use_fm"] == [-1] and said["use_input"]
            else [n % m["depth"] + 1 for n in said["use_fm"]]
        )
        decoder = partial(
            QueryDecoder,
            encoder_depth=m["depth"],
            width=m["decoder_embed_dim"],
            depth=m["decoder_depth"],
            heads=m["decoder_num_heads"],
            mlp_ratio=m["mlp_ratio"],
            blocks=numbers,
            self_attention=said["self_attn"],
        )
        loss = Term(Pixel(encoder.geometry, normalise))
        partition = ThrowMiddle(kept, m["mask_ratio"] - kept, rounding="keep_down")
        model = MAE(encoder, Masker(score, partition), decoder, {"pixel": loss.target_dim})
        tensors = ours(
            reference.under("sd.") | (reference.under(f"{variant}sd.") if variant else {})
        )
        kept_names = model.state_dict().keys()
        lacks = model.load_state_dict(
            {n: v for n, v in tensors.items() if n in kept_names}, strict=False
        )
        # theirs has none
        assert set(lacks.missing_keys) == {"encoder.norm.weight", "encoder.norm.bias"}
        return SimpleNamespace(model=model, loss=loss, score=score, reference=reference)

    return built


def in_order(values, split):
    """Ours, of patches in the order of `split.masked`, as theirs: in the order of patches."""
    return torch.stack(
        [row[order.argsort()] for row, order in zip(values[:, 0], split.masked[:, 0], strict=True)]
    )


def test_features_predictions_targets_and_hidden_patches_are_official(build, batch_of, distance):
    case = build()
    image, left = case.reference["images"], []
    case.model.decoder.register_forward_pre_hook(lambda module, given: left.extend(given[0]))
    made = case.model(batch_of(image))
    assert distance(in_order(made.prediction, made.split), case.reference["pred"]) < 2e-5
    target = case.loss.target(image, made.split)
    assert distance(in_order(target, made.split), case.reference["target"]) < 2e-5
    hidden = torch.zeros(case.reference["mask"].shape).scatter(1, made.split.masked[:, 0], 1.0)
    assert torch.equal(hidden, case.reference["mask"])
    assert len(left) == case.reference.meta["depth"] + 1
    visible = case.reference["noise"].argsort(1)[:, : made.split.visible.shape[-1]]
    order = [
        row[:, None].eq(want).int().argmax(0)
        for row, want in zip(made.split.visible[:, 0], visible, strict=True)
    ]
    for number, tokens in enumerate(left):
        mine = torch.stack(
            [torch.cat([row[:1], row[1:][o]]) for row, o in zip(tokens, order, strict=True)]
        )
        assert distance(mine, case.reference[f"feature.{number}"]) < 2e-5


@pytest.mark.parametrize("variant", VARIANTS)
def test_losses_and_gradients_are_official(build, batch_of, distance, variant):
    case = build(variant)
    image = case.reference["images"]
    made = case.model(batch_of(image))
    assert distance(in_order(made.prediction, made.split), case.reference[f"{variant}pred"]) < 2e-5
    loss = case.loss(made.prediction, image, made.split)
    assert loss.item() == pytest.approx(case.reference[f"{variant}loss"].item(), rel=1e-5)
    loss.backward()
    gradient = {name: p.grad for name, p in case.model.named_parameters() if p.grad is not None}
    norms = dict(
        zip(
            case.reference.names(f"{variant}gradnorm_names"),
            case.reference[f"{variant}gradnorm"],
            strict=True,
        )
    )
    for name, norm in norms.items():
        value = case.reference.under("sd.").get(
            name, case.reference.under(f"{variant}sd.").get(name)
        )
        parts = [gradient[each] for each in in_parts(name, value)]
        found = torch.cat([part.flatten() for part in parts]).norm().item()
        assert found == pytest.approx(norm.item(), rel=2e-3, abs=1e-7), name
    for name, value in ours(case.reference.under(f"{variant}grad.")).items():
        if not KEY.fullmatch(name):
            assert distance(gradient[name], value) < 1e-4, name


def test_all_that_is_masked_can_be_predicted_and_pixels_as_they_are(build, batch_of, distance):
    case = build(every=True)
    image = case.reference["images"]
    made = case.model(batch_of(image))
    assert distance(in_order(made.prediction, made.split), case.reference["all.pred"]) < 2e-5
    loss = case.loss(made.prediction, image, made.split)
    assert loss.item() == pytest.approx(case.reference["all.loss"].item(), rel=1e-5)
    raw = build(normalise=False)
    made = raw.model(batch_of(image))
    loss = raw.loss(made.prediction, image, made.split)
    assert loss.item() == pytest.approx(case.reference["raw.loss"].item(), rel=1e-5)


def test_training_is_official(build, batch_of):
    case = build()
    m, model = case.reference.meta["train"], case.model
    undecayed = model.no_weight_decay()
    groups = param_groups_weight_decay(model, m["weight_decay"], no_weight_decay_list=undecayed)
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=tuple(m["betas"]), eps=m["adam_eps"])
    schedule, losses, norms = WarmupCosine(m["warmup_epochs"], m["min_lr"]), [], []
    for step in range(m["steps"]):
        passes = m["steps_per_epoch"]  # theirs starts half an epoch in: counted in half steps
        progress = Progress(2 * step + passes, 2 * m["epochs"] * passes, 2 * passes)
        rate = m["lr"] * schedule(progress, m["lr"])
        assert rate == pytest.approx(case.reference["train.lr"][step].item(), rel=1e-9)
        for group in optimizer.param_groups:
            group["lr"] = rate
        image, case.score.noise = (
            case.reference["train.images"][step],
            case.reference["train.noise"][step],
        )
        made = model(batch_of(image))
        loss = case.loss(made.prediction, image, made.split)
        optimizer.zero_grad()
        loss.backward()
        norms.append(
            torch.nn.utils.get_total_norm(
                [p.grad for p in model.parameters() if p.grad is not None]
            ).item()
        )
        optimizer.step()
        losses.append(loss.item())
    assert losses == pytest.approx(case.reference["train.losses"].tolist(), rel=1e-5)
    assert norms == pytest.approx(case.reference["train.grad_norm"].tolist(), rel=1e-4)


def test_as_many_patches_are_shown_and_predicted_as_theirs(golden):
    for patches, ratio, kept, shown, predicted in golden("crossmae")["counts"].tolist():
        if kept == ratio:  # nothing is thrown
            continue
        masked, thrown = ThrowMiddle(kept, ratio - kept, rounding="keep_down").counts(int(patches))
        assert (int(patches) - masked - thrown, masked) == (shown, predicted)


def test_weights_begin_as_officially(golden):
    """The sums of blocks by Xavier, as all linear layers."""
    said = golden("crossmae").meta["wfm_init_max_abs"]
    torch.manual_seed(0)
    sizes = {"encoder_depth": said["maps"] - 1, "width": 64, "heads": 4}
    decoder = QueryDecoder(8, (2, 2), 3, **sizes)
    assert len(decoder.blocks) == said["decoder_depth"]  # as published, unless told otherwise
    bound = said["xavier_bound"]
    assert 0.9 * bound < decoder.weigh.weight.abs().max().item() <= bound
    assert decoder.mask_token.std().item() == pytest.approx(0.02, rel=0.4)
    assert decoder.predict.bias.eq(0).all()
