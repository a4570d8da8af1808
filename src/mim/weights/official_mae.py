"""Parameter names of the official MAE (facebookresearch/mae, models_mae.py: MaskedAutoencoderViT)
and of ours.

The two hold the same tensors, so a checkpoint of either is one of the other under new names.
"""

_DECODER = {
    "mask_token": "decoder.mask_token",
    "decoder_embed": "decoder.embed",
    "decoder_pos_embed": "decoder.pos_embed",
    "decoder_blocks": "decoder.blocks",
    "decoder_norm": "decoder.norm",
    "decoder_pred": "decoder.predict",
}


def from_official(name: str) -> str:
    """`decoder_pred.bias` -> `decoder.predict.bias`, `norm.bias` -> `encoder.norm.bias`."""
    part, dot, rest = name.partition(".")
    return _DECODER.get(part, f"encoder.{part}") + dot + rest


def to_official(name: str) -> str:
    """`decoder.predict.bias` -> `decoder_pred.bias`, `encoder.norm.bias` -> `norm.bias`."""
    half, _, rest = name.partition(".")
    if half == "encoder":
        return rest
    part, dot, rest = rest.partition(".")
    official = {ours: theirs for theirs, ours in _DECODER.items()}
    return official[f"{half}.{part}"] + dot + rest
