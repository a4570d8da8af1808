"""Open the classifier that fine-tuned weights are of: encoder, pool and head."""

from typing import Literal

from torch import nn

from mim.encoder.swin import Swin
from mim.model.classifier import Classifier
from mim.pool.pool import Pools
from mim.pool.simple import Cls, Mean
from mim.ranges import Size
from mim.weights.build import build_encoder
from mim.weights.into_model import load_weights_into
from mim.weights.settings import POOL, build
from mim.weights.weights import Weights


def open_classifier(
    weights: Weights, image_size: Size | None = None, channels: int | None = None
) -> nn.Module:
    """Build and load it: a run's pool is its own; an official file is pooled as its paper does, by
    what its tensors show.

    Raises:
        ValueError: where the weights have no head.
    """
    tensors = weights.tensors
    if "head.weight" not in tensors:
        raise ValueError(
            f"{weights.origin} has no head that tells classes apart; judge its features "
            "(evaluate=knn, evaluate=probe), or "
            "fine-tune it: python train.py task=finetune checkpoint=..."
        )
    encoder = build_encoder(weights, image_size, channels=channels)
    own = (weights.config or {}).get("pool")
    if not isinstance(own or {}, dict):
        raise ValueError(
            f"{weights.origin}: pool is {type(own).__name__}; a config has one pool by its name"
        )
    mean = "fc_norm.weight" in tensors or isinstance(encoder, Swin)
    named = {
        name: build(pool, POOL, weights.origin, f"pool.{name}")
        for name, pool in (own or {}).items()
    }
    pools: Pools = named or ({"mean": Mean()} if mean else {"cls": Cls()})
    norm: Literal["pooled", "tokens"] = "pooled" if "fc_norm.weight" in tensors else "tokens"
    model = Classifier(encoder, pools, len(tensors["head.weight"]), norm)
    missing = [
        name
        for name in model.state_dict()
        if not name.startswith("encoder.") and name not in tensors
    ]
    if missing:
        raise ValueError(
            f"{weights.origin} does not hold the whole classifier: it lacks {', '.join(missing)}"
        )
    load_weights_into(weights, model)
    return model
