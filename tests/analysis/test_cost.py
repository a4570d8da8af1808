"""Floating-point operations are counted as by hand."""

from functools import partial

import torch

from mim.analysis.cost import forward_flops, peak_flops
from mim.encoder.vit import ViT
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.model.decoder import Decoder
from mim.model.mae import MAE


def test_one_image_costs_its_matrix_products():
    D, depth, L, visible, P = 32, 2, 16, 4, 192
    masker = Masker(Random(), FixedRatio(0.75))
    model = MAE(
        ViT(32, 8, D, depth, 2),
        masker,
        partial(Decoder, width=D, depth=1, heads=2),
        target_dims={"pixel": P},
    )

    def block(queries, keys):
        return 2 * D * D * 4 * keys + 2 * 2 * queries * keys * D + 2 * D * D * 8 * queries

    T = 1 + visible
    encoder = 2 * visible * P * D + depth * block(T, T)
    decoder = 2 * T * D * D + block(L + 1, L + 1) + 2 * (L - visible) * D * P
    count = forward_flops(model, torch.device("cpu"))
    # the last block leaves out what nobody reads
    assert 0.85 * (encoder + decoder) < count <= encoder + decoder


def test_no_peak_is_claimed_for_a_cpu():
    assert peak_flops(torch.device("cpu"), "bf16-mixed") is None
