import math

import pytest
import torch
from torchvision.transforms import v2

from mim.augment.boxes import ClampedBoxes, TorchvisionBoxes

SIZES = [(480, 640), (32, 32), (60, 200), (3, 400), (2, 2), (1, 1)]


def as_uniform(value: int, count: int) -> float:
    """The uniform whose product with `count` rounds down to `value`."""
    return (value + 0.5) / count


def test_the_official_code_cuts_the_same_boxes_from_the_same_draws(golden):
    reference = golden("crop")
    for config in reference.meta["configs"]:
        width, height = config["image_wh"]
        boxes = reference[f"c{config['index']}.ijhw"]
        torch.manual_seed(config["torch_seed"])
        draws = []
        for _, _, h, w in boxes.tolist():
            area, aspect = torch.rand(1).item(), torch.rand(1).item()
            places = (height - h + 1, width - w + 1)
            draws.append(
                [area, aspect, *(as_uniform(torch.randint(n, (1,)).item(), n) for n in places)]
            )
        recipe = ClampedBoxes(config["scale"], config["ratio"])
        box = recipe(torch.tensor(draws), torch.tensor([[height, width]]).expand(len(draws), 2))
        top, left, h, w = boxes.unbind(1)
        assert torch.equal(box, torch.stack([left, top, left + w, top + h], 1))


@pytest.mark.parametrize(("height", "width"), [(480, 640), (32, 32), (60, 200), (400, 90)])
def test_torchvision_cuts_the_same_boxes_from_the_same_draws(height, width):
    theirs = v2.RandomResizedCrop(8, scale=(0.2, 1.0))
    expected, draws = [], []
    for seed in range(40):
        torch.manual_seed(seed)
        expected.append(theirs.make_params([torch.empty(3, height, width)]))
        torch.manual_seed(seed)
        tries = torch.rand(20)
        last = torch.zeros(2)
        # torchvision draws places after the first box that fits, so replay up to there
        for n in range(1, 11):
            area, aspect = (
                tries[2 * n - 2] * 0.8 + 0.2,
                (tries[2 * n - 1] * 2 - 1) * math.log(4 / 3),
            )
            h = round(math.sqrt(height * width * area / aspect.exp()))
            w = round(math.sqrt(height * width * area * aspect.exp()))
            if h <= height and w <= width:
                torch.manual_seed(seed)
                torch.rand(2 * n)
                last = torch.tensor(
                    [
                        as_uniform(torch.randint(m, (1,)).item(), m)
                        for m in (height - h + 1, width - w + 1)
                    ]
                )
                break
        draws.append(torch.cat([tries, last]))
    box = TorchvisionBoxes((0.2, 1.0))(
        torch.stack(draws), torch.tensor([[height, width]]).expand(40, 2)
    )
    for (x1, y1, x2, y2), p in zip(box.tolist(), expected, strict=True):
        assert (y1, x1, y2 - y1, x2 - x1) == (p["top"], p["left"], p["height"], p["width"])


def test_a_picture_too_narrow_for_any_try_gives_its_centre():
    box = TorchvisionBoxes()(torch.rand(5, 22), torch.tensor([[10, 1000]]).expand(5, 2))
    assert box.tolist() == [[493, 0, 506, 10]] * 5  # 13 = round(10 * 4 / 3) columns


@pytest.mark.parametrize("recipe", [TorchvisionBoxes, ClampedBoxes])
def test_boxes_have_pixels_and_lie_inside(recipe):
    for scale in ((0.05, 1.0), (0.2, 1.0), (1.0, 1.0)):
        boxes = recipe(scale)
        draws = torch.cat(
            [
                torch.rand(100, boxes.draws),
                torch.zeros(1, boxes.draws),
                torch.ones(1, boxes.draws) - 2**-24,
            ]
        )
        for height, width in SIZES:
            x1, y1, x2, y2 = boxes(
                draws, torch.tensor([[height, width]]).expand(len(draws), 2)
            ).unbind(1)
            assert (x1 >= 0).all()
            assert (y1 >= 0).all()
            assert (x2 > x1).all()
            assert (y2 > y1).all()
            assert (x2 <= width).all()
            assert (y2 <= height).all()


def test_every_place_can_be_drawn():
    draws = torch.rand(4000, 4)
    box = ClampedBoxes((0.2, 0.3))(draws, torch.tensor([[8, 8]]).expand(4000, 2))
    assert (box[:, 0].min(), box[:, 1].min(), box[:, 2].max(), box[:, 3].max()) == (0, 0, 8, 8)


@pytest.mark.parametrize("recipe", [TorchvisionBoxes, ClampedBoxes])
@pytest.mark.parametrize(
    ("scale", "ratio"),
    [((0, 1), (1, 1)), ((0.5, 0.2), (1, 1)), ((0.2, 2), (1, 1)), ((0.2, 1), (2, 1))],
)
def test_shares_that_make_no_sense_are_refused(recipe, scale, ratio):
    with pytest.raises(ValueError, match="it should be rising numbers"):
        recipe(scale, ratio)
