"""Cascade heads: with one head and one category they are the plain heads; more heads see what the
one before predicts.
"""

import pytest
import torch

from mim.dense import Objects, boxes_of
from mim.head.cascade import CascadeHeads
from mim.head.federated import Federated
from mim.head.proposals import Proposals
from mim.head.regions import RegionHeads

SMALL = {
    "width": 8,
    "box_convolutions": 1,
    "mask_convolutions": 1,
    "fully_connected": 16,
    "canonical_size": 16,
}
STRIDES = [4, 8, 16, 32]
SIZE = torch.tensor([[32, 32], [32, 24]])


def draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def scene():
    """Levels of two images, their objects, and proposals around them."""
    levels = [
        torch.randn(2, 8, 32 // s, 32 // s, generator=draws(s)).requires_grad_() for s in STRIDES
    ]
    objects, proposals = [], []
    for number, (rows, columns) in enumerate(SIZE.tolist()):
        mask = torch.zeros(2, 32, 32, dtype=torch.bool)
        mask[0, 2:12, 3:15] = True
        mask[1, rows - 14 : rows - 2, columns - 12 : columns - 1] = True
        box = boxes_of(mask)
        objects.append(
            Objects(box, torch.tensor([0, number]), mask, torch.zeros(2, dtype=torch.bool))
        )
        noise = 7 * torch.rand(8, 4, generator=draws(number)) - 3.5
        around = (box.repeat(4, 1) + noise).clamp(min=0).minimum(torch.tensor([columns, rows] * 2))
        proposals.append(Proposals(around, torch.zeros(8)))
    return levels, objects, proposals


def learned(heads, scene, key=(5, 6)):
    levels, objects, proposals = scene
    keys = torch.tensor(key)
    sampled = heads.sample(proposals, objects, keys)
    return heads.losses(levels, STRIDES, sampled, objects, keys, SIZE), sampled


def test_one_head_for_one_category_is_the_plain_one(scene):
    levels, objects, proposals = scene
    objects = [one._replace(category=one.category * 0) for one in objects]
    scene = (levels, objects, proposals)
    torch.manual_seed(0)
    plain = RegionHeads(8, 1, **SMALL, score_threshold=0.3)
    one = CascadeHeads(8, 1, **SMALL, score_threshold=0.3, later=())
    one.load_state_dict(plain.state_dict())
    ours, theirs = learned(one, scene)[0], learned(plain, scene)[0]
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name
    boxes = [each.box for each in proposals]
    for found, other in zip(
        one.detect(levels, STRIDES, boxes, SIZE),
        plain.detect(levels, STRIDES, boxes, SIZE),
        strict=True,
    ):
        assert len(found.box) > 0
        assert all(torch.equal(a, b) for a, b in zip(found, other, strict=True))


def test_each_head_learns_from_the_boxes_before_it_with_more_overlap(scene):
    torch.manual_seed(0)
    heads = CascadeHeads(8, 2, **SMALL)
    for stage in heads.stages:  # a head that moves nothing hands on what it is given
        torch.nn.init.zeros_(stage.offset.weight)
    losses, sampled = learned(heads, scene)
    assert set(losses) == {"category", "box", "category_2", "box_2", "category_3", "box_3", "mask"}
    boxes = [one.box for one in sampled]
    counts = [
        (heads._labelled(boxes, scene[1], threshold)[0] < 2).sum().item()
        for threshold in (0.5, 0.6, 0.7)
    ]
    assert counts[0] > counts[1] > counts[2] > 0
    category, target = heads._labelled(boxes, scene[1], 0.6)
    stage = heads.stages[1]
    score, _ = heads.describe_at(stage, scene[0], boxes, STRIDES)
    assert losses["category_2"].item() == pytest.approx(
        torch.nn.functional.cross_entropy(score, category).item(), rel=1e-5
    )
    there = torch.cat(boxes)[category < 2]
    centre = ((target[:, :2] + target[:, 2:]) / 2 - (there[:, :2] + there[:, 2:]) / 2) / (
        there[:, 2:] - there[:, :2]
    )
    sides = ((target[:, 2:] - target[:, :2]) / (there[:, 2:] - there[:, :2])).log()
    far = 20 * centre.abs().sum() + 10 * sides.abs().sum()  # twice the first head's weights
    assert losses["box_2"].item() == pytest.approx((far / len(category)).item(), rel=1e-4)


def test_gradients_of_a_head_reach_the_levels_divided_by_the_number_of_heads(scene):
    torch.manual_seed(0)
    three = CascadeHeads(8, 2, **SMALL)
    one = CascadeHeads(8, 2, **SMALL, later=())
    one.load_state_dict(
        {name: value for name, value in three.state_dict().items() if not name.startswith("later")}
    )
    gradients = []
    for heads in (three, one):
        loss = learned(heads, scene)[0]["category"]
        gradients.append(torch.autograd.grad(loss, [scene[0][0], heads.box[0].weight]))
    assert torch.allclose(3 * gradients[0][0], gradients[1][0], atol=1e-7)
    assert torch.allclose(gradients[0][1], gradients[1][1], atol=1e-7)


@pytest.mark.parametrize("federated", [None, Federated(2)])
def test_probabilities_are_averaged_and_boxes_are_the_last_heads(scene, federated):
    torch.manual_seed(0)
    heads = CascadeHeads(8, 2, **SMALL, federated=federated)
    levels, _, proposals = scene
    boxes = [each.box for each in proposals]
    probability, box = heads.judged(levels, STRIDES, boxes, SIZE)
    each, moved = [], boxes
    for stage in heads.stages:
        score, offset = heads.describe_at(stage, levels, moved, STRIDES)
        each.append(heads.probability(score))
        told = stage.offsets.boxes(offset, torch.cat(moved))[:, 0].split(8)
        moved = [
            one.clamp(min=0).minimum(torch.tensor([w, h, w, h]))
            for one, (h, w) in zip(told, SIZE.tolist(), strict=True)
        ]
    assert torch.allclose(probability, sum(each) / 3)
    assert box.shape == (16, 2, 4)
    assert torch.allclose(box[:, 1], torch.cat(moved))


def test_an_image_without_objects_is_background_for_every_head(scene):
    levels, objects, proposals = scene
    nothing = [one.only(torch.zeros(2, dtype=torch.bool)) for one in objects]
    losses, _ = learned(CascadeHeads(8, 2, **SMALL), (levels, nothing, proposals))
    assert [losses[name].item() for name in ("box", "box_2", "box_3", "mask")] == [0] * 4
    sum(losses.values()).backward()
    assert all(value.isfinite() for value in losses.values())
