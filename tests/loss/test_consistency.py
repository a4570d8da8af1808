from itertools import permutations

import pytest
import torch
from torch import Tensor

from mim.geometry import Geometry
from mim.loss.consistency import Consistency
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.partition.thrown_parts import ThrownParts
from mim.masker.score.ranking import Ranking
from mim.masker.split import Split

PATCH = 2
IMAGE = torch.zeros(3, 3, 8, 8)  # 16 patches


def draws(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_pairs(prediction: Tensor, split: Split, norm: str, stop_gradient: bool) -> Tensor:
    """The definition, one pair of predictions after another."""
    losses = []
    for b in range(len(prediction)):
        differences = []
        for i, j in permutations(range(prediction.shape[1]), 2):
            for x, patch in enumerate(split.masked[b, i].tolist()):
                for y, other in enumerate(split.masked[b, j].tolist()):
                    both = split.masked_valid is None or (
                        split.masked_valid[b, i, x] and split.masked_valid[b, j, y]
                    )
                    if patch == other and both:
                        held = (
                            prediction[b, i, x].detach() if stop_gradient else prediction[b, i, x]
                        )
                        difference = held - prediction[b, j, y]
                        differences.append(
                            difference.abs() if norm == "l1" else difference.square()
                        )
        losses.append(torch.stack(differences).mean() if differences else prediction.sum() * 0)
    return torch.stack(losses).mean()


def random_parts(parts: int, masked: int, valid: bool = False) -> Split:
    """Masks that share different numbers of patches, of different lengths if `valid`."""
    rank = draws(1, 3, parts, 16).argsort(2)
    lengths = draws(2, 3, parts, 1).abs() * 4 + 2
    shown = (torch.arange(masked) < lengths) if valid else None
    return Split(rank[..., masked:], rank[..., :masked], None, shown)


SPLITS = {
    "parallel": ParallelParts(4)(Ranking(draws(0, 3, 16))),
    "thrown": ThrownParts(4, 0.4)(Ranking(draws(0, 3, 16))),
    "independent": random_parts(4, 11),
    "padded": random_parts(3, 9, valid=True),
}


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("stop_gradient", [True, False])
def test_it_equals_the_mean_over_all_ordered_pairs_value_and_gradient(name, norm, stop_gradient):
    split = SPLITS[name]
    prediction = draws(3, *split.masked.shape, 5).requires_grad_()
    loss = Consistency(norm, stop_gradient, geometry=Geometry.of(PATCH, PATCH))(
        prediction, IMAGE, split
    )
    (gradient,) = torch.autograd.grad(loss, prediction)
    expected = by_pairs(prediction, split, norm, stop_gradient)
    (expected_gradient,) = torch.autograd.grad(expected, prediction)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    assert torch.allclose(gradient, expected_gradient, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("norm", "expected"), [("l1", (1 + 3 + 2) * 2 / 6), ("l2", (1 + 9 + 4) * 2 / 6)]
)
def test_three_predictions_of_one_patch_make_six_ordered_pairs(norm, expected):
    split = Split(torch.tensor([[[1], [2], [3]]]), torch.zeros(1, 3, 1, dtype=torch.int64))
    prediction = torch.tensor([0.0, 1.0, 3.0]).view(1, 3, 1, 1)
    assert Consistency(norm, geometry=Geometry.of(PATCH, PATCH))(
        prediction, IMAGE[:1], split
    ).item() == pytest.approx(expected)


def test_predictions_that_agree_do_not_push_each_other_but_are_drawn_to_the_third():
    split = Split(torch.tensor([[[1], [2], [3]]]), torch.zeros(1, 3, 1, dtype=torch.int64))
    prediction = torch.tensor([1.0, 1.0, 3.0]).view(1, 3, 1, 1).requires_grad_()
    Consistency(geometry=Geometry.of(PATCH, PATCH))(prediction, IMAGE[:1], split).backward()
    assert prediction.grad.flatten().tolist() == pytest.approx([-1 / 6, -1 / 6, 2 / 6])


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_agreement_costs_nothing_and_teaches_nothing(norm):
    split = SPLITS["parallel"]
    everywhere = draws(4, 3, 1, 16, 5).expand(-1, 4, -1, -1)
    prediction = everywhere.gather(
        2, split.masked[..., None].expand(-1, -1, -1, 5)
    ).requires_grad_()
    loss = Consistency(norm, geometry=Geometry.of(PATCH, PATCH))(prediction, IMAGE, split)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-28)
    assert prediction.grad.abs().max() < 1e-15


def test_halves_that_share_nothing_cost_nothing():
    split = ParallelParts(2)(Ranking(draws(0, 3, 16)))
    prediction = draws(5, *split.masked.shape, 5).requires_grad_()
    for norm in ("l1", "l2"):
        loss = Consistency(norm, geometry=Geometry.of(PATCH, PATCH))(prediction, IMAGE, split)
        loss.backward()
        assert loss.item() == 0
    assert prediction.grad.abs().max() == 0


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_a_batch_is_the_mean_of_its_images_so_that_shards_of_it_can_be_averaged(name, norm):
    split, loss = SPLITS[name], Consistency(norm, geometry=Geometry.of(PATCH, PATCH))
    prediction = draws(3, *split.masked.shape, 5)
    alone = [
        loss(
            prediction[b : b + 1],
            IMAGE[:1],
            Split(*(None if part is None else part[b : b + 1] for part in split[:4])),
        )
        for b in range(3)
    ]
    assert loss(prediction, IMAGE, split).item() == pytest.approx(
        torch.stack(alone).mean().item(), rel=1e-12
    )


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_what_is_predicted_for_padding_does_not_matter(norm):
    split = SPLITS["padded"]
    prediction = draws(3, *split.masked.shape, 5)
    other = prediction.where(
        split.masked_valid[..., None], draws(4, *prediction.shape) * 100
    ).requires_grad_()
    loss = Consistency(norm, geometry=Geometry.of(PATCH, PATCH))(other, IMAGE, split)
    loss.backward()
    assert (
        loss.item()
        == Consistency(norm, geometry=Geometry.of(PATCH, PATCH))(prediction, IMAGE, split).item()
        > 0
    )
    assert other.grad[~split.masked_valid].abs().max() == 0


def kept_bytes(parts: int, norm: str) -> int:
    """What the loss keeps for its gradient."""
    split = ParallelParts(parts)(Ranking(draws(0, 2, 64)))
    prediction = draws(3, *split.masked.shape, 4).requires_grad_()
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        Consistency(norm, geometry=Geometry.of(PATCH, PATCH))(
            prediction, torch.zeros(2, 3, 16, 16), split
        )
    return sum(kept.values())


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_memory_grows_with_the_parts_not_with_their_pairs(norm):
    # Predictions grow from 4 * 48 to 16 * 60, five times; pairs of predictions twenty-one times,
    # from 6 * 32 to 120 * 56.
    assert 0 < kept_bytes(16, norm) < 5.5 * kept_bytes(4, norm)


def test_half_precision_predictions_are_compared_in_float32():
    split = SPLITS["parallel"]
    prediction = draws(3, *split.masked.shape, 5).bfloat16()
    value = Consistency(geometry=Geometry.of(PATCH, PATCH))(prediction, IMAGE, split)
    assert value.dtype == torch.float32
    assert (
        value.item()
        == Consistency(geometry=Geometry.of(PATCH, PATCH))(prediction.float(), IMAGE, split).item()
    )


def test_one_part_is_refused():
    split = Split(torch.zeros(3, 1, 4, dtype=torch.int64), torch.ones(3, 1, 12, dtype=torch.int64))
    with pytest.raises(
        ValueError, match="this masker makes 1; use masker/partition=parallel_parts"
    ):
        Consistency(geometry=Geometry.of(PATCH, PATCH))(torch.zeros(3, 1, 12, 5), IMAGE, split)
