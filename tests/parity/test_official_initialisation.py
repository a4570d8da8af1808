"""Initial weights against facebookresearch/mae, models_mae.py: initialize_weights."""

import torch

from mim.weights.official_mae import from_official


def test_initial_weights_have_the_official_distribution(golden, build_mae):
    reference = golden("init_stats")
    torch.manual_seed(0)
    ours = dict(build_mae(reference, load=False).model.named_parameters())
    names = reference.names("mae.names")
    assert set(ours) == {from_official(name) for name in names}
    for name, numel, trainable, (mean, std, low, high) in zip(
        names,
        reference["mae.numel"].tolist(),
        reference["mae.requires_grad"].tolist(),
        reference["mae.stats"].tolist(),
        strict=True,
    ):
        value = ours[from_official(name)].detach().double()
        assert value.numel() == numel
        assert ours[from_official(name)].requires_grad == trainable, name
        spread = std / numel**0.5
        assert abs(value.mean().item() - mean) <= 6 * spread + 1e-6, name
        # std within 5 %, or its sampling error where there are few values
        assert abs(value.std().item() - std) <= max(0.05, 4 / numel**0.5) * std + 1e-6, name
        # Xavier uniform is bounded
        if value.dim() > 1 and trainable and not name.endswith("token"):
            rows, columns = value.flatten(1).shape
            bound = (6 / (rows + columns)) ** 0.5
            assert value.abs().max().item() <= bound * (1 + 1e-6), name
            assert bound * 0.99 <= max(-low, high) <= bound * (1 + 1e-6), name
        # constants and fixed positions
        elif not name.endswith("token") and name != "patch_embed.proj.bias":
            assert value.min().item() == low or abs(value.min().item() - low) < 1e-5, name
            assert abs(value.max().item() - high) < 1e-5, name


def test_the_bias_of_the_patch_projection_keeps_the_default_of_a_convolution(golden, build_mae):
    reference = golden("init_stats")
    torch.manual_seed(0)
    bias = build_mae(reference, load=False).model.encoder.patch_embed.proj.bias
    bound = (3 * reference.meta["patch_size"] ** 2) ** -0.5
    assert 0.9 * bound < bias.abs().max().item() <= bound
