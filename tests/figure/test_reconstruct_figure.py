import pytest
import torch

from mim.figure.reconstructions import HEADER, Made, reconstruct, reconstructions_figure
from mim.geometry import Geometry
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.masker.split import Split
from mim.model.reconstruction import Reconstruction
from mim.target.pixel import Pixel
from mim.tokens import patchify, take

MEAN, STD = (0.3, 0.4, 0.5), (0.2, 0.3, 0.1)


class Knowing:
    """A model that sees through its masks: it predicts the image itself, as its loss has it."""

    def __init__(self, painter):
        self.masker, self.painter = Masker(Random(), FixedRatio(0.5)), painter

    def __call__(self, batch):
        split = self.masker(batch, (4, 4))
        return Reconstruction({"pixel": self.painter(batch.image, split)}, split)


@pytest.fixture
def image():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("normalise", [True, False])
def test_a_perfect_prediction_is_the_image_in_its_own_colours(image, normalise):
    painter = Pixel(Geometry.of(4, 4), normalise)
    made = reconstruct(Knowing(painter), painter, image, MEAN, STD, [0, 1, 2])
    assert made.pixels.shape == (2, 3, 8, 48)
    assert torch.allclose(made.pixels, take(patchify(image, 4), made.split.masked), atol=1e-5)
    drawn = reconstructions_figure(image, ["a", "b"], {"A": made}, [0, 1, 2], 4)
    assert [row[-1] for row in drawn.rows] == pytest.approx([0] * len(drawn.rows), abs=1e-5)


def test_a_seed_always_gives_the_same_mask_and_another_seed_another(image):
    painter = Pixel(Geometry.of(4, 4))
    first, again = (
        reconstruct(Knowing(painter), painter, image, MEAN, STD, seeds)
        for seeds in ([0, 7], [7, 0])
    )
    assert torch.equal(first.split.masked, again.split.masked.flip(1))
    assert not torch.equal(first.split.masked[:, 0], first.split.masked[:, 1])
    assert (first.split.masked[0] != first.split.masked[1]).any()  # images differ, too


@pytest.fixture
def made():
    """One image of four patches that is 0.5 everywhere; three seeds mask patches 0, 1; 0, 2 and 0,
    3, and predict greys.
    """
    grey = torch.tensor([[0.5, 0.5], [0.7, 0.5], [0.4, 0.6]])
    masked, visible = (
        torch.tensor([[[0, 1], [0, 2], [0, 3]]]),
        torch.tensor([[[2, 3], [1, 3], [1, 2]]]),
    )
    return Made(grey[None, :, :, None].expand(1, 3, 2, 48), Split(visible=visible, masked=masked))


def test_errors_and_disagreements_are_of_the_patches_that_are_compared(made):
    """Worked example: only patch 0 is predicted twice or more, as 0.5, 0.7 and 0.4."""
    drawn = reconstructions_figure(
        torch.full((1, 3, 8, 8), 0.5), ["cow"], {"A": made}, [3, 4, 5], 4
    )
    rows = {(row[2], row[3]): row[4] for row in drawn.rows}
    assert rows == {
        ("error", "3"): pytest.approx(0.0),
        ("error", "4"): pytest.approx(0.1),
        ("error", "5"): pytest.approx(0.1),
        ("disagreement", "3 4"): pytest.approx(0.2),
        ("disagreement", "3 5"): pytest.approx(0.1),
        ("disagreement", "4 5"): pytest.approx(0.3),
        ("disagreement", "3 4 5"): pytest.approx(0.2),
    }
    assert {row[:2] for row in drawn.rows} == {("cow", "A")}
    assert HEADER == ("image", "checkpoint", "quantity", "seeds", "value")
    assert (
        drawn.what
        == "reconstructions of 1 image(s), 2 of 4 patches masked at random, under seeds 3, 4, 5: A"
    )


def test_columns_are_seeds_and_rows_checkpoints(made):
    drawn = reconstructions_figure(
        torch.full((1, 3, 8, 8), 0.5), ["cow"], {"A": made, "B": made}, [3, 4, 5], 4
    )
    axes = drawn.figure.axes
    assert [axis.get_title() for axis in axes[:4]] == ["image", "seed 3", "seed 4", "seed 5"]
    assert [axes[row * 5].texts[0].get_text() for row in (1, 2)] == ["A", "B"]


@pytest.mark.parametrize("seeds", [[3], [3, 3]])
def test_one_seed_cannot_be_compared(made, seeds):
    with pytest.raises(ValueError, match="needs two different ones at least"):
        reconstructions_figure(torch.zeros(1, 3, 8, 8), ["cow"], {"A": made}, seeds, 4)
