"""CMAE against ZhichengHuang/CMAE @ e786a52: tolerances on max |a - b| / max |b|."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from mim.batch import Batch, uncropped
from mim.encoder.vit import ViT
from mim.loss.contrast import Contrast
from mim.loss.term import Term
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.model.cmae import CMAE
from mim.model.decoder import Decoder
from mim.model.mean_decoder import MeanDecoder
from mim.model.projector import Projector
from mim.optim.number import Cosine
from mim.optim.table import MMLinearCosine
from mim.part import Progress
from mim.target.pixel import Pixel
from mim.teacher.ema import EMA
from mim.tokens import take
from tests.parity.conftest import Drawn

ENCODER = {
    "patch_embed.projection.": "patch_embed.proj.",
    ".ffn.layers.0.0.": ".mlp.fc1.",
    ".ffn.layers.1.": ".mlp.fc2.",
    "layers.": "blocks.",
    ".ln1.": ".norm1.",
    ".ln2.": ".norm2.",
}
DECODER = {
    "decoder_pos_embed": "pos_embed",
    "decoder_embed.": "embed.",
    "decoder_blocks.": "blocks.",
    "decoder_pred.": "predict.",
    ".ffn.layers.0.0.": ".mlp.fc1.",
    ".ffn.layers.1.": ".mlp.fc2.",
    ".ln1.": ".norm1.",
    ".ln2.": ".norm2.",
}
PROJECTOR = {"fc0.": "0.", "bn0.": "1.", "fc1.": "3."}
ROOMS = (
    ("target_backbone.", "teacher.encoder.", ENCODER),
    ("target_projector.", "teacher.projector.", PROJECTOR),
    ("backbone.", "encoder.", ENCODER),
    ("pixel_decoder.", "decoder.", DECODER),
    ("feature_decoder.", "feature_decoder.", DECODER),
    ("head.predictor.", "predictor.", PROJECTOR),
    ("projector.", "projector.", PROJECTOR),
)
WITHOUT = ("running_mean", "running_var", "num_batches_tracked")


def our_name(name):
    """Their name of a parameter -> ours; the teacher's behind `teacher.`."""
    theirs, ours, words = next(room for room in ROOMS if name.startswith(room[0]))
    rest = name.removeprefix(theirs)
    for before, after in words.items():
        rest = rest.replace(before, after)
    return ours + (f"norm.{rest.removeprefix('ln1.')}" if rest.startswith("ln1.") else rest)


def ours(tensors):
    """Their tensors under our names, without running statistics, which are read nowhere."""
    return {our_name(name): value for name, value in tensors.items() if not name.endswith(WITHOUT)}


@pytest.fixture
def case(golden):
    reference = golden("cmae")
    m, score = reference.meta, Drawn()
    score.noise = reference["noise"]
    encoder = ViT(
        m["img_size"],
        m["patch_size"],
        m["embed_dim"],
        m["depth"],
        m["num_heads"],
        m["feedforward_channels"] / m["embed_dim"],
    )
    sizes = [
        {
            "width": d["dim"],
            "depth": d["depth"],
            "heads": d["num_heads"],
            "mlp_ratio": d["mlp_ratio"],
        }
        for d in (m["pixel_decoder"], m["feature_decoder"])
    ]
    heads = [
        {"hidden": h["hid_channels"], "out": h["out_channels"]}
        for h in (m["projector"], m["predictor"])
    ]
    model = CMAE(
        encoder,
        Masker(score, FixedRatio(m["mask_ratio"]), cell=2),
        partial(Decoder, **sizes[0]),
        partial(MeanDecoder, **sizes[1]),
        *(partial(Projector, **head) for head in heads),
        {"pixel": encoder.geometry.values_per_patch},
    )
    tensors = ours(reference.under("sd."))
    model.load_state_dict(
        {name: value for name, value in tensors.items() if not name.startswith("teacher.")}
    )
    teacher = EMA(model, m["momentum"], ["encoder", "projector"])
    given = {
        name.removeprefix("teacher."): value
        for name, value in tensors.items()
        if name.startswith("teacher.")
    }
    lacks = teacher.load_state_dict(given, strict=False)
    # it has no final norm
    assert set(lacks.missing_keys) == {"encoder.norm.weight", "encoder.norm.bias"}
    assert not lacks.unexpected_keys
    image, other = reference["images"], reference["images_t"]
    batch = Batch.of(image)._replace(views=(uncropped(image), uncropped(other)))
    return SimpleNamespace(
        reference=reference, model=model.train(), teacher=teacher, batch=batch, made=model(batch)
    )


def terms(case):
    """Their two losses."""
    pixel = Term(Pixel(case.model.encoder.geometry))
    contrast = Contrast(case.reference.meta["temperature"])
    return {
        "rc": pixel(case.made.predictions["pixel"], case.batch.image, case.made.split),
        "ct": contrast(case.made.vectors["contrast"], case.batch, case.teacher),
    }


def test_the_same_patches_are_hidden_and_predictions_are_official(case, distance):
    masked = case.made.split.masked
    hidden = torch.zeros(case.reference["mask"].shape).scatter(1, masked[:, 0], 1.0)
    assert torch.equal(hidden, case.reference["mask"])
    expected = take(case.reference["pred_pixel"], masked)
    assert distance(case.made.predictions["pixel"], expected) < 2e-5


def test_projections_are_official(case, distance):
    """Of the student and, of the other view, of the teacher; with a batch norm of four images."""
    seen = []
    case.model.projector.register_forward_hook(lambda module, given, made: seen.append(made))
    vectors = case.model(case.batch).vectors["contrast"]
    assert distance(seen[0], case.reference["proj_s"]) < 5e-5
    assert distance(vectors[:, 0], case.reference["pred_s"]) < 5e-5
    (key,) = case.teacher(case.batch.views[1].image, [case.teacher.depth], "projector")
    assert distance(key, case.reference["proj_t"]) < 5e-5


def test_losses_and_gradients_are_official(case, distance):
    losses = terms(case)
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(case.reference[f"loss_{name}"].item(), rel=1e-5)
    sum(losses.values()).backward()
    gradient = {name: p.grad for name, p in case.model.named_parameters()}
    expected = ours(case.reference.under("grad."))
    zero = set(map(our_name, case.reference.meta["gradients_zero_in_theory"]))
    assert len(expected) > 20
    for name, value in expected.items():
        if name not in zero:
            assert distance(gradient[name], value) < 2e-4, name
    for name, norm in zip(
        case.reference.names("gradnorm_names"), case.reference["gradnorm"].tolist(), strict=True
    ):
        if norm > 1e-7 and our_name(name) not in zero:
            assert gradient[our_name(name)].norm().item() == pytest.approx(norm, rel=2e-3), name


def test_the_teacher_follows_as_theirs(case, distance):
    case.teacher.after_step(case.model, Progress(0, 1, 1))
    after = case.reference.under("after.")
    mine = {f"teacher.{name}": value for name, value in case.teacher.state_dict().items()}
    compared = [name for name in after if not name.endswith(WITHOUT)]
    assert len(compared) > 5
    for name in compared:
        assert distance(mine[our_name(name)], after[name]) < 1e-5, name


def test_schedules_are_official(golden):
    reference = golden("cmae")
    for said in reference.meta["momentum_schedules"]:
        schedule, steps = Cosine(said["base"], said["end"]), said["max_iters"]
        mine = [schedule(Progress(step, steps, 1)) for step in range(steps)]
        assert mine == pytest.approx(reference[f"momentum_{said['index']}"].tolist(), rel=1e-9)
    for said in reference.meta["lr_schedules"]:
        schedule, passes = (
            MMLinearCosine(said["warm"], start=said["start_factor"]),
            said["per_epoch"],
        )
        steps = said["epochs"] * passes
        mine = [
            said["lr"] * schedule(Progress(step, steps, passes), said["lr"])
            for step in range(steps)
        ]
        assert mine == pytest.approx(reference[f"lr_{said['index']}"].tolist(), rel=1e-9, abs=1e-15)


def test_no_token_is_decayed_as_theirs(case):
    """But for the scales of two batch norms, which the release decays because its list does not
    know their names.
    """
    spared = case.model.no_weight_decay()
    frozen = {name for name, p in case.model.named_parameters() if not p.requires_grad}
    shapes = {name: p.ndim for name, p in case.model.named_parameters()}
    differing = {
        name
        for name, decay in zip(
            map(our_name, case.reference.names("optim.names")),
            case.reference["optim.weight_decay"].tolist(),
            strict=True,
        )
        if name not in frozen and bool(decay) != (shapes[name] > 1 and name not in spared)
    }
    assert differing == {"projector.1.weight", "predictor.1.weight"}
