"""Facts of a masker: how many patches it hides, in what squares, by whose score."""

from typing import Any

import torch
from torch import Tensor

from mim.batch import blank
from mim.draw import keys
from mim.masker.independent import Independent
from mim.masker.multi_block import MultiBlock
from mim.masker.partition.covered import Covered
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.random_ratio import RandomRatio
from mim.masker.score.block import Block as BlockScore
from mim.masker.score.block import smallest_block
from mim.masker.score.color_noise import ColorNoise
from mim.masker.score.drawn_block import DrawnBlock
from mim.masker.score.ranking import Ranking
from mim.masker.split import Split
from tests.recipes.facts import Facts

OF_BLOCKS = (
    "targets",
    "scale",
    "aspect",
    "context_scale",
    "min_visible",
    "border",
    "one_draw",
    "per",
)
"""Settings of I-JEPA's masker: what it does with them is compared with the release's own draws
elsewhere.
"""


def mask_facts(name: str, masker: Any, encoder: Any) -> Facts:
    """How many patches a masker hides, in what squares, by whose score; of Swin those of its first
    stage.
    """
    grid, small = encoder.geometry.grid, getattr(encoder, "small", 1)
    batch = blank(8, (grid[0] * 16, grid[1] * 16))._replace(key=keys(0, 0, torch.arange(8)))
    each = masker.masker if isinstance(masker, Independent) else masker
    if isinstance(masker, MultiBlock):
        return {f"{name}.{key}": _plain(getattr(masker, key)) for key in OF_BLOCKS}
    tokens = torch.randn(8, grid[0] * grid[1], 64) if masker.needs_tokens else None
    split = masker.train()(batch, grid, tokens)
    visible, masked = (
        _counts(index, valid) for index, valid in zip(split[:2], split[2:4], strict=True)
    )
    partition, score = each.partition, each.score
    facts = {
        f"{name}.score": type(score).__name__,
        f"{name}.partition": type(partition).__name__,
        f"{name}.cell": each.cell * small,
        f"{name}.parts": split.visible.shape[1],
    }
    facts |= {f"{name}.noise": score.noise} if hasattr(score, "noise") else {}
    if isinstance(score, ColorNoise):
        facts |= {
            f"{name}.colour": score.colour,
            f"{name}.sigmas": [score.sigma, score.coarse_sigma],
        }
    if isinstance(score, BlockScore):
        facts |= {f"{name}.block_patches": [score.min_patches, score.max_patches]}
        facts |= {
            f"{name}.aspect": [score.min_aspect, 1 / score.min_aspect],
            f"{name}.share": score.ratio,
        }
    facts |= {"attention_map.heads": score.store.heads} if hasattr(score, "store") else {}
    if isinstance(partition, Covered | RandomRatio):
        return facts | _drawn(name, score, partition, split)
    if type(partition).__name__ == "AdaptiveRatio":
        return facts | {
            f"{name}.{key}": getattr(partition, key)
            for key in ("ratio", "spread", "threshold", "per")
        }
    facts |= {f"{name}.throw": partition.throw} if hasattr(partition, "throw") else {}
    # on as many patches that no ratio here is a whole number of them
    if isinstance(partition, FixedRatio):
        facts[f"{name}.masked_of_37"] = partition(
            Ranking(torch.rand(1, 37), torch.rand(1, 37))
        ).masked.shape[-1]
    return facts | {
        f"{name}.masked": masked * small**2,
        f"{name}.visible": visible * small**2,
        f"{name}.thrown": (grid[0] * grid[1] - visible - masked) * small**2,
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _drawn(name: str, score: Any, partition: Any, split: Split) -> Facts:
    """Of a share that is drawn: between what, for whom, and how many patches that may be of 196."""
    ratios = score.ratios if isinstance(score, DrawnBlock) else partition
    facts: Facts = {
        f"{name}.ratio_range": [
            round(ratios.ratio - ratios.spread, 6),
            round(ratios.ratio + ratios.spread, 6),
        ],
        f"{name}.unmasked_probability": ratios.unmasked,
        f"{name}.ratio_drawn": {"image": "for each crop", "batch": "for each batch"}[ratios.per],
        f"{name}.masked_at_most": split.masked.shape[-1],
    }
    if isinstance(score, DrawnBlock):
        facts |= {f"{name}.smallest_block_patches": smallest_block((14, 14), score.min_patches)}
        facts |= {
            f"{name}.aspect": [score.min_aspect, 1 / score.min_aspect],
            f"{name}.threshold": partition.threshold,
        }
    else:
        facts |= {
            f"{name}.hints.share": ratios.hints_from,
            f"{name}.hints.shown_first": score.hint_ratio,
        }
        facts |= {f"{name}.first": "most attended" if score.sign > 0 else "least attended"}
    return facts


def _counts(index: Tensor, valid: Tensor | None) -> int:
    counts = {index.shape[-1]} if valid is None else set(valid.sum(-1).flatten().tolist())
    return counts.pop() if len(counts) == 1 else -1
