from mim.weights.official_mae import from_official, to_official


def test_both_halves_are_renamed():
    renamed = {
        "cls_token": "encoder.cls_token",
        "blocks.0.attn.qkv.weight": "encoder.blocks.0.attn.qkv.weight",
        "norm.bias": "encoder.norm.bias",
        "mask_token": "decoder.mask_token",
        "decoder_pos_embed": "decoder.pos_embed",
        "decoder_blocks.1.norm1.bias": "decoder.blocks.1.norm1.bias",
        "decoder_pred.weight": "decoder.predict.weight",
    }
    assert {name: from_official(name) for name in renamed} == renamed
    assert {name: to_official(from_official(name)) for name in renamed} == {
        name: name for name in renamed
    }


def test_no_official_tensor_loses_its_name(golden):
    names = golden("mae_pix").under("sd.")
    assert len({from_official(name) for name in names}) == len(names)
    assert [to_official(from_official(name)) for name in names] == list(names)
