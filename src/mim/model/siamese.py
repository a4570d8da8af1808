"""Student whose views are compared with a teacher's by their cls tokens (MoCo v3, arXiv 2104.02057;
MSN, arXiv 2204.07141).
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from mim.batch import Batch
from mim.encoder.encoder import Encoder, Resizes, cls_tokens, encode_some
from mim.encoder.model import Model
from mim.masker.any_masker import AnyMasker
from mim.model.masked_model import TargetDims, dims_of
from mim.model.projector import BatchNorm
from mim.model.visible import as_batch, split_of
from mim.ranges import Count, Positive
from mim.views import Shown


class ContrastHead(nn.Sequential):
    """MLP of MoCo v3: linear layers without biases, a batch norm after each and a ReLU between
    them; the last norm has no weights.

    Batch norms go by the images of all processes (facebookresearch/moco-v3, moco/builder.py:
    _build_mlp).

    Args:
        width: channels of what is given.
        out: channels of what is compared.
        layers: 3 for the projector, 2 for the predictor.
        hidden: channels between them.
        eps: of the norms.
    """

    def __init__(
        self,
        width: Count,
        out: Count,
        layers: Count = 3,
        hidden: Count = 4096,
        eps: Positive = 1e-5,
    ):
        steps: list[nn.Module] = []
        for number in range(layers):
            before, after = hidden if number else width, out if number == layers - 1 else hidden
            steps += [nn.Linear(before, after, bias=False), BatchNorm(after, eps)]
            if number < layers - 1:
                steps.append(nn.ReLU())
        super().__init__(*steps)
        steps[-1].requires_grad_(False)


class PrototypeHead(nn.Sequential):
    """MLP of MSN: three linear layers, a batch norm over all processes and a GELU after the first
    two (msn_train.py: init_model).

    Args:
        width: channels of what is given.
        out: channels of what is compared.
        hidden: channels between them.
        eps: of the norms.
    """

    def __init__(self, width: Count, out: Count, hidden: Count = 2048, eps: Positive = 1e-5):
        first, second, last = (
            nn.Linear(width, hidden),
            nn.Linear(hidden, hidden),
            nn.Linear(hidden, out),
        )
        for layer in (first, second, last):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        super().__init__(
            first,
            BatchNorm(hidden, eps),
            nn.GELU(),
            second,
            BatchNorm(hidden, eps),
            nn.GELU(),
            last,
        )


class Siamese(Model):
    """Encoder of views, a projection of their cls tokens, and a prediction of what a teacher
    projects of other views.

    Where there is a masker, only what it leaves visible of large views is encoded; small views are
    seen whole.

    Args:
        encoder: with a cls token; of images of several sizes where views have some.
        masker: decides which patches of large views are left out; null where none are.
        head: builds the projection, once the width of tokens and the values of the loss's term are
            known.
        predictor: builds what predicts the teacher's projections of the student's; null for the
            projections themselves.
        target_dims: values of the one term of the loss; or a loss's `fit`.
        views: large views of each image that a teacher sees, the first ones.
        own: whether the student sees those as well (MoCo v3), or the others alone (MSN).
        normed_over: what passes head and predictor at once, so that batch norms go by it: each
            `view`, or all views of one `size`.
        frozen_projection: whether the projection of patches stays as it is drawn, so that training
            does not break down (MoCo v3).

    Raises:
        ValueError: where the loss has other terms, or the encoder no cls token or no projection to
            leave as it is.
    """

    projects_patches = False

    def __init__(
        self,
        encoder: Encoder,
        masker: AnyMasker | None,
        head: Callable[..., nn.Module],
        predictor: Callable[..., nn.Module] | None,
        target_dims: TargetDims,
        views: Count = 2,
        own: bool = True,
        normed_over: Literal["view", "size"] = "view",
        frozen_projection: bool = True,
    ):
        super().__init__()
        dims = dims_of(target_dims, encoder.geometry)
        if len(dims) != 1:
            raise ValueError(
                f"the loss has the terms {', '.join(dims)}, and {type(self).__name__} makes one "
                "vector of a view; take "
                "loss=moco_v3"
            )
        if not encoder.prefix:
            raise ValueError(
                f"{type(encoder).__name__} has no cls token, and the loss compares those of views; "
                "take encoder=vit_small"
            )
        self.encoder, self.masker, self.views, self.own, self.normed_over = (
            encoder,
            masker,
            views,
            own,
            normed_over,
        )
        out = next(iter(dims.values())) or encoder.width
        self.head = head(width=encoder.width, out=out)
        self.predictor = predictor(width=out, out=out) if predictor else nn.Identity()
        if frozen_projection:
            stem = dict(encoder.named_modules()).get("patch_embed")
            if stem is None:
                raise ValueError(
                    f"{type(encoder).__name__} has no projection of patches (patch_embed) to leave "
                    "as it is drawn; give "
                    "model.frozen_projection=false"
                )
            stem.requires_grad_(False)

    @property
    def attends(self) -> bool:
        """Whether what is left out goes by what the teacher attends to: it does not."""
        return False

    def forward(self, batch: Batch | Tensor, attention: Tensor | None = None) -> Shown:
        """Views of B images -> a vector of each view that the student sees (V, B, P).

        Raises:
            ValueError: where there are too few views, or views of a size that the encoder does not
                take.
        """
        batch = as_batch(batch)
        made, B = [], len(batch.key)
        for views in batch.by_size(self._first(batch)):
            tokens = self._cls(views)
            together = [tokens] if self.normed_over == "size" else tokens.split(B)
            made += [self.predictor(self.head(each)).unflatten(0, (-1, B)) for each in together]
        return Shown(torch.cat(made))

    def _cls(self, view: Batch) -> Tensor:
        """Cls tokens (N, D) of views of one size, of large ones without the patches that the masker
        masks.
        """
        large = view.image.shape[-2:] == self.encoder.geometry.image_size
        if self.masker is None or not large:
            return cls_tokens(self.encoder, view.image)
        split = split_of(self.encoder, self.masker, view)
        if split.visible.shape[1] > 1:
            raise ValueError(
                f"{type(self).__name__} sees a view once, and this masker makes "
                f"{split.visible.shape[1]} parts of it; take "
                "masker=random, block, attmask or sbm"
            )
        valid = None if split.visible_valid is None else split.visible_valid[:, 0]
        tokens = self.encoder.embed(view.image, split.visible)[:, 0]
        return encode_some(self.encoder, tokens, 1, split.visible[:, 0], valid)[:, 0]

    def _first(self, batch: Batch) -> int:
        """Number of the first view that the student sees."""
        first = 0 if self.own else self.views
        if len(batch.views) < self.views + (not self.own) or len(batch.views) < 2:
            raise ValueError(
                f"{self.views} views of an image are compared with others, and the batch has "
                f"{len(batch.views)}; take "
                "augment@data.augment=multi_crop_moco_v3"
            )
        whole = self.encoder.geometry.image_size
        if not isinstance(self.encoder, Resizes) and any(
            view.image.shape[-2:] != whole for view in batch.views[first:]
        ):
            raise ValueError(
                f"{type(self.encoder).__name__} takes images of {whole[0]} x {whole[1]} alone, and "
                "there are smaller views; take "
                "encoder=vit_small, or data.augment.local_crops=0"
            )
        return first
