"""Weights as timm's models take them: an encoder, or a whole classifier where timm has the same
one.
"""

from pathlib import Path
from typing import NamedTuple

import timm
from torch import Tensor

from mim.plain import Settings
from mim.weights.architecture import TIMM_VIT
from mim.weights.build import encoder_config
from mim.weights.weights import Weights


class TimmModel(NamedTuple):
    """Model of timm, as `timm.create_model` builds it."""

    name: str
    arguments: Settings
    """`num_classes` among them, 0 of an encoder."""

    def loading(self, file: Path) -> str:
        """Python that builds it and loads a file into it, strictly."""
        what = "model" if self.arguments["num_classes"] else "encoder"
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.arguments.items())
        return f'{what} = timm.create_model("{self.name}", {arguments}, checkpoint_path="{file}")'


def in_timm(weights: Weights) -> tuple[dict[str, Tensor], TimmModel]:
    """Tensors under timm's names, and the model that they are of."""
    config = encoder_config(weights, heads=weights.heads)
    if config["_target_"] == TIMM_VIT:
        return weights.half(encoder=True), _by_name(config, weights)
    family = config["_target_"].rpartition(".")[2]
    tensors, head = _with_head(weights, family)
    return tensors, _model(config, family, head)


def _by_name(config: Settings, weights: Weights) -> TimmModel:
    """A transformer of timm by its name, without a head and without what pools."""
    name, has_norm = config["name"].partition(".")[0], "encoder.norm.weight" in weights.tensors
    is_eva = timm.model_entrypoint(name).__module__.endswith(".eva")
    names = {
        "image_size": "img_size",
        "width": "embed_dim",
        "heads": "num_heads",
        "channels": "in_chans",
    }
    names["registers"] = "num_reg_tokens" if is_eva else "reg_tokens"
    sizes = (
        "image_size",
        "patch_size",
        "width",
        "depth",
        "heads",
        "mlp_ratio",
        "registers",
        "channels",
    )
    said = {names.get(key, key): config[key] for key in sizes if config.get(key) is not None}
    pooled: Settings = {"num_classes": 0} | ({} if "distilled" in name else {"global_pool": ""})
    if not has_norm:
        pooled |= (
            {"use_fc_norm": False, "use_post_transformer_norm": False}
            if is_eva
            else {"final_norm": False}
        )
    return TimmModel(name, said | pooled)


def published_pool(weights: Weights, family: str) -> str | None:
    """How a classifier pools, in timm's words, if it does so as the papers do; None where there is
    none, or one of another kind.
    """
    rest = weights.half(encoder=False)
    pool = "avg" if "fc_norm.weight" in rest or family == "Swin" else "token"
    # files of others do not say, and are of their papers
    pools = set(weights.setting("pool", dict, {}))
    return pool if "head.weight" in rest and pools <= {"mean" if pool == "avg" else "cls"} else None


def _with_head(weights: Weights, family: str) -> tuple[dict[str, Tensor], Settings]:
    """An encoder's tensors and, if timm pools as it was fine-tuned with, those of its head; what
    timm is told of the head.
    """
    tensors, rest = weights.half(encoder=True), weights.half(encoder=False)
    pool = published_pool(weights, family)
    if pool:
        name = "head.fc." if family == "Swin" else "head."
        tensors |= {
            key.replace("head.", name): rest[key]
            for key in rest
            if key.startswith(("head.", "fc_norm."))
        }
        return tensors, {"num_classes": len(rest["head.weight"]), "global_pool": pool}
    if "norm.weight" not in tensors and "fc_norm.weight" in rest:
        tensors |= {f"norm.{kind}": rest[f"fc_norm.{kind}"] for kind in ("weight", "bias")}
    return tensors, {"num_classes": 0} | ({"global_pool": "token"} if family == "Beit" else {})


def _model(config: Settings, family: str, head: Settings) -> TimmModel:
    small = 2 ** (len(config["depths"]) - 1) if family == "Swin" else 1
    sizes = {
        "img_size": config["image_size"],
        "patch_size": config["patch_size"] // small if small > 1 else config["patch_size"],
        "embed_dim": config["width"],
    }
    sizes |= {"in_chans": config["channels"]} if config.get("channels", 3) != 3 else {}
    sizes |= {"mlp_ratio": config["mlp_ratio"]} if config.get("mlp_ratio", 4) != 4 else {}
    positions = config.get("positions", "shared_bias")
    blocks = {"depth": config.get("depth"), "num_heads": config["heads"]}
    name, more = {
        "ViT": ("vit_base_patch16_224", blocks),
        "Beit": (
            "beit_base_patch16_224",
            blocks
            | {
                "use_abs_pos_emb": positions.startswith(("absolute", "sincos")),
                "use_rel_pos_bias": positions.endswith("block_bias"),
                "use_shared_rel_pos_bias": positions == "shared_bias",
            },
        ),
        "Swin": (
            "swin_base_patch4_window7_224",
            {
                "depths": config.get("depths"),
                "num_heads": config["heads"],
                "window_size": config.get("window"),
            },
        ),
    }[family]
    return TimmModel(name, sizes | more | head)
