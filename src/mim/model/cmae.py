"""Contrastive masked autoencoder: pixels, and a vector of each image that is told from those of
others (CMAE, arXiv 2207.13532).
"""

from collections.abc import Callable

from torch import Tensor, nn

from mim.batch import Batch
from mim.encoder.encoder import Encoder
from mim.masker.any_masker import AnyMasker
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.model.masked_model import TargetDims
from mim.model.mean_decoder import MeanDecoder
from mim.model.reconstruction import Reconstruction
from mim.model.visible import as_batch


class CMAE(MAE):
    """A masked autoencoder with a second decoder, whose patches' mean is projected and predicts a
    teacher's projection.

    The teacher sees another view whole, and projects the mean of its patches by an average of
    `projector` (`mim.loss.contrast`). The second decoder is for training alone: in evaluation mode
    it does not run.

    Args:
        encoder: embeds and encodes patches.
        masker: decides which patches of the first view are visible and which are masked.
        decoder: builds a decoder for each term of the loss that predicts, as in `MAE`.
        feature_decoder: builds the one whose mean is projected; what it predicts is as wide as the
            encoder.
        projector: builds what student and teacher project with, once the encoder's width is known.
        predictor: builds what predicts the teacher's projection of the student's, once the
            projection's width is known.
        target_dims: values per patch of the predictions, by term, as in `MAE`.

    Raises:
        ValueError: where the decoder looks at blocks of the encoder.
    """

    compared = ("contrast",)

    def __init__(
        self,
        encoder: Encoder,
        masker: AnyMasker,
        decoder: Callable[..., Decoder],
        feature_decoder: Callable[..., MeanDecoder],
        projector: Callable[..., nn.Sequential],
        predictor: Callable[..., nn.Sequential],
        target_dims: TargetDims,
    ):
        super().__init__(encoder, masker, decoder, target_dims)
        if self.looks_at is not None:
            raise ValueError(
                "CMAE's second decoder is given what leaves the encoder; take another than "
                "model/decoder=cross"
            )
        sizes = {
            "encoder_width": encoder.width,
            "grid": encoder.geometry.grid,
            "target_dim": encoder.width,
        }
        self.feature_decoder = feature_decoder(**sizes)
        self.projector = projector(width=encoder.width)
        self.predictor = predictor(width=self.projector[-1].out_features)

    def forward(self, batch: Batch | Tensor) -> Reconstruction:
        """A batch, or normalised images (B, C, H, W) -> predictions (B, K, Lm, P), and vectors of
        images (B, K, P).
        """
        latent, made = self.reconstruct(as_batch(batch))
        if not self.training:
            return made
        seen = self.predictor(
            self.projector(self.feature_decoder(latent, made.split).flatten(0, 1))
        )
        return made._replace(vectors={"contrast": seen.unflatten(0, made.split.masked.shape[:2])})

    def no_weight_decay(self) -> set[str]:
        """Names of matrices that are not decayed: tokens (the release's `custom_keys`; it decays
        scales of batch norms).
        """
        names = {
            name
            for name, _ in self.named_parameters()
            if name.endswith(("cls_token", "mask_token"))
        }
        return names | super().no_weight_decay()
