"""What detection and segmentation do at a threshold, a border, or with numbers that are none."""

import pytest
import torch

from mim.dense import DenseBatch, Objects
from mim.encoder.vit import ViT
from mim.head.detections import kept_after_nms
from mim.head.detector import Detector
from mim.head.federated import Federated
from mim.head.linear import LinearHead
from mim.head.masks import mask_targets, pasted
from mim.head.proposals import ProposalNetwork
from mim.head.pyramid import normed_convolution
from mim.head.regions import RegionHeads
from mim.head.segmenter import Segmenter


def test_a_pixel_that_is_half_covered_is_of_the_object():
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[:, :, 0] = True
    target = mask_targets(mask, torch.tensor([[0.0, 0.0, 4.0, 4.0]]), 2)
    assert target.tolist() == [[[True, False], [True, False]]]


def test_a_pixel_that_is_as_probable_as_not_is_of_the_mask():
    found = pasted(torch.full((1, 28, 28), 0.5), torch.tensor([[1.0, 1.0, 3.0, 3.0]]), (4, 4))
    assert found.sum() == 4
    assert not pasted(torch.full((1, 28, 28), 0.49), torch.tensor([[1.0, 1, 3, 3]]), (4, 4)).any()


def test_a_box_without_a_width_is_pasted_as_detectron2_does_it():
    """Columns that lie infinitely far away are those in the middle (layers/mask_ops.py)."""
    found = pasted(torch.ones(1, 28, 28), torch.tensor([[2.0, 1.0, 2.0, 3.0]]), (4, 5))
    assert found.tolist() == [[[row in (1, 2)] * 5 for row in range(4)]]


def test_a_score_that_is_no_number_proposes_nothing():
    network = ProposalNetwork(8, (8,), (1.0,)).eval()
    anchor = torch.tensor([[0.0, 0.0, 8.0, 8.0], [8.0, 8.0, 16.0, 16.0], [0.0, 8.0, 8.0, 16.0]])
    offset = torch.zeros(1, 3, 4)
    offset[0, 2, 0] = torch.nan
    score = torch.tensor([[torch.nan, 1.0, 2.0]])
    (found,) = network.propose([score], [offset], [anchor], torch.tensor([[16, 16]]))
    assert found.box.tolist() == [[8, 8, 16, 16]]


def test_a_region_with_a_number_that_is_none_is_not_found():
    probability = torch.tensor([[0.9, 0.1], [0.8, torch.nan], [0.3, 0.3]])
    box = torch.tensor([[0.0, 0.0, 4.0, 4.0]]).expand(3, 2, 4).clone()
    box[2, 1, 0] = torch.nan
    boxes, scores, categories = kept_after_nms(probability, box, 0.1, 0.5, 10)
    assert (scores.tolist(), categories.tolist()) == ([pytest.approx(0.9)], [0])
    assert boxes.tolist() == [[0, 0, 4, 4]]


def test_a_category_without_images_is_never_drawn_and_power_0_draws_all_alike():
    for power, count in ((0.5, 1), (0.0, 2)):
        federated = Federated(classes=3, power=power, images=[0, 0, 5, 0])
        federated.prepare(4)
        chosen = federated.chosen(torch.tensor([4]), torch.tensor(7), 4)
        assert chosen.sum() == count
        assert chosen[2] or not power


def test_convolutions_of_pyramid_and_heads_start_by_what_leaves_them():
    torch.manual_seed(0)
    layer, _ = normed_convolution(64, 16, 3)
    assert layer.weight.std().item() == pytest.approx((2 / (16 * 9)) ** 0.5, rel=0.03)


def test_nothing_is_learned_from_a_crowd():
    torch.manual_seed(0)
    detector = Detector(
        ViT(32, 8, 16, 1, 2),
        lambda width: ProposalNetwork(width, (4, 8, 16, 24, 32), (1.0,), train=(20, 10)),
        lambda in_width, num_classes: RegionHeads(in_width, num_classes, 8, 1, 1, 16, sampled=8),
        *(2, 32, 2, 1, False, 8),
    )
    masks = torch.zeros(2, 32, 32, dtype=torch.bool)
    masks[0, 4:12, 4:12], masks[1, 16:30, 10:30] = True, True
    several = Objects.of_masks(masks, torch.tensor([0, 1]), torch.tensor([False, True]))
    batch = _batch(several)
    with torch.no_grad():
        one, both = (
            detector.losses(batch._replace(objects=(objects,)))
            for objects in (several.only(torch.tensor([0])), several)
        )
    assert one == both


def _batch(objects: Objects):
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    empty = torch.zeros(1, 0, 0, dtype=torch.uint8)
    return DenseBatch(
        image, empty, (objects,), torch.tensor([[32, 32]]), torch.tensor([0]), torch.tensor([5])
    )


class Numbered(Segmenter):
    """Segmenter whose scores are the number of the window."""

    windows = 0

    def forward(self, image):
        self.windows += 1
        return torch.full((1, 2, 1, 1), float(self.windows))


@pytest.mark.parametrize(
    ("width", "stride", "scores"),
    [
        (48, 0.5, [1] * 16 + [1.5] * 16 + [2] * 16),
        (40, 0.5, [1] * 8 + [1.5] * 24 + [2] * 8),  # the last is moved back to the border
        (64, 1.0, [1] * 32 + [2] * 32),
        (34, 0.01, [1, 1.5] + [2] * 30 + [2.5, 3]),  # a pixel at least
    ],
)
def test_windows_are_averaged_where_they_overlap(width, stride, scores):
    model = Numbered(ViT(32, 8, 16, 1, 2), LinearHead, 2)
    found = model.segment(torch.zeros(1, 3, 32, width), stride=stride)
    assert found[0, 1, 5].tolist() == pytest.approx(scores)
