"""Proposal network, box head and mask head of detectron2's ViTDet, with its weights (@
02b5c4e295e9).
"""

import numpy as np
import pytest
import torch

from mim.dense import Objects, boxes_of
from mim.head.assignment import Sampled
from mim.head.boxes import pooled
from mim.head.detector import in_picture
from mim.head.federated import Federated
from mim.head.masks import mask_targets, pasted
from mim.head.proposals import ProposalNetwork, Proposals
from mim.head.regions import BOX_SIDE, RegionHeads


def close(ours, theirs, limit=2e-5):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= limit * theirs.abs().max()


def bits(packed, width: int):
    return torch.from_numpy(np.unpackbits(packed.numpy(), axis=-1)[..., :width]).bool()


class Case:
    """The stored pictures, and our heads with the stored weights."""

    def __init__(self, golden):
        reference = self.reference = golden("vitdet_heads")
        m = self.meta = reference.meta
        self.levels = [
            reference[f"features.p{n}"].requires_grad_() for n in range(2, 2 + len(m["strides"]))
        ]
        self.size = torch.tensor(m["true_image_sizes"])
        channels = self.levels[0].shape[1]
        kept = (m["pre_nms_topk"], m["post_nms_topk"])
        sizes = [size for (size,) in m["anchor_sizes"]]
        self.proposals = ProposalNetwork(
            channels, sizes, m["aspect_ratios"], nms=m["rpn_nms"], test=kept, sampled=10**6
        )
        boxes, masks = m["box_conv"], m["mask_conv"]
        assert m["roi_box_weights"] == [10, 10, 5, 5]
        assert m["rpn_box_weights"] == [1, 1, 1, 1]
        self.heads = RegionHeads(
            channels,
            m["num_classes"],
            width=boxes[0],
            box_convolutions=len(boxes),
            mask_convolutions=0,
            fully_connected=m["fc"],
            sampled=10**6,
            score_threshold=m["score_thresh"],
            nms=m["nms_thresh"],
            detections=m["topk_per_image"],
            canonical_size=m["canonical_box_size"],
        )
        # of another width here
        self.heads.mask = RegionHeads(channels, m["num_classes"], masks[0], 1, len(masks)).mask
        given = reference.under("sd.")
        self.named = {}
        for prefix, module in (
            ("proposal_generator.rpn_head.conv", self.proposals.shared),
            ("proposal_generator.rpn_head.objectness", self.proposals.score),
            ("proposal_generator.rpn_head.anchor", self.proposals.offset),
            ("roi_heads.box_head", self.heads.box),
            ("roi_heads.box_predictor.cls_score", self.heads.score),
            ("roi_heads.box_predictor.bbox_pred", self.heads.offset),
            ("roi_heads.mask_head", self.heads.mask),
        ):
            theirs = [name for name in given if name.startswith(prefix)]
            for name, parameter in zip(theirs, module.parameters(), strict=True):
                assert parameter.shape == given[name].shape
                parameter.data.copy_(given[name])
                self.named[name] = parameter
        assert self.named.keys() == given.keys()
        width = m["image_size"][1]
        self.objects = [
            Objects(
                reference[f"gt.{n}.boxes"],
                reference[f"gt.{n}.classes"],
                bits(reference[f"gt.{n}.masks"], width),
                torch.zeros(len(reference[f"gt.{n}.boxes"]), dtype=torch.bool),
            )
            for n in range(len(self.size))
        ]
        self.strides = m["strides"]
        self.anchors = self.proposals.anchors(self.levels, self.strides)
        self.given = [
            Proposals(reference[f"proposals.{n}"], torch.zeros(0)) for n in range(len(self.size))
        ]
        self.key = torch.arange(len(self.size))


@pytest.fixture
def case(golden) -> Case:
    return Case(golden)


def test_anchors_scores_and_offsets_are_detectron2s(case):
    scores, offsets = case.proposals(case.levels)
    for number, (anchor, score, offset) in enumerate(
        zip(case.anchors, scores, offsets, strict=True), start=2
    ):
        assert torch.equal(anchor, case.reference[f"anchors.p{number}"])
        theirs = case.reference[f"objectness.p{number}"]
        close(score, theirs.permute(0, 2, 3, 1).flatten(1))
        theirs = (
            case.reference[f"deltas.p{number}"]
            .unflatten(1, (-1, 4))
            .permute(0, 3, 4, 1, 2)
            .flatten(1, 3)
        )
        close(offset, theirs)


def test_labels_of_anchors_are_detectron2s(case):
    for number, objects in enumerate(case.objects):
        label, _ = case.proposals.labels(torch.cat(case.anchors), objects.box)
        assert torch.equal(label, case.reference[f"gt.{number}.anchor_labels"].long())


def test_proposals_are_detectron2s(case):
    found = case.proposals.eval().propose(*case.proposals(case.levels), case.anchors, case.size)
    for number, (box, score) in enumerate(found):
        close(box, case.reference[f"rpn_boxes.{number}"])
        close(score, case.reference[f"rpn_logits.{number}"])


def test_pooled_features_scores_and_offsets_are_detectron2s(case):
    boxes = case.reference["sampled_boxes"].split(case.reference["sampled_per_image"].tolist())
    found = pooled(
        case.levels[:-1], boxes, case.strides[:-1], BOX_SIDE, case.meta["canonical_box_size"]
    )
    close(found.mean(dim=(2, 3)), case.reference["box_pooled_mean"])
    close(found[:8], case.reference["box_pooled_first8"])
    close(case.heads.box(found), case.reference["box_features"])
    scores, offsets = case.heads.describe(case.levels[:-1], boxes, case.strides[:-1])
    close(scores, case.reference["scores"])
    close(offsets, case.reference["box_deltas"])


def test_all_proposals_and_objects_are_sampled_with_their_categories(case):
    key = case.key
    sampled = case.heads.sample(case.given, case.objects, key)
    boxes = case.reference["sampled_boxes"].split(case.reference["sampled_per_image"].tolist())
    categories = case.reference["sampled_classes"].split(
        case.reference["sampled_per_image"].tolist()
    )
    targets = case.reference["sampled_gt_boxes"].split(case.reference["sampled_per_image"].tolist())
    for ours, box, category, target, objects in zip(
        sampled, boxes, categories, targets, case.objects, strict=True
    ):
        places = [(ours.box == one).all(dim=1).nonzero()[0, 0].item() for one in box]
        assert sorted(places) == list(range(len(ours.box)))
        assert torch.equal(ours.category[places], category)
        for place, wanted, kind in zip(places, target, category, strict=True):
            if kind < case.meta["num_classes"]:
                assert torch.equal(objects.box[ours.match[place]], wanted)


def test_targets_and_scores_of_masks_are_detectron2s(case):
    sampled = case.heads.sample(case.given, case.objects, case.key)
    boxes, categories = case.reference["mask_boxes"], case.reference["mask_classes"]
    targets = bits(case.reference["mask_targets"], 28)
    parts = boxes.split([len(one.match) for one in sampled])
    scores = case.heads.masks(case.levels[:-1], parts, case.strides[:-1], categories)
    close(scores, case.reference["mask_logits_of_class"])
    for one, objects, box, target in zip(
        sampled, case.objects, parts, targets.split([len(part) for part in parts]), strict=True
    ):
        places = [(one.box[: len(one.match)] == each).all(dim=1).nonzero()[0, 0] for each in box]
        match = one.match[torch.stack(places)]
        assert torch.equal(mask_targets(objects.mask[match], box, 28), target)


def test_losses_and_gradients_are_detectron2s(case):
    key = case.key
    scores, offsets = case.proposals(case.levels)
    found = case.proposals.losses(scores, offsets, case.anchors, case.objects, key)
    sampled = case.heads.sample(case.given, case.objects, key)
    found |= case.heads.losses(
        case.levels[:-1], case.strides[:-1], sampled, case.objects, key, case.size
    )
    for ours, theirs in (
        ("rpn_score", "loss_rpn_cls"),
        ("rpn_box", "loss_rpn_loc"),
        ("category", "loss_cls"),
        ("box", "loss_box_reg"),
        ("mask", "loss_mask"),
    ):
        assert found[ours].item() == pytest.approx(
            case.reference[f"{theirs}_f64"].item(), rel=1e-5
        ), ours
    sum(found.values()).backward()
    checked = {name: g for name, g in case.reference.under("grad.").items() if name in case.named}
    assert checked
    for name, gradient in checked.items():
        close(case.named[name].grad, gradient, 1e-4)
    close(case.levels[1].grad, case.reference["grad_features_p3"], 1e-4)
    close(case.levels[3].grad, case.reference["grad_features_p5"], 1e-4)


def test_losses_of_lvis_are_detectron2s(case):
    scores, category = case.reference["scores"], case.reference["sampled_classes"]
    all_of_them = Federated(classes=None).loss(scores, category, torch.zeros_like(category)) / len(
        scores
    )
    assert all_of_them.item() == pytest.approx(case.reference["loss_cls_sigmoid"].item(), rel=1e-5)
    federated = Federated(classes=1)
    chosen = torch.zeros(case.meta["num_classes"] + 1, dtype=torch.bool)
    chosen[case.reference["federated_classes"]] = True
    chosen = chosen[:-1]
    federated.chosen = lambda *_: chosen
    some = federated.loss(scores, category, torch.zeros_like(category)) / len(scores)
    assert some.item() == pytest.approx(case.reference["loss_cls_federated"].item(), rel=1e-5)


def test_detections_and_their_masks_are_detectron2s(case):
    boxes = [one.box for one in case.given]
    found = case.heads.eval().detect(case.levels[:-1], case.strides[:-1], boxes, case.size)
    wrong = 0
    for number, (one, size) in enumerate(zip(found, case.size.tolist(), strict=True)):
        close(one.box, case.reference[f"det_boxes.{number}"])
        close(one.score, case.reference[f"det_scores.{number}"])
        assert torch.equal(one.category, case.reference[f"det_classes.{number}"])
        close(one.mask, case.reference[f"det_mask_probs.{number}"])
        whole = in_picture(one, size, size)
        theirs = bits(case.reference[f"det_masks.{number}"], case.meta["image_size"][1])
        wrong += int((whole.mask != theirs[:, : size[0], : size[1]]).sum())
    assert wrong <= 2


def test_a_mask_comes_back_from_the_square_of_its_box():
    mask = torch.zeros(1, 40, 50, dtype=torch.bool)
    mask[0, 5:30, 8:44] = True
    box = boxes_of(mask)
    assert box.tolist() == [[8, 5, 44, 30]]
    square = mask_targets(mask, box, 28)
    assert square.all()
    assert torch.equal(pasted(square.float(), box, (40, 50)), mask)


def test_an_image_without_objects_is_all_background_and_changes_no_mask():
    torch.manual_seed(0)
    heads, proposals = RegionHeads(8, 3, 8, 1, 1, 16), ProposalNetwork(8, (8, 16, 32, 64, 128))
    levels = [torch.randn(1, 8, side, side) for side in (16, 8, 4, 2, 1)]
    nothing = Objects(
        torch.zeros(0, 4),
        torch.zeros(0, dtype=torch.int64),
        torch.zeros(0, 64, 64).bool(),
        torch.zeros(0).bool(),
    )
    key = torch.tensor([1])
    anchors = proposals.anchors(levels, [4, 8, 16, 32, 64])
    found = proposals.losses(*proposals(levels), anchors, [nothing], key)
    sampled = heads.sample([Proposals(anchors[2], torch.zeros(len(anchors[2])))], [nothing], key)
    assert (sampled[0].category == 3).all()
    found |= heads.losses(
        levels[:4], [4, 8, 16, 32], sampled, [nothing], key, torch.tensor([[64, 64]])
    )
    assert found["box"] == found["rpn_box"] == found["mask"] == 0
    assert found["category"] > 0
    sum(found.values()).backward()
    assert all(p.grad is not None for module in (heads, proposals) for p in module.parameters())


def test_what_is_drawn_belongs_to_the_key_of_the_image():
    heads = RegionHeads(8, 3, 8, 1, 1, 16, sampled=8)
    box = torch.rand(100, 4).cumsum(dim=1) * 20
    objects = Objects(
        box[:2], torch.tensor([0, 1]), torch.ones(2, 64, 64).bool(), torch.zeros(2).bool()
    )
    both = heads.sample([Proposals(box, box[:, 0])] * 2, [objects] * 2, torch.tensor([5, 6]))
    (alone,) = heads.sample([Proposals(box, box[:, 0])], [objects], torch.tensor([6]))
    assert isinstance(alone, Sampled)
    assert torch.equal(alone.box, both[1].box)
    assert not torch.equal(both[0].box, both[1].box)
    assert len(alone.box) == 8
    assert len(alone.match) <= 2


def test_the_federated_loss_draws_frequent_categories_more_often_and_keeps_those_that_are_there():
    federated = Federated(classes=5, images=[1] * 50 + [10_000] * 50)
    federated.prepare(100)
    drawn = torch.stack(
        [federated.chosen(torch.tensor([7, 100]), torch.tensor(key), 100) for key in range(50)]
    )
    assert drawn[:, 7].all()
    assert (drawn.sum(dim=1) == 4).all()  # background is the fifth
    assert drawn[:, 50:].sum() > 10 * drawn[:, :50].sum() - 10 * 50
    with pytest.raises(ValueError, match="of 100 categories, and there are 3"):
        federated.prepare(3)
