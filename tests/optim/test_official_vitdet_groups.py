"""Rates, decays and schedule of detectron2's ViTDet, computed on the meta device
(tests/golden/vitdet_lr_decay.npz).
"""

from functools import partial

import pytest
import torch

from mim.encoder.vit import ViT
from mim.head.detector import Detector
from mim.head.proposals import ProposalNetwork
from mim.head.regions import RegionHeads
from mim.optim.milestones import Milestones
from mim.optim.vitdet import vitdet_groups
from mim.part import Progress
from tests.stored import Golden

MODELS = list(Golden("vitdet_lr_decay").meta["models"])


def detector(m) -> Detector:
    with torch.device("meta"):
        encoder = ViT(224, 16, m["embed_dim"], m["depth"], m["num_heads"])
    blocks = [n + 1 for n in range(m["depth"]) if n not in m["window_block_indexes"]]
    with torch.device("meta"):
        return Detector(
            encoder, ProposalNetwork, partial(RegionHeads), m["num_classes"], 1024, 14, blocks
        )


@pytest.mark.parametrize("model", MODELS)
def test_rates_and_decays_are_detectron2s(golden, model):
    reference = golden("vitdet_lr_decay")
    m = reference.meta["models"][model]
    built = detector(m)
    theirs = dict(
        zip(
            reference.names(f"{model}.names"),
            zip(
                reference[f"{model}.lr_factor"].tolist(),
                reference[f"{model}.weight_decay"].tolist(),
                strict=True,
            ),
            strict=True,
        )
    )
    (decay,) = {
        factor
        for name, (factor, _) in theirs.items()
        if f"blocks.{m['depth'] - 1}.mlp.fc1.weight" in name
    }
    groups = vitdet_groups(built, m["base_lr"], m["weight_decay"], decay)
    names = {id(parameter): name for name, parameter in built.named_parameters()}
    ours = {
        names[id(p)]: (group["lr"] / m["base_lr"], group["weight_decay"])
        for group in groups
        for p in group["params"]
    }
    assert len(ours) == len(theirs)
    for name, (factor, weight_decay) in theirs.items():
        if not name.startswith("backbone.net."):
            assert (factor, weight_decay) == (1.0, m["weight_decay"])
            continue
        mine = f"encoder.{name.removeprefix('backbone.net.')}"
        for end, side in (("attn.rel_pos_h", "rows"), ("attn.rel_pos_w", "columns")):
            if name.endswith(end):
                mine = f"relative.{name.split('.')[3]}.{side}"
        assert ours[mine] == pytest.approx((factor, weight_decay), rel=1e-9), name
    rest = [value for name, value in ours.items() if not name.startswith(("encoder.", "relative."))]
    assert set(rest) == {(1.0, m["weight_decay"])}
    assert sum(p.numel() for p in built.parameters() if p.requires_grad) == m["parameters"]


@pytest.mark.parametrize("model", list(Golden("vitdet_lr_decay").meta["schedules"]))
def test_the_schedule_is_detectron2s(golden, model):
    reference = golden("vitdet_lr_decay")
    s = reference.meta["schedules"][model]
    steps = s["max_iter"]
    schedule = Milestones(
        warmup_steps=round(s["warmup_length"] * steps),
        milestones=[step / steps for step in s["milestones"]],
        start=s["warmup_factor"],
    )
    passes = 1000
    for step, value in zip(
        reference[f"{model}.iteration"].tolist(),
        reference[f"{model}.schedule"].tolist(),
        strict=True,
    ):
        assert schedule(Progress(step, steps, passes), 1e-4) == pytest.approx(value, rel=1e-9), step


def test_the_published_milestones_are_eight_ninths_and_twenty_six_twenty_sevenths():
    default = Milestones()
    for steps, published in (
        (184375, (163889, 177546)),
        (156250, (138889, 150463)),
        (138281, (122916, 133159)),
    ):
        for milestone, after in zip(published, (0.1, 0.01), strict=True):
            assert default(Progress(milestone - 1, steps, 7), 1.0) == pytest.approx(after * 10)
            assert default(Progress(milestone, steps, 7), 1.0) == pytest.approx(after)


def test_milestones_that_do_not_rise_are_refused():
    with pytest.raises(ValueError, match="they must rise"):
        Milestones(milestones=[0.9, 0.5])


@pytest.mark.parametrize("layer_decay", [0.0, -0.5, 1.5])
def test_a_factor_that_makes_no_sense_is_refused(layer_decay):
    with pytest.raises(ValueError, match=rf"layer_decay={layer_decay}; needs a factor above 0"):
        vitdet_groups(torch.nn.Module(), 1e-4, 0.1, layer_decay)
