"""Self-distillation across views, with masked patches predicted in each large one (iBOT, arXiv
2111.07832; DINO, 2104.14294).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mim.batch import Batch
from mim.encoder.encoder import Encoder, Resizes, cls_tokens, encode_some
from mim.encoder.model import Model
from mim.head.projection import ProjectionHead
from mim.masker.any_masker import AnyMasker
from mim.masker.attention_store import AttentionStore
from mim.masker.split import MaskedPatches, Split
from mim.model.masked_model import TargetDims, dims_of
from mim.model.visible import as_batch, embed_in_place, split_of
from mim.ranges import Count
from mim.views import Shown


class IBOT(Model):
    """Student: an encoder of all views, masked in the large ones, and a projection head of cls
    tokens and masked patches.

    Mask tokens stand in place of masked patches before the encoder, as in SimMIM; patches that the
    masker throws cost nothing. Views of one size pass in one batch, of whose last block cls tokens
    and masked patches alone are computed; these pass the head together.

    Args:
        encoder: with a cls token; of images of several sizes where views have some.
        masker: decides which patches of large views are masked; null where none are (DINO). One
            that goes by attention is given the teacher's, of the same view.
        head: builds the head, once the width of tokens and the values of each term are known.
        target_dims: values of the terms `cls` and, where patches are predicted, `patch`; or a
            loss's `fit`.
        views: large views of each image, the first ones, which a teacher sees as well.

    Raises:
        ValueError: where the loss has other terms, patches are predicted and none masked, or the
            encoder has no cls token.
    """

    def __init__(
        self,
        encoder: Encoder,
        masker: AnyMasker | None,
        head: Callable[..., ProjectionHead],
        target_dims: TargetDims,
        views: Count = 2,
    ):
        super().__init__()
        dims = dims_of(target_dims, encoder.geometry)
        self.projects_patches = "patch" in dims
        if not {"cls"} <= set(dims) <= {"cls", "patch"}:
            raise ValueError(
                f"the loss has the terms {', '.join(dims)}, and {type(self).__name__} projects cls "
                "tokens and patches for terms "
                "cls and patch; take loss=ibot or loss=dino"
            )
        if self.projects_patches and masker is None:
            raise ValueError(
                "the loss predicts masked patches and nothing masks any; take masker=block_ibot, "
                "or loss=dino"
            )
        if not encoder.prefix:
            raise ValueError(
                f"{type(encoder).__name__} has no cls token, and the loss compares those of views; "
                "take encoder=vit_small"
            )
        self.encoder, self.masker, self.views = encoder, masker, views
        sizes = {name: dim or encoder.width for name, dim in dims.items()}
        self.head = head(width=encoder.width, out=sizes["cls"], patch_out=sizes.get("patch"))
        if self.projects_patches and self.head.norm == "batch":
            raise ValueError(
                "a batch norm would go by the masked patches alone, which are all that pass the "
                "head; model.head.norm=null or layer"
            )
        if masker is not None:
            self.mask_token = nn.Parameter(torch.zeros_like(encoder.new_token()))
            for store in self.stores:
                store.live = True

    @property
    def stores(self) -> list[AttentionStore]:
        """Where maskers look up attention."""
        return (
            []
            if self.masker is None
            else [s for s in self.masker.modules() if isinstance(s, AttentionStore)]
        )

    @property
    def attends(self) -> bool:
        """Whether what is masked goes by what the teacher attends to in the same view."""
        return any(store.live for store in self.stores)

    def forward(self, batch: Batch | Tensor, attention: Tensor | None = None) -> Shown:
        """Views of B images, and the teacher's attention to the large ones (V * B, A, rows,
        columns) -> outputs of the head.

        Raises:
            ValueError: where there are fewer views, or views of a size that the encoder does not
                take.
        """
        batch = as_batch(batch)
        self._check_views(batch)
        cls, patches, masked, split = self._large(
            batch.of_views(self.views)._replace(attention=attention)
        )
        small = batch.by_size(self.views)
        cls = torch.cat([cls, *(cls_tokens(self.encoder, views.image) for views in small)])
        made, patch = self.head.both(cls, patches)
        return Shown(made.unflatten(0, (len(batch.views), len(batch.key))), patch, masked, split)

    def _large(
        self, batch: Batch
    ) -> tuple[Tensor, Tensor | None, MaskedPatches | None, Split | None]:
        """Tokens of large views (N, C, H, W): the cls token (N, D), and where they are predicted
        those of masked patches (M, D); which these are, and what is masked.
        """
        encoder, first, L = self.encoder, self.encoder.prefix, self.encoder.geometry.patches
        if self.masker is None:
            return cls_tokens(encoder, batch.image), None, None, None
        split = split_of(encoder, self.masker, batch)
        if split.masked.shape[1] > 1:
            raise ValueError(
                f"a view is masked once, and this masker makes {split.masked.shape[1]} parts of "
                "it; take "
                "masker=block_ibot, random, attmask or sbm"
            )
        index, valid, length = None, None, L
        if not split.throws(L):
            tokens = self.cover(batch.image, split.hidden(L)[:, 0])
        else:
            tokens, index, valid = embed_in_place(encoder, self.mask_token, batch.image, split)
            length = index.shape[1]
        if not self.projects_patches:
            return encode_some(encoder, tokens, 1, index, valid)[:, 0], None, None, split
        masked, B = split.masked_patches(L), len(tokens)
        if index is None:
            image, place = masked.number // L, masked.number % L
        else:  # masked tokens come first
            Lm = split.masked.shape[2]
            image, place = masked.column // Lm, masked.column % Lm
        cls = torch.arange(B, device=tokens.device) * (first + length)
        wanted = torch.cat([cls, cls[image] + first + place])
        latent = encode_some(encoder, tokens, wanted, index, valid)
        return latent[:B], latent[B:], masked, split

    def cover(self, image: Tensor, hidden: Tensor) -> Tensor:
        """Embedded patches (N, L, E) of images (N, C, H, W), with the mask token in place of those
        that are hidden (N, L).
        """
        embedded = self.encoder.embed(image)
        everywhere = torch.arange(hidden.shape[1], device=hidden.device)[None, None]
        token = self.encoder.position_token(self.mask_token, everywhere)[:, 0].to(embedded.dtype)
        return torch.where(hidden[..., None], token, embedded)

    def _check_views(self, batch: Batch) -> None:
        whole = self.encoder.geometry.image_size
        sizes = [_size(view.image) for view in batch.views]
        if len(sizes) < self.views:
            raise ValueError(
                f"model.views={self.views} large views are compared, and the batch has "
                f"{len(sizes)}; take "
                "augment@data.augment=multi_crop"
            )
        if any(size != whole for size in sizes) and not isinstance(self.encoder, Resizes):
            raise ValueError(
                f"{type(self.encoder).__name__} takes images of {whole[0]} x {whole[1]} alone, and "
                "there are smaller views; take "
                "encoder=vit_small, or data.augment.local_crops=0"
            )

    def no_weight_decay(self) -> set[str]:
        """Names of matrices that are not decayed: none, tokens and positions are as well (iBOT,
        utils.py: get_params_groups).
        """
        return set()


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[-2], image.shape[-1]
