"""Facts of what sits on an encoder: decoders, heads, and what mixes images of a classifier."""

from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from timm.models.vision_transformer import Block
from torch import nn

from mim.model.beit_v2 import BeitV2
from mim.model.bootmae import BootMAE
from mim.model.cae import CAE
from mim.model.cmae import CMAE
from mim.model.ibot import IBOT
from mim.model.query_decoder import QueryDecoder
from mim.model.siamese import Siamese
from tests.recipes.facts import CLASSES, Facts, named
from tests.recipes.of_encoder import drop_path_of


def classifier_facts(cfg: DictConfig, task: Any) -> Facts:
    """How the head begins, what it pools, and what mixes and erases images."""
    node = OmegaConf.merge(
        cfg.encoder, {"depths": [1] * 4} if "depths" in cfg.encoder else {"depth": 1}
    )
    small = instantiate(cfg.model, encoder=node)(num_classes=CLASSES)
    mix, erase = task.mix, task.erase(device="cpu") if task.erase else None
    return {
        "head.sd": small.head.weight.std().item(),
        "head.bias": small.head.bias.abs().max().item(),
        "pool": {"Mean": "mean", "Cls": "cls"}[type(task.model.pool).__name__],
        "head_norm": "new_after_pool" if hasattr(task.model, "fc_norm") else "own_before_pool",
        "label_smoothing": task.label_smoothing,
        "trained": "all" if all(p.requires_grad for p in task.model.parameters()) else "some",
        "mixing.label_smoothing": mix and mix.label_smoothing,
        **named("mixup", mix and {"alpha": mix.mixup_alpha}),
        **named("cutmix", mix and {"alpha": mix.cutmix_alpha}),
        **named(
            "mixing",
            mix
            and {
                "probability": mix.mix_prob,
                "switch_probability": mix.switch_prob,
                "mode": mix.mode,
            },
        ),
        **named("random_erasing", erase and _erasing(erase)),
    }


def _erasing(erase: Any) -> Facts:
    return {
        "probability": erase.probability,
        "mode": "pixel" if erase.per_pixel else "rand" if erase.rand_color else "const",
        "count": erase.max_count
        if erase.min_count == erase.max_count
        else [erase.min_count, erase.max_count],
        "area": [erase.min_area, erase.max_area],
    }


def decoder_facts(cfg: DictConfig, model: Any) -> Facts:
    """Sizes of what predicts, or of what projects views."""
    if isinstance(model, CAE):
        return _latents(cfg, model)
    if isinstance(model, BootMAE):
        return _cross_decoders(model)
    if isinstance(model, BeitV2):
        return _aggregator(model)
    if isinstance(model, IBOT):
        return _projection(model)
    if isinstance(model, Siamese):
        return _siamese(model)
    if not isinstance(model, CMAE):
        return _decoder(model.decoder)
    facts = {"decoders.feature.out": model.feature_decoder.predict.out_features}
    for name, decoder in (("pixel", model.decoder), ("feature", model.feature_decoder)):
        facts |= {
            key.replace("decoder.", f"decoders.{name}."): value
            for key, value in _decoder(decoder).items()
        }
    for name, head in (("projector", model.projector), ("predictor", model.predictor)):
        sizes = {
            "in": head[0].in_features,
            "hidden": head[0].out_features,
            "out": head[-1].out_features,
        }
        facts |= {
            f"heads.{name}.{key}": value for key, value in {**sizes, "eps": head[1].eps}.items()
        }
    return facts


def _cross_decoders(model: BootMAE) -> Facts:
    """Of each decoder: its sizes, and the block that it looks at."""
    facts: Facts = {}
    for name, decoder in model.decoders.items():
        attention, width = decoder.blocks[0].attn, decoder.embed.out_features
        facts |= {
            f"decoders.{name}.width": width,
            f"decoders.{name}.depth": len(decoder.blocks),
            f"decoders.{name}.heads": attention.heads,
            f"decoders.{name}.head_width": attention.query.out_features // attention.heads,
            f"decoders.{name}.mlp_ratio": decoder.blocks[0].mlp.fc1.out_features / width,
            f"decoders.{name}.cross_attention_to": f"output of block {model.block[name] - 1}",
        }
    return facts


def _aggregator(model: BeitV2) -> Facts:
    """BEiT v2's: what predicts, and the decoder of a cls token and of earlier patches."""
    return {
        **_decoder(model.decoder),
        "head.shared": model.own is None,
        "aggregator.block": model.block,
        "aggregator.depth": len(model.aggregator),
        "aggregator.drop_path": [drop_path_of(block) for block in model.aggregator],
    }


def _latents(cfg: DictConfig, model: CAE) -> Facts:
    """CAE's: sizes of the regressor and of the decoder, and how their branches begin."""
    (decoder,) = model.decoders.values()
    small = {"regressor": instantiate(cfg.model.regressor)(width=48)}
    small |= {"decoder": instantiate(cfg.model.decoder)(width=48, target_dim=1)}
    facts: Facts = {"decoder.scores": decoder.predict.out_features}
    for name, part in (("regressor", model.regressor), ("decoder", decoder)):
        first, attention = part.blocks[0], "cross" if name == "regressor" else "attn"
        facts |= {
            f"{name}.width": part.norm.normalized_shape[0],
            f"{name}.depth": len(part.blocks),
            f"{name}.heads": getattr(
                getattr(first, attention), "heads" if name == "regressor" else "num_heads"
            ),
            f"{name}.mlp_ratio": first.mlp.fc1.out_features / first.mlp.fc1.in_features,
            f"{name}.drop_path": drop_path_of(part.blocks[-1]),
            f"{name}.layer_scale": small[name].blocks[0].gamma_1.mean().item(),
        }
    return facts


def _projection(model: IBOT) -> Facts:
    """Of a head of prototypes: its layers, and what is trained of the last one; and how many views
    a teacher sees.
    """
    head: Any = model.head
    linear = [layer for layer in head.mlp if isinstance(layer, nn.Linear)]
    last = head.last_layer
    return {
        "head.layers": len(linear),
        "head.hidden": linear[0].out_features,
        "head.bottleneck": linear[-1].out_features,
        "head.out": len(last.weight_v),
        "head.activation": {nn.GELU: "gelu", nn.ReLU: "relu"}[type(head.mlp[1])],
        "head.norm": head.norm,
        "head.shared_by_cls_and_patch": head.patch_layer is None,
        "head.last_layer.magnitude_trained": last.weight_g.requires_grad,
        "freeze_last_layer_epochs": head.frozen_epochs,
        "teacher.views": model.views,
    }


def _siamese(model: Siamese) -> Facts:
    """Of a projection and a prediction: their layers; and what student and teacher see."""
    facts: Facts = {}
    for name, mlp in (("head", model.head), ("predictor", model.predictor)):
        linear: list[Any] = [layer for layer in mlp.modules() if isinstance(layer, nn.Linear)]
        sizes = (
            {
                "layers": len(linear),
                "hidden": linear[0].out_features,
                "out": linear[-1].out_features,
            }
            if linear
            else None
        )
        facts |= named(name, sizes)
    stem: Any = model.encoder.get_submodule("patch_embed.proj")
    return facts | {
        "head.norm_eps": model.head[1].eps,
        "teacher.views": model.views,
        "student.sees_teachers_views": model.own,
        "student.normed_over": model.normed_over,
        "student.frozen_projection": not stem.weight.requires_grad,
    }


def _decoder(decoder: Any) -> Facts:
    if isinstance(decoder, nn.Linear):
        return {"decoder.outputs": decoder.out_features}
    if isinstance(decoder, QueryDecoder):
        first = decoder.blocks[0]
        return {
            "decoder.width": decoder.predict.in_features,
            "decoder.depth": len(decoder.blocks),
            "decoder.heads": first.cross.heads,
            "decoder.mlp_ratio": first.mlp.fc1.out_features / first.mlp.fc1.in_features,
            "decoder.looks_at": decoder.looks_at,
            "decoder.self_attention": first.attn is not None,
        }
    blocks = [block for block in decoder.blocks if isinstance(block, Block)]
    return {
        "decoder.width": decoder.embed.out_features,
        "decoder.depth": len(blocks),
        "decoder.heads": blocks[0].attn.num_heads,
        "decoder.mlp_ratio": blocks[0].mlp.fc1.out_features / blocks[0].mlp.fc1.in_features,
        **({"decoder.prefix": decoder.prefix} if decoder.pos_embed.requires_grad else {}),
    }
