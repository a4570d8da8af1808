"""Methods that compare views, put together of lightly's modules as its examples do
(docs.lightly.ai/examples).
"""

from collections.abc import Callable
from functools import partial

import torch
from lightly.loss import DINOLoss, IBOTPatchLoss, MSNLoss, NTXentLoss
from lightly.models.modules import MaskedVisionTransformerTIMM
from lightly.models.modules.heads import DINOProjectionHead, MoCoProjectionHead, MSNProjectionHead
from lightly.models.utils import random_block_mask, random_token_mask, update_momentum
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from view_sizes import Sizes


def backbone(sizes: Sizes) -> MaskedVisionTransformerTIMM:
    """timm's ViT of a size, which takes smaller images too."""
    norm = partial(nn.LayerNorm, eps=1e-6)
    width, depth, heads = sizes.encoder
    vit = VisionTransformer(
        *(sizes.image, sizes.patch, 3, 0, "token", width, depth, heads),
        norm_layer=norm,
        dynamic_img_size=True,
    )
    return MaskedVisionTransformerTIMM(vit)


class Pair(nn.Module):
    """Student and teacher, which is averaged after each step."""

    def __init__(self, sizes: Sizes, head: Callable[[], nn.Module]):
        super().__init__()
        self.backbone, self.head = backbone(sizes), head()
        self.teacher = nn.ModuleList([backbone(sizes), head()]).requires_grad_(False)
        for mine, theirs in zip((self.backbone, self.head), self.teacher, strict=True):
            theirs.load_state_dict(mine.state_dict())

    def follow(self) -> None:
        """Average the teacher."""
        for mine, theirs in zip((self.backbone, self.head), self.teacher, strict=True):
            update_momentum(mine, theirs, 0.99)


class MoCoV3(Pair):
    """MoCo v3."""

    def __init__(self, sizes: Sizes):
        width = sizes.encoder[0]
        head = partial(MoCoProjectionHead, width, sizes.hidden, 256, 3, batch_norm=True)
        super().__init__(sizes, head)
        self.predictor = MoCoProjectionHead(256, sizes.hidden, 256, 2, batch_norm=True)
        self.loss = NTXentLoss(temperature=0.2)

    def forward(self, large: list[Tensor], small: list[Tensor]) -> Tensor:
        made = [self.predictor(self.head(self.backbone(view))) for view in large]
        with torch.no_grad():
            keys = [self.teacher[1](self.teacher[0](view)) for view in large]
        return 0.5 * (self.loss(made[0], keys[1]) + self.loss(made[1], keys[0]))


class MSN(Pair):
    """MSN."""

    def __init__(self, sizes: Sizes):
        super().__init__(sizes, partial(MSNProjectionHead, sizes.encoder[0], sizes.hidden, 256))
        self.prototypes = nn.Parameter(torch.randn(1024, 256) / 16)
        self.loss = MSNLoss()

    def forward(self, large: list[Tensor], small: list[Tensor]) -> Tensor:
        with torch.no_grad():
            target = self.teacher[1](self.teacher[0](large[0]))
        size = (len(large[1]), self.backbone.sequence_length)
        keep, _ = random_token_mask(size, 0.3, device=large[1].device)
        views = [self.backbone(large[1], idx_keep=keep), self.backbone(torch.cat(small))]
        anchors = torch.cat([self.head(each) for each in views])
        return self.loss(anchors, target, self.prototypes)


class DINO(Pair):
    """DINO."""

    def __init__(self, sizes: Sizes):
        width, out = sizes.encoder[0], sizes.prototypes
        super().__init__(sizes, partial(DINOProjectionHead, width, sizes.hidden, 256, out))
        self.loss = DINOLoss(sizes.prototypes)

    def forward(self, large: list[Tensor], small: list[Tensor]) -> Tensor:
        with torch.no_grad():
            seen = self.teacher[1](self.teacher[0](torch.cat(large)))
        tokens = torch.cat([self.backbone(torch.cat(large)), self.backbone(torch.cat(small))])
        shown = self.head(tokens).chunk(len(large) + len(small))
        return self.loss(list(seen.chunk(len(large))), list(shown))


class IBOT(DINO):
    """iBOT, with one head for cls tokens and patches."""

    def __init__(self, sizes: Sizes):
        super().__init__(sizes)
        self.patch_loss = IBOTPatchLoss(sizes.prototypes)

    def forward(self, large: list[Tensor], small: list[Tensor]) -> Tensor:
        views = torch.cat(large)
        side = self.backbone.vit.patch_embed.grid_size[0]
        mask = random_block_mask((len(views), side, side), device=views.device)
        flat = mask.flatten(1)
        with torch.no_grad():
            whole = self.teacher[0].encode(views)
            seen = self.teacher[1](whole[:, 0])
            target = self.teacher[1](whole[:, 1:][flat])
        covered = torch.cat([torch.zeros_like(flat[:, :1]), flat], dim=1)
        tokens = self.backbone.encode(views, mask=covered)
        cls = torch.cat([tokens[:, 0], self.backbone(torch.cat(small))])
        shown = self.head(cls).chunk(len(large) + len(small))
        patches = self.patch_loss(target, self.head(tokens[:, 1:][flat]), mask)
        return self.loss(list(seen.chunk(len(large))), list(shown)) + patches


PEERS = {"moco_v3": MoCoV3, "msn": MSN, "dino": DINO, "ibot": IBOT}
