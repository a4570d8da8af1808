"""Steps of MoCo v3 and MSN: in bf16, as one graph, and whatever their masker."""

from functools import partial

import pytest
import torch

from mim.encoder.vit import ViT
from mim.loss.across_views import AcrossViews
from mim.loss.prototypes import PrototypeMatch
from mim.loss.view_contrast import ViewContrast
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.model.siamese import ContrastHead, PrototypeHead, Siamese
from mim.optim.number import Lines
from mim.optim.schedule import Constant
from mim.part import Progress
from mim.teacher.siamese import SiameseEMA
from mim.train.pretrain import Pretrain
from tests.parity.distilled import views_of

MSN = {"views": 1, "own": False, "normed_over": "size", "frozen_projection": False}


def moco_v3(masker=None):
    head = partial(ContrastHead, hidden=10)
    model = partial(Siamese, masker=masker, head=head, predictor=partial(head, layers=2))
    return model, {"contrast": ViewContrast(6)}


def msn(masker=None):
    masker = masker or Masker(Random(), FixedRatio(0.5))
    model = partial(Siamese, masker=masker, head=partial(PrototypeHead, hidden=10), predictor=None)
    sharpening = Lines([0.5, 0.2], [0, 2])
    return partial(model, **MSN), {"match": PrototypeMatch(6, 12, sharpening=sharpening)}


METHODS = {"moco_v3": moco_v3, "msn": msn}


def training(method):
    torch.manual_seed(0)
    model, term = METHODS[method]()
    encoder = ViT(16, 4, 16, 2, 2, positions="learned")
    loss = AcrossViews(term, dict.fromkeys(term, 1.0))
    built = partial(model, encoder)
    task = Pretrain(built, loss, torch.optim.SGD, Constant(), 1e-3, 0.05, teacher=SiameseEMA)
    return task.train()


def views(seed=1):
    torch.manual_seed(seed)
    return views_of(torch.randn(2, 16, 3, 16, 16), torch.randn(2, 16, 3, 8, 8))


@pytest.mark.parametrize("method", METHODS)
def test_a_step_under_bf16_is_near_that_of_float32(method):
    losses = []
    for half in (False, True):
        task = training(method)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss, _, _ = task.objective(views())
        loss.backward()
        assert loss.dtype == torch.float32
        assert all(p.grad.isfinite().all() for p in task.parameters() if p.grad is not None)
        losses.append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=3e-2)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_step_is_one_graph_that_is_compiled_once(method):
    task, graphs = training(method), []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(task.objective, fullgraph=True, backend=backend)
    for number in range(3):  # another sharpening compiles nothing again
        for part in task.parts:
            part.begin_step(Progress(number, 4, 2))
        expected, found = (
            objective(views(number))[0].item() for objective in (task.objective, compiled)
        )
        assert found == pytest.approx(expected, rel=1e-5)
    assert len(graphs) == 1
