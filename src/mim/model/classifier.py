"""A classifier on an encoder, as MAE (models_vit.py), SimMIM and Swin build theirs to fine-tune."""

from typing import Literal

from torch import Tensor, nn

from mim.batch import Batch
from mim.encoder.encoder import Encoder
from mim.encoder.model import Model
from mim.encoder.swin import Swin
from mim.pool.pool import Pools, fitted, pool_tokens, width_of
from mim.pool.simple import Mean
from mim.ranges import Positive


class Classifier(Model):
    """Tokens, one vector for the image, a score for each class.

    The head starts near zero, so that the first steps do not shake the encoder. Positions are
    learned from here on, those too that pre-training held fixed.

    Args:
        encoder: (B, C, H, W) -> (B, R + L, D).
        pools: the one pool, by its name; trained with the rest where it has weights.
        num_classes: scores per image.
        norm: where the last layer norm stands. "tokens": the encoder's own, on every token, before
            the pool. "pooled": a new one (`fc_norm`) on what the pool made, in place of the
            encoder's. null: as published, which is "pooled" for the mean of a ViT's or BEiT's
            patches and "tokens" for everything else, Swin among it.
        head_std: deviation of the head's first weights; null as published: 2e-5 (MAE,
            main_finetune.py:257; SimMIM, vision_transformer.py:268), and 0.02 for a Swin (SimMIM,
            swin_transformer.py:554).

    Raises:
        ValueError: where the pool is not one, or wants more than the tokens that the encoder has.
    """

    def __init__(
        self,
        encoder: Encoder,
        pools: Pools,
        num_classes: int,
        norm: Literal["tokens", "pooled"] | None = None,
        head_std: Positive | None = None,
    ):
        super().__init__()
        if len(pools) != 1:
            raise ValueError(
                f"a classifier has one pool and got {len(pools)} ({', '.join(pools)}); e.g. "
                "pool=mean"
            )
        ((name, pool),) = pools.items()
        self.encoder, self.pool = encoder.requires_grad_(), fitted(pool, encoder)
        if self.pool.needs.queries or self.pool.needs.image:
            raise ValueError(
                f"pool={name} looks at more than tokens, which is for frozen encoders; fine-tune "
                "with pool=mean, cls, cls_mean, "
                "max, abmilp, attentive or simpool"
            )
        width = width_of(self.pool, encoder)
        if norm is None:
            norm = (
                "pooled"
                if isinstance(self.pool, Mean) and not isinstance(encoder, Swin)
                else "tokens"
            )
        self.norm = norm
        if norm == "pooled":
            self.encoder.norm = nn.Identity()
            self.fc_norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, num_classes)
        nn.init.trunc_normal_(
            self.head.weight, std=head_std or (0.02 if isinstance(encoder, Swin) else 2e-5)
        )
        nn.init.zeros_(self.head.bias)

    def forward(self, batch: Batch | Tensor) -> Tensor:
        """A batch, or normalised images (B, C, H, W) -> class scores before the softmax (B,
        num_classes).
        """
        tokens = self.encoder(batch.image if isinstance(batch, Batch) else batch)
        feature = self.pool(pool_tokens(tokens, self.encoder.prefix, self.pool.needs))
        if self.norm == "pooled":
            feature = self.fc_norm(feature)
        return self.head(feature)

    def no_weight_decay(self) -> set[str]:
        """Names of matrices that are not decayed: what the encoder says, and Swin's tables of
        biases (SimMIM, optimizer.py).
        """
        names = set(self.encoder.no_weight_decay())
        if isinstance(self.encoder, Swin):
            names |= {
                name
                for name, _ in self.encoder.named_parameters()
                if name.endswith("relative_position_bias_table")
            }
        return {f"encoder.{name}" for name in names}

    def freeze(self, train_blocks: int) -> None:
        """Train the last blocks of the encoder only, with all that follows them (partial
        fine-tuning, arXiv 2111.06377, 5.2).

        Raises:
            ValueError: where the encoder has fewer blocks.
        """
        blocks = list(self.encoder.blocks)
        if not 0 <= train_blocks <= len(blocks):
            raise ValueError(
                f"train_blocks={train_blocks}, but the encoder has {len(blocks)} blocks; 0 to "
                f"{len(blocks)}"
            )
        self.encoder.requires_grad_(False)
        for block in blocks[len(blocks) - train_blocks :]:
            block.requires_grad_()
        if train_blocks:
            self.encoder.norm.requires_grad_()
