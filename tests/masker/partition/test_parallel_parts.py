import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.score.ranking import Ranking


def ranking(patches: int, seed: int = 0) -> Ranking:
    return Ranking(torch.rand(2, patches, generator=torch.Generator().manual_seed(seed)))


def test_parts_are_slices_of_the_ranking_from_its_bottom():
    split = ParallelParts(2)(Ranking(torch.tensor([[0.3, 0.9, 0.1, 0.5], [4.0, 1.0, 2.0, 3.0]])))
    assert split.visible.tolist() == [[[2, 0], [3, 1]], [[1, 2], [3, 0]]]
    assert split.masked.tolist() == [[[3, 1], [2, 0]], [[3, 0], [1, 2]]]


@given(st.integers(2, 14), st.integers(1, 8), st.integers(0, 99))
@settings(max_examples=50)
def test_every_patch_is_seen_by_one_part_and_predicted_by_all_others(parts, size, seed):
    patches = torch.arange(parts * size)
    split = ParallelParts(parts)(ranking(len(patches), seed))
    for visible, masked in zip(split.visible, split.masked, strict=True):
        assert torch.equal(visible.flatten().sort().values, patches)
        for part in torch.cat([visible, masked], dim=1):
            assert torch.equal(part.sort().values, patches)


@pytest.mark.parametrize("parts", [4, 7, 14])
def test_the_first_part_is_the_mask_of_the_same_ratio(parts):
    alone = FixedRatio(1 - 1 / parts, "mask_up")(ranking(196))
    split = ParallelParts(parts)(ranking(196))
    assert split.visible.shape == (2, parts, 196 // parts)
    assert torch.equal(split.visible[:, 0].sort().values, alone.visible[:, 0].sort().values)
    assert torch.equal(split.masked[:, 0].sort().values, alone.masked[:, 0].sort().values)


def test_unequal_parts_are_refused_and_the_divisors_listed():
    message = (
        "5 parts cannot share 196 patches equally; masker.partition.parts may be 2, 4, 7, 14, 28, "
        "49, 98, 196"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ParallelParts(5)(ranking(196))
    with pytest.raises(ValueError, match="parts=1 does not fit; it should be at least 2"):
        ParallelParts(1)
