"""The picture of a reconstruction is of the term whose target can be painted."""

from contextlib import nullcontext
from types import SimpleNamespace

import torch
from matplotlib.figure import Figure

from mim.batch import blank
from mim.callback.reconstructions import Reconstructions
from mim.geometry import Geometry
from mim.loss.term import Term
from mim.loss.weighted_sum import WeightedSum
from mim.masker.split import Split
from mim.model.reconstruction import Reconstruction
from mim.target.hog import HOG
from mim.target.pixel import Pixel


class Model(torch.nn.Module):
    """Predicts what it was given."""

    def __init__(self, made: Reconstruction):
        super().__init__()
        self.made = made

    def forward(self, batch):
        return self.made


def test_of_two_terms_the_one_that_can_be_painted_is_drawn(tmp_path):
    split = Split(torch.tensor([[[0]], [[3]]]), torch.tensor([[[1, 2, 3]], [[0, 1, 2]]]))
    hog, pixel = HOG(Geometry.of(8, 8)), Pixel(Geometry.of(8, 8), normalise=False)
    loss = WeightedSum({"hog": Term(hog), "pixel": Term(pixel)}, {"hog": 1.0, "pixel": 1.0})
    predictions = {name: torch.rand(2, 1, 3, dim) for name, dim in loss.target_dims.items()}
    module = SimpleNamespace(
        loss=loss, model=Model(Reconstruction(predictions, split)), device=torch.device("cpu")
    )
    data = SimpleNamespace(
        mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), val_dataloader=lambda: [blank(2, (16, 16))]
    )
    trainer = SimpleNamespace(
        is_global_zero=True,
        global_step=0,
        callback_metrics={},
        datamodule=data,
        loggers=[],
        strategy=SimpleNamespace(batch_to_device=lambda batch, device: batch),
        precision_plugin=SimpleNamespace(forward_context=nullcontext),
    )
    drawn = []

    def sheet(image, pixels, *rest):
        drawn.append(pixels)
        return Figure()

    Reconstructions(str(tmp_path), sheet, 1).draw(trainer, module, 1)
    assert drawn[0].equal(predictions["pixel"])
    assert (tmp_path / "reconstruction_0001.png").exists()
