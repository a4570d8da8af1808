"""Attention statistics of the official Beyond [cls] code (models_vit.py, main_attention_stats.py),
with its weights and images.
"""

import pytest
import torch

from mim.analysis.attention_pass import measure
from mim.analysis.attention_stats import HeadStatistics, UpdateStatistics, entropy_among
from mim.encoder.vit import ViT

OURS = {
    "cls_cls_attention": "cls_to_cls",
    "pos_self_attention": "patch_to_self",
    "cls_cls_attention_adj_for_cls": "cls_to_cls_adjusted",
    "pos_self_attention_adj_for_cls": "patch_to_self_adjusted",
    "cls_pos_attention": "cls_to_patch",
    "pos_cls_attention": "patch_to_cls",
    "cls_pos_entropy": "cls_entropy",
    "pos_pos_entropy": "patch_entropy",
    "cls_magnitude": "cls_update",
    "pos_magnitude": "patch_update",
}


@pytest.fixture
def reference(golden):
    return golden("beyond_vit")


@pytest.fixture
def encoder(reference):
    m = reference.meta
    encoder = ViT(
        m["img_size"], m["patch_size"], m["embed_dim"], m["depth"], m["num_heads"], m["mlp_ratio"]
    )
    weights = reference.under("sd.")
    encoder.load_state_dict(
        {name: value for name, value in weights.items() if not name.startswith("head.")}
    )
    return encoder.eval()


@torch.no_grad()
def test_attention_of_every_token_of_every_block(reference, encoder, distance):
    streams = encoder.encode_blocks(encoder.embed(reference["images"]), range(encoder.depth))
    for block, tokens in enumerate(streams):
        matrix = encoder.block_attention(tokens, block=block + 1)
        # each (B, A, 1 + L)
        diagonal, _, from_cls, to_cls, entropy = reference["attentions"][:, :, block]
        assert distance(matrix.diagonal(dim1=2, dim2=3), diagonal) < 2e-5
        assert distance(matrix[:, :, 0], from_cls) < 2e-5
        assert distance(matrix[:, :, :, 0], to_cls) < 2e-5
        assert distance(entropy_among(matrix[..., 1:]), entropy) < 1e-6
        residual, update = reference["magnitudes"][:, :, block]  # each (B, 1 + L)
        assert distance(tokens.norm(dim=-1), residual) < 2e-5
        added = encoder.block_update(tokens, block + 1)
        assert distance(added.norm(dim=-1), update) < 2e-5
    assert distance(matrix, reference["attn_last"]) < 2e-5


def test_statistics_of_each_image_block_and_head(reference, encoder, distance, batch_of):
    names = [OURS[name] for name in reference.meta["stat_names"]]
    head_columns = [HeadStatistics._fields.index(name) for name in names]
    update_columns = [
        UpdateStatistics._fields.index(OURS[name]) for name in reference.meta["magnitude_names"]
    ]
    for i, image in enumerate(reference["images"]):
        stats = measure(encoder, [batch_of(image[None])], lambda batch: batch)
        for at, column in enumerate(head_columns):
            assert distance(stats.head.mean[..., column], reference["stats"][i, ..., at]) < 2e-5, (
                names[at]
            )
        for at, column in enumerate(update_columns):
            assert (
                distance(stats.update.mean[:, column], reference["magnitude_ratio"][i, :, at])
                < 2e-5
            )


def test_their_means_over_images_and_heads(reference, encoder, distance, batch_of):
    batches = [batch_of(part) for part in reference["images"].split(3)]
    summary = measure(encoder, batches, lambda batch: batch).summary()
    for i, name in enumerate(reference.meta["stat_names"]):
        assert (
            distance(torch.tensor(summary[OURS[name]]["mean"]), reference["stats_mean"][:, i])
            < 2e-5
        ), name
    for i, name in enumerate(reference.meta["magnitude_names"]):
        assert (
            distance(
                torch.tensor(summary[OURS[name]]["mean"]), reference["magnitude_ratio_mean"][:, i]
            )
            < 2e-5
        )
