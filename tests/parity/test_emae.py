"""EMAE (arXiv 2302.14431) against numbers computed in float64 from its formulas; there is no
official code. Limit 1e-9.
"""

import pytest
import torch

from mim.geometry import Geometry
from mim.loss.consistency import Consistency
from mim.loss.term import Term
from mim.loss.weighted_sum import WeightedSum
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.score.ranking import Ranking
from mim.masker.split import Split
from mim.target.pixel import Pixel
from mim.tokens import unpatchify

LIMIT = 1e-9


@pytest.fixture
def reference(golden):
    return golden("emae")


@pytest.fixture
def case(reference):
    """Build the split of one ordering for all images, or of one for each; and predictions, images
    and masks to go with it.
    """

    def build(prefix: str = "") -> tuple[torch.Tensor, torch.Tensor, Split]:
        m = reference.meta
        B = len(reference["noise_per_sample"])
        noise = reference["noise_per_sample"] if prefix else reference["noise"].expand(B, -1)
        split = ParallelParts(m["K"])(Ranking(noise))
        everywhere = reference["pred"].double().transpose(0, 1)  # (B, K, L, P)
        prediction = everywhere.gather(
            2, split.masked[..., None].expand(-1, -1, -1, everywhere.shape[3])
        )
        image = unpatchify(reference["target"].double(), m["patch_size"], (m["grid"], m["grid"]))
        return prediction, image, split

    return build


@pytest.mark.parametrize("prefix", ["", "per_sample."])
def test_parts_are_slices_of_the_sorted_noise(reference, case, prefix):
    _, _, split = case(prefix)
    expected, masks = reference[f"{prefix}part_ids"], reference[f"{prefix}masks"]
    if not prefix:
        expected, masks = (
            part[:, None].expand(-1, split.visible.shape[0], -1) for part in (expected, masks)
        )
    assert torch.equal(split.visible, expected.transpose(0, 1))
    hidden = torch.zeros_like(masks.transpose(0, 1)).scatter(2, split.masked, 1)
    assert torch.equal(hidden, masks.transpose(0, 1))


@pytest.mark.parametrize(
    ("prefix", "key", "normalise"),
    [("", "", False), ("", "normpix.", True), ("per_sample.", "per_sample.", False)],
)
def test_the_whole_loss_is_the_mean_over_parts(reference, case, prefix, key, normalise):
    prediction, image, split = case(prefix)
    loss = Term(
        Pixel(Geometry.of(reference.meta["patch_size"], reference.meta["patch_size"]), normalise)
    )
    for part, expected in enumerate(reference[f"{key}loss_parts"]):
        alone = Split(split.visible[:, part : part + 1], split.masked[:, part : part + 1])
        assert loss(prediction[:, part : part + 1], image, alone).item() == pytest.approx(
            expected.item(), rel=LIMIT
        )
    assert loss(prediction, image, split).item() == pytest.approx(
        reference[f"{key}loss_whole"].item(), rel=LIMIT
    )


@pytest.mark.parametrize("prefix", ["", "per_sample."])
@pytest.mark.parametrize(("norm", "name"), [("l1", "abs"), ("l2", "sq")])
def test_consistency_is_the_mean_over_ordered_pairs(reference, case, prefix, norm, name):
    prediction, image, split = case(prefix)
    loss = Consistency(
        norm, geometry=Geometry.of(reference.meta["patch_size"], reference.meta["patch_size"])
    )
    assert loss(prediction, image, split).item() == pytest.approx(
        reference[f"{prefix}cons_{name}"].item(), rel=LIMIT
    )


@pytest.mark.parametrize("prefix", ["", "per_sample."])
@pytest.mark.parametrize(("norm", "name"), [("l1", "abs"), ("l2", "sq")])
def test_two_parts_alone_give_the_difference_of_that_pair(reference, case, prefix, norm, name):
    prediction, image, split = case(prefix)
    loss = Consistency(
        norm, geometry=Geometry.of(reference.meta["patch_size"], reference.meta["patch_size"])
    )
    for i in range(reference.meta["K"]):
        for j in range(i):
            pair = loss(
                prediction[:, [i, j]],
                image,
                Split(split.visible[:, [i, j]], split.masked[:, [i, j]]),
            )
            assert pair.item() == pytest.approx(
                reference[f"{prefix}pair_{name}"][i, j].item(), rel=LIMIT
            )


@pytest.mark.parametrize(("norm", "name"), [("l1", "abs"), ("l2", "sq")])
@pytest.mark.parametrize(("stop_gradient", "times"), [(True, 1), (False, 2)])
def test_the_gradient_is_the_published_one_and_double_without_the_stop(
    reference, case, distance, norm, name, stop_gradient, times
):
    prediction, image, split = case()
    prediction.requires_grad_()
    Consistency(
        norm,
        stop_gradient,
        geometry=Geometry.of(reference.meta["patch_size"], reference.meta["patch_size"]),
    )(prediction, image, split).backward()
    expected = reference[f"grad_cons_{name}_stopgrad"].transpose(0, 1) * times
    expected = expected.gather(2, split.masked[..., None].expand_as(prediction))
    assert distance(prediction.grad, expected) < LIMIT


def test_emae_is_whole_plus_consistency(reference, case):
    prediction, image, split = case()
    patch_size = reference.meta["patch_size"]
    terms = {
        "pixel": Term(Pixel(Geometry.of(patch_size, patch_size), normalise=False)),
        "consistency": Consistency(geometry=Geometry.of(patch_size, patch_size)),
    }
    loss = WeightedSum(terms, {"pixel": 1.0, "consistency": 1.0})
    expected = reference["loss_whole"] + reference["cons_abs"]
    assert loss({"pixel": prediction}, image, split).item() == pytest.approx(
        expected.item(), rel=LIMIT
    )
