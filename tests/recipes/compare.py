"""Hold what was built against the ledger: one line for each difference."""

import math
from collections.abc import Iterator
from typing import Any

from mim.paper.ledger import Recipe
from tests.recipes.built import MOMENTS, Group, Training
from tests.recipes.crops import KINDS, difference
from tests.recipes.facts import Facts
from tests.recipes.rates import rate

MASKS = {
    "random": ("Random", "FixedRatio", None),
    "random cells": ("Random", "FixedRatio", None),
    "random, at random thrown": ("Random", "ThrowMiddle", "middle"),
    "attention, nothing thrown": ("Attention", "FixedRatio", None),
    "attention, middle thrown": ("Attention", "ThrowMiddle", "middle"),
    "attention, least attended thrown, middle visible": ("Attention", "ThrowMiddle", "low"),
    "attention over cells": ("Attention", "ThrowMiddle", "middle"),
    "attention over cells, nothing thrown": ("Attention", "FixedRatio", None),
    "salience": ("Salience", "FixedRatio", None),
    "salience, ratio by image": ("Salience", "AdaptiveRatio", None),
    "colour noise": ("ColorNoise", "FixedRatio", None),
    "blocks": ("Block", "FixedRatio", None),
    "parallel parts": ("Random", "ParallelParts", None),
    "block": ("DrawnBlock", "Covered", None),
    "most attended": ("AttMask", "RandomRatio", None),
}
"""Words of the ledger -> score, partition and what is thrown."""
VIT_NORMS = "nn.LayerNorm of the ViT"
ABSENT = object()


def differences(recipe: Recipe, built: Training) -> list[str]:
    """All that a training has and its recipe has not, or has otherwise."""
    return [
        *differing_facts(recipe, built.facts),
        *_decays(recipe, built.groups),
        *_rates(recipe, built),
    ]


def differing_facts(recipe: Recipe, facts: Facts) -> list[str]:
    """Facts that a recipe has otherwise, or says nothing of."""
    expected = Expected(recipe)
    found = [
        f"{field} is {value}, the recipe has {'nothing' if wanted is ABSENT else wanted}"
        for field, value in facts.items()
        if not field.startswith("_") and not _equal(value, wanted := expected.of(field, facts))
    ]
    return [*found, *_boxes(recipe, facts)]


class Expected:
    """The ledger's words, in those of `built`."""

    def __init__(self, recipe: Recipe):
        self.recipe = recipe

    def of(self, field: str, facts: Facts) -> Any:
        """What a fact has to be; ABSENT where the ledger says nothing of it."""
        head, _, last = field.rpartition(".")
        if field == "encoder.drop_path":
            return self._drop_path(facts)
        if head == "mask" and last in ("score", "partition", "throw"):
            return dict(
                zip(("score", "partition", "throw"), MASKS[self.said("mask.kind")], strict=True)
            )[last]
        if field == "mask_schedule.first_refresh":
            return self.said("mask_schedule.first_epoch")
        if last == "masked_of_37":
            return self._rounded(head, facts[field])
        if field == "decoder.outputs":
            width = self.said("head.width")
            return 3 * self.said("decoder.stride") ** 2 if width is ABSENT else width
        if field == "target.values_of_a_patch":
            return 3 * facts["_pixels_of_a_patch"] ** 2
        if field == "mixing.label_smoothing":
            return self.said("label_smoothing")
        if field in ("mask.parts", "mask_schedule.first.parts"):
            return self.said(field, 1)
        if field == "loss.weights":
            return self.said(field, {"pixel": 1.0})
        if field == "head.start":
            return self.said(field, "torch")
        if field == "trained":
            return self.said(field, "all")
        if field in ("head.sd", "head.bias") and self.said("head.bound") is not ABSENT:  # uniform
            return self.said("head.bound") / (math.sqrt(3) if field == "head.sd" else 1)
        if field == "lr.settings":  # a probe of the paper has one learning rate
            return 1
        if field == "pool" and isinstance(self.said(field), dict):
            return self.said("pool.kind")
        return self.said(field)

    def said(self, field: str, otherwise: Any = ABSENT) -> Any:
        """The ledger's value."""
        try:
            return self.recipe.expected(field)
        except KeyError:
            return otherwise

    def _rounded(self, name: str, found: int) -> int:
        """Patches that the source's rounding masks of 37; any where the ledger has no rule."""
        rule, ratio = str(self.said(f"{name}.rounding")), self.said(f"{name}.ratio")
        if rule.startswith("keep_down"):
            return 37 - int(37 * (1 - ratio))
        if rule.startswith("mask_up"):
            return math.ceil(37 * ratio)
        return int(37 * ratio) if rule.startswith("int(") else found

    def _drop_path(self, facts: Facts) -> list[float]:
        """Linear over the blocks, from 0."""
        blocks, largest = len(facts["encoder.drop_path"]), self.said("encoder.drop_path")
        return [largest * block / max(1, blocks - 1) for block in range(blocks)]


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(value, dict) and isinstance(wanted, dict):
        return all(key in wanted and _equal(one, wanted[key]) for key, one in value.items())
    if isinstance(value, list) and isinstance(wanted, list):
        return len(value) == len(wanted) and all(map(_equal, value, wanted))
    if (
        isinstance(value, float)
        and isinstance(wanted, int | float)
        and not isinstance(wanted, bool)
    ):
        # a deviation that is measured, on some hundred thousand numbers or 2,000 draws
        return math.isclose(value, wanted, rel_tol=0.02 if 0 < wanted < 1 else 1e-3, abs_tol=1e-6)
    return type(value) is type(wanted) and value == wanted


def _boxes(recipe: Recipe, facts: Facts) -> Iterator[str]:
    """Boxes drawn by ours beside those drawn by the source's code."""
    for crop, by_size in facts.get("_boxes", {}).items():
        kind = str(recipe.expected(f"{crop}.kind"))
        scale, ratio = (tuple(recipe.expected(f"{crop}.{name}")) for name in ("scale", "ratio"))  # type: ignore[arg-type]
        for size, boxes in by_size.items():
            if found := difference(boxes, KINDS[kind](size, scale, ratio), size):
                yield f"{crop}: {found}"


def _decays(recipe: Recipe, groups: list[Group]) -> Iterator[str]:
    """Weight decay of every parameter, by the source's rules."""
    rules, decay = (
        set(recipe.expected("weight_decay.not_decayed")),
        recipe.expected("weight_decay.start"),
    )  # type: ignore[call-overload]
    for group in groups:
        last = group.name.rpartition(".")[2]
        free = ("one_dimension" in rules and group.dimensions <= 1) or last in rules
        free = (
            free
            or ("bias" in rules and last == "bias")
            or (last == "pos_embed" and "absolute_pos_embed" in rules)
        )
        free = free or (
            VIT_NORMS in rules and group.name.startswith("model.encoder.") and ".norm" in group.name
        )
        wanted = 0.0 if free else decay
        if not math.isclose(group.weight_decay, wanted, rel_tol=1e-6):  # a schedule may have begun
            yield f"weight decay of {group.name} is {group.weight_decay}, the recipe has {wanted}"


def _rates(recipe: Recipe, built: Training) -> Iterator[str]:
    """The rate of every parameter at five moments, by the source's formula and its rule of
    layers.
    """
    lr, layer_decay = recipe.expected("lr"), recipe.expected("layer_decay")
    lr = {**lr, **{key: recipe.expected(f"lr.{key}") for key in lr}} if isinstance(lr, dict) else lr  # type: ignore[assignment]
    depths = built.facts.get("encoder.depths", [built.facts.get("encoder.depth", 0)])
    top = sum(depths) + 1
    epochs, warmup = built.facts["_epochs"], built.facts["_warmup_epochs"]
    per_epoch = built.facts["_steps_of_an_epoch"]
    lr = {**lr, "steps_per_epoch": per_epoch}  # type: ignore[dict-item]
    late = {"timm_cosine": 1, "multistep": 1, "stretched_cosine": -1}.get(
        lr["shape"], 0
    ) / per_epoch
    for group in built.groups:
        factor = 1.0 if layer_decay is None else layer_decay ** (top - layer_of(group.name, depths))
        for moment, epoch, ours in zip(MOMENTS, built.epochs, group.rates, strict=True):
            wanted = rate(lr, max(0.0, epoch - late), epochs, warmup, factor)  # type: ignore[arg-type]
            if not math.isclose(ours, wanted, rel_tol=1e-4, abs_tol=1e-12):
                yield (
                    f"rate of {group.name} at the {moment} is {ours:.4e}, the recipe has "
                    f"{wanted:.4e}"
                )
                return


def layer_of(name: str, depths: list[int]) -> int:
    """Layer of a parameter (MAE, util/lr_decay.py; SimMIM, optimizer.py): 0 of what makes tokens,
    one a block, then the rest.
    """
    if name.startswith("model.relative."):
        return int(name.split(".")[2]) + 1
    parts = name.removeprefix("model.encoder.").split(".")
    if not name.startswith("model.encoder."):
        return sum(depths) + 1
    if parts[0] in ("cls_token", "pos_embed", "patch_embed", "mask_token"):
        return 0
    if parts[0] == "blocks":
        return int(parts[1]) + 1
    if parts[0] == "layers":
        before = sum(depths[: int(parts[1])])
        return (
            before + int(parts[3]) + 1 if parts[2] == "blocks" else before
        )  # timm merges patches where a stage begins
    return sum(depths) + 1
