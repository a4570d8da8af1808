"""Masks and their sizes against the published code."""

import math
from types import SimpleNamespace

import pytest
import torch

from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.random_ratio import RandomRatio
from mim.masker.score.block import place, sides, smallest_block
from mim.masker.score.ranking import Ranking
from tests.stored import Golden, numbered


@pytest.mark.parametrize(
    ("rounding", "column", "counts_visible"),
    [("keep_down", 2, True), ("mask_up", 3, False), ("mask_down", 5, False)],
)
def test_counts_are_those_of_mae_simmim_and_attmask(golden, rounding, column, counts_visible):
    table = golden("mask_counts")["table"].tolist()
    compared = 0
    for row in table:
        patches, ratio, published = int(row[0]), row[1], int(row[column])
        masked = patches - published if counts_visible else published
        if 0 < masked < patches:
            assert FixedRatio(ratio, rounding).masked_count(patches) == masked
            compared += 1
    assert compared > 100


def test_masked_counts_are_those_of_amt(golden):
    for patches, ratio, _, masked, _ in golden("mask_counts")["amt_table"].tolist():
        assert FixedRatio(ratio, "mask_down").masked_count(int(patches)) == masked


BLOCKS = ("blockwise_beit", "blockwise_bootmae", "maskfeat_masks")
IMAGES = [
    (name, index)
    for name in BLOCKS
    for index in numbered(name)
    # MaskFeat has masks of videos as well
    if Golden(name).meta["configs"][index].get("kind", "2d") == "2d"
]


@pytest.mark.parametrize(("name", "index"), IMAGES)
def test_blocks_are_those_of_the_releases_for_the_same_draws(golden, name, index):
    """BEiT's, MaskFeat's, which has them from there, and BootMAE's, which gives up no image."""
    reference = golden(name)
    m = SimpleNamespace(**reference.meta["configs"][index])
    size = m.window if name == "maskfeat_masks" else m.input_size
    rows, columns = (size,) * 2 if isinstance(size, int) else size
    values, kinds = reference[f"draw_value_{index}"], reference[f"draw_kind_{index}"].tolist()
    end = reference[f"draws_up_to_call_{index}"].tolist()
    largest = m.max_num_patches or m.num_masking_patches

    for call, (first, last) in enumerate(zip([0, *end[:-1]], end, strict=True)):
        age, failed = torch.zeros(1, rows, columns), torch.zeros(1, dtype=torch.int64)
        at = first
        while at < last:
            drew_corner = at + 2 < last and kinds[at + 2] == 1
            limit = (m.num_masking_patches - (age > 0).sum((1, 2))).clamp(max=largest)
            height, width = sides(values[at : at + 1], values[at + 1 : at + 2].exp())
            assert drew_corner == (height.item() < rows and width.item() < columns)
            top, left = values[at + 2 : at + 4, None] if drew_corner else torch.zeros(2, 1)
            smallest, highest = sorted([float(m.min_num_patches), limit.item()])
            assert smallest <= values[at].item() <= highest
            assert math.log(m.min_aspect) <= values[at + 1].item() <= math.log(m.max_aspect)
            age, failed = place(age, failed, height, width, top, left, limit)
            if name == "blockwise_bootmae":
                failed.zero_()
            at += 4 if drew_corner else 2
        hidden = age[0] > 0
        assert torch.equal(hidden, reference[f"mask_{index}"][call] > 0)
        assert hidden.sum().item() == m.masked_counts[call]
        assert hidden.sum().item() == m.num_masking_patches or failed.item() == 10


@pytest.mark.parametrize("index", numbered("blockwise_ibot"))
def test_blocks_and_counts_are_those_of_ibot_for_the_same_draws(golden, index):
    reference = golden("blockwise_ibot")
    m = SimpleNamespace(**reference.meta["configs"][index])
    values, at = iter(reference[f"draw_value_{index}"]), 0
    for item in range(m.n_items):
        for view, side in enumerate(m.image_sizes):
            n = side // m.patch_size
            expected = reference[f"mask_{index}_view{view}"][item] > 0
            assert expected.sum().item() == m.masked_counts[item][view]
            if m.pred_shape == "rand":
                ranking = Ranking(torch.rand(1, n * n), key=torch.zeros(1, dtype=torch.int64))
                split = RandomRatio(m.pred_ratio[0], m.pred_ratio_var[0], unmasked=0.0)(ranking)
                assert split.masked_valid.sum() == expected.sum()
                continue
            drawn = [
                next(values) if spread else ratio
                for ratio, spread in zip(m.pred_ratio, m.pred_ratio_var, strict=True)
            ]
            share = next(values) if len(drawn) > 1 else drawn[0]
            at += sum(map(bool, m.pred_ratio_var)) + (len(drawn) > 1)
            target = torch.as_tensor([share * n * n], dtype=torch.float64)
            age, failed = torch.zeros(1, n, n), torch.zeros(1, dtype=torch.int64)
            while (age > 0).sum() < target and failed < 10:
                limit = target - (age > 0).sum((1, 2))
                area, aspect = next(values)[None], next(values)[None]
                smallest, highest = sorted([float(smallest_block((n, n), None)), limit.item()])
                assert smallest <= area.item() <= highest
                height, width = sides(area, aspect.exp())
                fits = height.item() < n and width.item() < n
                top, left = (next(values)[None], next(values)[None]) if fits else torch.zeros(2, 1)
                at += 4 if fits else 2
                age, failed = place(age, failed, height, width, top, left, limit)
            assert torch.equal(age[0] > 0, expected)
        assert at == reference[f"draws_up_to_item_{index}"][item]
