"""Masked autoencoders that others publish on PyPI, at a given architecture and on normalised
pixels.
"""

from functools import partial

import torch
from lightly.models import utils as lightly_utils
from lightly.models.modules import MAEDecoderTIMM, MaskedVisionTransformerTIMM
from sizes import Sizes
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from mim.encoder.initialise import initialise_mae

RATIO = 0.75


class Transformers(nn.Module):
    """Hugging Face's ViTMAEForPreTraining."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        (width, depth, heads), (decoder_width, decoder_depth, decoder_heads) = (
            sizes.encoder,
            sizes.decoder,
        )
        config = ViTMAEConfig(
            hidden_size=width,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            intermediate_size=4 * width,
            decoder_hidden_size=decoder_width,
            decoder_num_hidden_layers=decoder_depth,
            decoder_num_attention_heads=decoder_heads,
            decoder_intermediate_size=4 * decoder_width,
            layer_norm_eps=1e-6,
            image_size=sizes.image,
            patch_size=sizes.patch,
            mask_ratio=RATIO,
            norm_pix_loss=True,
        )
        self.model = ViTMAEForPreTraining(config).apply(initialise_mae)

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image).loss


class Lightly(nn.Module):
    """lightly's modules, put together as its documentation does
    (docs.lightly.ai/examples/mae.html), on normalised pixels.
    """

    def __init__(self, sizes: Sizes):
        super().__init__()
        (width, depth, heads), decoder = sizes.encoder, sizes.decoder
        self.patch = sizes.patch
        norm = partial(nn.LayerNorm, eps=1e-6)
        vit = VisionTransformer(
            sizes.image, self.patch, 3, 0, "token", width, depth, heads, norm_layer=norm
        )
        no_token = nn.Parameter(torch.zeros(1, 1, 0))  # MAE's encoder has no mask token
        self.backbone = MaskedVisionTransformerTIMM(vit, no_token)
        self.decoder = MAEDecoderTIMM(vit.patch_embed.num_patches, self.patch, 3, width, *decoder)

    def forward(self, image: Tensor) -> Tensor:
        size = (len(image), self.backbone.sequence_length)
        keep, mask = lightly_utils.random_token_mask(size, RATIO, device=image.device)
        tokens = self.decoder.embed(self.backbone.encode(image, idx_keep=keep))
        full = lightly_utils.repeat_token(self.decoder.mask_token, size)
        full = lightly_utils.set_at_index(full, keep, tokens.type_as(full))
        prediction = self.decoder.predict(
            lightly_utils.get_at_index(self.decoder.decode(full), mask)
        )
        patches = lightly_utils.patchify(image, self.patch)
        target = lightly_utils.normalize_mean_var(lightly_utils.get_at_index(patches, mask - 1))
        return nn.functional.mse_loss(prediction, target)
