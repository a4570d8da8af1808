"""Efficient probing against billpsomas/efficient-probing @ b8f4fb8: tolerances on max |a - b| / max
|b|.
"""

import pytest
import torch

from mim.evaluate.heads import Heads, Setting
from mim.pool.ep import EP
from mim.pool.pool import Shape
from tests.stored import Golden

CASES = [c["index"] for c in Golden("ep").meta["configs"] if c["pooling"] == "ep"]


def pool_of(tensors, shape):
    """Theirs as ours: the values' width says by how much they shrink."""
    query = tensors["cls_token"][0]
    pool = EP(shape, len(query), shape.width // len(tensors["v.weight"]))
    pool.load_state_dict({"query": query, "value.weight": tensors["v.weight"]})
    return pool


@pytest.mark.parametrize("case", CASES)
def test_pooled_patches_and_gradients_are_official(golden, distance, case):
    """Where they have a bias of values, ours has none: weights sum to one, and a batch norm
    follows.
    """
    reference = golden("ep")
    tensors, x = reference.under(f"c{case}.sd."), reference["x"].requires_grad_()
    side = round(x.shape[1] ** 0.5)
    pool = pool_of(tensors, Shape(x.shape[2], (side, side)))
    out = pool(x)
    assert distance(out + tensors.get("v.bias", torch.zeros(())), reference[f"c{case}.out"]) < 2e-5
    (out * reference["w_out"][:, : out.shape[1]]).sum().backward()
    assert distance(x.grad, reference[f"c{case}.grad.x"]) < 1e-4
    assert distance(pool.query.grad[None], reference[f"c{case}.grad.cls_token"]) < 1e-4
    assert distance(pool.value.weight.grad, reference[f"c{case}.grad.v.weight"]) < 1e-4


def test_a_whole_probe_is_official(golden, distance):
    reference = golden("ep")
    tensors, x = reference.under("probe.sd."), reference["x"]
    side = round(x.shape[1] ** 0.5)
    pool = pool_of(
        {name[2:]: value for name, value in tensors.items() if name.startswith("0.")},
        Shape(x.shape[2], (side, side)),
    )
    classes, width = tensors["2.weight"].shape
    heads = Heads(pool, width, classes, [Setting(0.1, 0.0)])
    heads.heads[0][2].load_state_dict({"weight": tensors["2.weight"], "bias": tensors["2.bias"]})
    label = reference["probe.labels"].long()
    scores = heads.train()(x)
    assert distance(scores[0], reference["probe.logits_train"]) < 1e-4
    loss = torch.nn.functional.cross_entropy(scores[0], label)
    assert loss.item() == pytest.approx(reference["probe.loss"].item(), rel=1e-5)
    loss.backward()
    assert distance(heads.heads[0][0].query.grad[None], reference["probe.grad.0.cls_token"]) < 1e-4
    assert distance(heads.heads[0][2].weight.grad, reference["probe.grad.2.weight"]) < 1e-4
    assert distance(heads.eval()(x)[0], reference["probe.logits_eval"]) < 1e-4
