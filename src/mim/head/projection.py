"""Projection head of self-distillation: an MLP, a bottleneck of length 1, and a last layer whose
rows have a magnitude apart.

DINO, arXiv 2104.14294, appendix C; iBOT, arXiv 2111.07832, section 3.2 (bytedance/ibot,
models/head.py).
"""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from mim.part import Part
from mim.precision import at_least_single
from mim.ranges import Count, NonNegativeInt

Activation = Literal["gelu", "relu"]
Norm = Literal["batch", "layer"]
ACTIVATIONS: dict[Activation, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU}
NORMS: dict[Norm, type[nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class WeightNormLinear(nn.Module):
    """Linear layer without a bias, each row a magnitude times a direction (weight normalisation,
    arXiv 1602.07868).

    Directions start as torch draws a linear layer's weight, magnitudes at 1. Names are those of
    torch's `weight_norm`.

    Args:
        width: channels of what is given.
        out: rows.
        trained_magnitude: whether magnitudes are trained; if not, they stay at 1.
    """

    bias = None

    def __init__(self, width: Count, out: Count, trained_magnitude: bool = True):
        super().__init__()
        self.weight_v = nn.Parameter(nn.Linear(width, out, bias=False).weight.detach())
        self.weight_g = nn.Parameter(torch.ones(out, 1), requires_grad=trained_magnitude)

    @property
    def weight(self) -> Tensor:
        """Magnitude times direction: (out, width)."""
        return torch._weight_norm(self.weight_v, self.weight_g)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., out)."""
        return linear(x, self.weight)


LastLayer = nn.Linear | WeightNormLinear


class ProjectionHead(Part, nn.Module):
    """MLP whose output is scaled to length 1, and a last layer of prototypes; for cls tokens and,
    where there are any, patches.

    Linear layers of the MLP start from a normal of deviation 0.02 and with no bias.

    Args:
        width: D, channels of a token.
        out: values of a cls token.
        patch_out: values of a patch token; null where patches are not projected.
        layers: of the MLP.
        hidden: channels between them.
        bottleneck: channels of its end; 0 for none: the last layer is a plain one behind the hidden
            channels.
        norm: after each hidden layer: `batch`, over the rows given on this process, `layer`, or
            null, as published for ViTs.
        one_norm: whether all hidden layers share one norm, as iBOT's release has it; DINO's has one
            for each.
        activation: `gelu` or `relu`.
        trained_magnitude: whether the magnitudes of the last layer are trained (iBOT's ViT-S); if
            not, they stay at 1.
        shared: whether patches have the last layer of cls tokens (iBOT's published models).
        frozen_epochs: epochs in which the last layer learns nothing: its gradient is dropped, so it
            is not decayed either.

    Raises:
        ValueError: where a shared last layer is to have two sizes, there is no layer at all, or a
            setting would do nothing.
    """

    def __init__(
        self,
        width: Count,
        out: Count,
        patch_out: Count | None = None,
        layers: Count = 3,
        hidden: Count = 2048,
        bottleneck: NonNegativeInt = 256,
        norm: Norm | None = None,
        one_norm: bool = False,
        activation: Activation = "gelu",
        trained_magnitude: bool = False,
        shared: bool = True,
        frozen_epochs: NonNegativeInt = 1,
    ):
        super().__init__()
        if shared and patch_out not in (None, out):
            raise ValueError(
                "a shared head gives patches as many values as cls tokens, and they are to have "
                f"{patch_out} and {out}; give "
                "both the same, or model.head.shared=false"
            )
        if layers < 2 and not bottleneck:
            raise ValueError(
                "a head of layers=1 without a bottleneck is its last layer alone; e.g. "
                "model.head.layers=3"
            )
        if one_norm and (norm is None or layers < 3):
            few = "norm=null" if norm is None else f"layers={layers}"
            raise ValueError(
                f"model.head.one_norm=true would do nothing: a head of {few} has no two norms to "
                "be one; leave it out, or give it more, e.g. model.head.norm=layer "
                "model.head.layers=3"
            )
        if not shared and patch_out is None:
            raise ValueError(
                "model.head.shared=false would do nothing: the loss predicts no patches, which "
                "could have a last layer of their own; leave it out, or choose loss=ibot"
            )
        widths = [width, *[hidden] * (layers - 1), *([bottleneck] if bottleneck else [])]
        norms = [NORMS[norm](hidden)] * (layers - 1) if norm and one_norm else []
        steps: list[nn.Module] = []
        for number, (before, after) in enumerate(pairwise(widths)):
            steps.append(nn.Linear(before, after))
            if number < layers - 1:
                steps += [norms[number] if norms else NORMS[norm](hidden)] if norm else []
                steps.append(ACTIVATIONS[activation]())
        self.mlp, self.bottleneck, self.norm = nn.Sequential(*steps), bottleneck, norm
        for each in self.mlp:
            if isinstance(each, nn.Linear):
                nn.init.trunc_normal_(each.weight, std=0.02)
                nn.init.zeros_(each.bias)
        self.last_layer = self._last(out, trained_magnitude, widths[-1])
        self.patch_layer: LastLayer | None = None
        if patch_out is not None and not shared:
            self.patch_layer = self._last(patch_out, trained_magnitude, widths[-1])
        self.frozen_epochs = frozen_epochs
        self.begin_epoch(0)

    def _last(self, out: int, trained_magnitude: bool, width: int) -> LastLayer:
        return (
            WeightNormLinear(width, out, trained_magnitude)
            if self.bottleneck
            else nn.Linear(width, out)
        )

    def begin_epoch(self, epoch: int) -> None:
        """Freeze the last layer, or let it learn."""
        self.frozen = epoch < self.frozen_epochs

    def before_step(self, student: nn.Module) -> None:
        """Drop the gradients of a frozen last layer: the optimiser passes it over (DINO, utils.py:
        cancel_gradients_last_layer).
        """
        if self.frozen:
            for layer in (self.last_layer, self.patch_layer):
                for parameter in layer.parameters() if layer is not None else ():
                    parameter.grad = None

    @property
    def of_patches(self) -> LastLayer:
        """Last layer of patch tokens, with a `weight` and a `bias` or none."""
        return self.last_layer if self.patch_layer is None else self.patch_layer

    def features(self, tokens: Tensor) -> Tensor:
        """What the last layer is given: tokens (..., D) -> (..., F), of length 1 where there is a
        bottleneck.
        """
        x = self.mlp(tokens.flatten(0, -2)).unflatten(0, tokens.shape[:-1])
        return normalize(at_least_single(x), dim=-1) if self.bottleneck else x

    def forward(self, tokens: Tensor) -> Tensor:
        """Cls tokens (..., D) -> (..., out)."""
        return self.last_layer(self.features(tokens))

    def both(self, cls: Tensor, patches: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Cls tokens (N, D), and patch tokens (M, D) or none -> (N, out), (M, patch_out).

        They pass the MLP together, and a last layer that they share.
        """
        if patches is None:
            return self(cls), None
        features, counts = self.features(torch.cat([cls, patches])), [len(cls), len(patches)]
        if self.patch_layer is None:
            first, rest = self.last_layer(features).split(counts)
            return first, rest
        first, rest = features.split(counts)
        return self.last_layer(first), self.patch_layer(rest)

    def distilled(
        self, tokens: Tensor, prefix: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Tokens (N, R + L, D) -> cls tokens (N, out), what the last layer of patches is given of
        each (N, L, F), and that layer's weight (patch_out, F) and bias, if any, for later.
        """
        features, last = self.features(tokens), self.of_patches
        weight: Tensor = last.weight
        bias: Tensor | None = last.bias
        if self.patch_layer is None:
            cls = linear(features[:, 0], weight, bias)
        else:
            cls = self.last_layer(features[:, 0])
        if isinstance(last, nn.Linear):  # where it is cut over processes it is gone after this
            weight, bias = weight.clone(), last.bias.clone()
        return cls, features[:, prefix:], weight, bias
