"""The official initialisations of MAE (models_mae.py: initialize_weights), of DINO, of I-JEPA and
of SimMIM.
"""

from typing import Literal

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

Start = Literal["mae", "dino", "ijepa", "moco_v3"]
"""How weights of a ViT begin: as those of MAE, of DINO and iBOT, of I-JEPA, or of MoCo v3."""
BeitStart = Literal["simmim", "cae"]
"""How weights of a Beit begin: as those of SimMIM, or of CAE."""


def initialise_vit(encoder: VisionTransformer, start: Start) -> None:
    """Draw the weights of a ViT anew; its positions stay. A cls token is of a normal of deviation
    0.02.

    I-JEPA's are DINO's, and the projection of patches is of that normal too: those of training
    (src/helper.py: init_model), which undo the constructor's division by depth. MoCo v3's are
    MAE's, but queries, keys and values are three products of their own, and the cls token is almost
    zero (vits.py: VisionTransformerMoCo).
    """
    as_mae = start in ("mae", "moco_v3")
    encoder.apply(initialise_mae if as_mae else initialise_dino)
    stem: Tensor = encoder.patch_embed.proj.weight
    if as_mae:
        nn.init.xavier_uniform_(stem.view(len(stem), -1))
    elif start == "ijepa":
        nn.init.trunc_normal_(stem, std=0.02)
        nn.init.zeros_(encoder.patch_embed.proj.bias)
    if start == "moco_v3":
        nn.init.zeros_(encoder.patch_embed.proj.bias)
        for block in encoder.blocks:
            queries_keys_values = block.get_submodule("attn.qkv").get_parameter("weight")
            for product in queries_keys_values.chunk(3):
                nn.init.xavier_uniform_(product)
    if encoder.cls_token is not None:
        nn.init.normal_(encoder.cls_token, std=1e-6 if start == "moco_v3" else 0.02)


def initialise_mae(module: nn.Module) -> None:
    """Linear: Xavier uniform, zero bias; LayerNorm: one and zero. For `module.apply`."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


def initialise_dino(module: nn.Module) -> None:
    """Linear: a normal of deviation 0.02, zero bias; LayerNorm: one and zero (DINO,
    vision_transformer.py). For `module.apply`.
    """
    initialise_mae(module)
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)


def initialise_beit(encoder: nn.Module, start: BeitStart) -> None:
    """Draw the weights of a Beit anew.

    CAE's are SimMIM's in the projection of patches and in tokens; all other layers are drawn as
    MAE's (lxtGH/CAE, models/modeling_cae.py: _init_weights, which undoes BEiT's division by depth
    unless --fix_init_weight is given).
    """
    initialise_simmim(encoder)
    if start == "cae":
        encoder.apply(initialise_mae)


def beit_head(width: int, dim: int) -> nn.Linear:
    """Linear layer that predicts `dim` values, its weights of BEiT's normal, its bias zero
    (modeling_pretrain.py: lm_head).
    """
    head = nn.Linear(width, dim)
    nn.init.trunc_normal_(head.weight, std=0.02, a=-0.02, b=0.02)
    nn.init.zeros_(head.bias)
    return head


def initialise_simmim(encoder: nn.Module) -> None:
    """The official initialisation of SimMIM's ViT (models/vision_transformer.py): a normal of
    deviation 0.02, cut at one deviation.

    What a block adds to the residual stream is divided by sqrt(2 * its number), from 1. Biases of
    all kinds start at zero.
    """
    for name, parameter in encoder.named_parameters():
        if parameter.dim() > 1 and not name.endswith("relative_position_bias_table"):
            nn.init.trunc_normal_(parameter, std=0.02, a=-0.02, b=0.02)
        elif name.endswith("bias") and "norm" not in name:
            nn.init.zeros_(parameter)
    for number, block in enumerate(encoder.get_submodule("blocks").children(), start=1):
        for layer in (block.get_submodule("attn.proj"), block.get_submodule("mlp.fc2")):
            assert isinstance(layer, nn.Linear)
            layer.weight.data.div_((2 * number) ** 0.5)
