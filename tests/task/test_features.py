"""Features of images: in which order they come, and what is left of their extraction."""

import torch
from torch import nn

from mim.batch import blank
from mim.pool.cls import Cls
from mim.task.features import extract


def test_features_come_in_the_order_of_the_images_and_the_encoder_keeps_its_mode():
    class Encoder(nn.Module):
        def forward(self, image):
            assert not self.training
            return image.mean((1, 2, 3))[:, None, None].expand(-1, 2, 4)

    batch = blank(6, (4, 4))
    batch = batch._replace(image=torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 4, 4), label=torch.arange(6))
    late, early = (type(batch)(*(column[rows] for column in batch)) for rows in (slice(3, 6), slice(0, 3)))
    encoder = Encoder().train()
    features = extract(encoder, Cls(), [late, early], lambda b: b, torch.no_grad)
    assert encoder.training
    assert features.feature[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert features.label.tolist() == [0, 1, 2, 3, 4, 5]
