"""k-NN and the linear probe on features that are easy to judge by hand."""

import pytest
import torch
from torch import nn

from mim.batch import blank
from mim.pool.cls import Cls
from mim.pool.mean import Mean
from mim.task.features import Features, extract
from mim.task.knn import KNN
from mim.task.linear import Linear


def clusters(per_class: int, seed: int = 0) -> Features:
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(3).repeat_interleave(per_class)
    return Features(torch.eye(8)[label] * 4 + torch.randn(len(label), 8, generator=generator), label)


def test_neighbours_vote_with_the_exponential_of_their_similarity():
    bank = Features(torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]]), torch.tensor([0, 1, 1]))
    scores = KNN(k=2, temperature=0.5)(bank, torch.tensor([[3.0, 3.0]]), classes=2)
    similarity = 0.5**0.5
    expected = torch.tensor([[similarity / 0.5, similarity / 0.5]]).exp()
    assert torch.allclose(scores, expected)


def test_knn_does_not_depend_on_how_queries_are_cut_into_chunks():
    bank, query = clusters(50), clusters(30, seed=1).feature
    together = KNN()(bank, query, classes=3)
    alone = torch.cat([KNN()(bank, one, classes=3) for one in query.split(1)])
    assert torch.allclose(together, alone, rtol=1e-4)


@pytest.mark.parametrize("judge", [KNN(), Linear(epochs=50)])
def test_separate_clusters_are_told_apart_and_shuffled_labels_are_not(judge):
    bank, held_out = clusters(100), clusters(50, seed=1)
    right = (judge(bank, held_out.feature, 3).argmax(1) == held_out.label).float().mean()
    assert right > 0.95
    shuffled = bank._replace(label=bank.label[torch.randperm(300, generator=torch.Generator().manual_seed(0))])
    assert (judge(shuffled, held_out.feature, 3).argmax(1) == held_out.label).float().mean() < 0.6


def test_a_bank_smaller_than_k_votes_whole():
    bank = clusters(2)
    assert KNN(k=20)(bank, bank.feature, 3).shape == (6, 3)


@pytest.mark.parametrize("values", [{"k": 0}, {"temperature": 0.0}])
def test_knn_refuses_what_cannot_vote(values):
    with pytest.raises(ValueError, match="KNN got"):
        KNN(**values)


def test_the_linear_probe_leaves_the_random_stream_and_gradients_alone():
    bank = clusters(20)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with torch.no_grad():
        scores = Linear(epochs=2)(bank, bank.feature, 3)
    assert torch.rand(3).equal(expected)
    assert not scores.requires_grad


def test_pools_take_the_cls_token_or_the_mean_of_the_patches():
    tokens = torch.tensor([[[9.0], [1.0], [3.0]]])
    assert Cls()(tokens).item() == 9
    assert Mean()(tokens).item() == 2


def test_features_come_in_the_order_of_the_images_and_the_encoder_keeps_its_mode():
    class Encoder(nn.Module):
        def forward(self, image):
            assert not self.training
            return image.mean((1, 2, 3))[:, None, None].expand(-1, 2, 4)

    batch = blank(6, (4, 4))
    batch = batch._replace(image=torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 4, 4), label=torch.arange(6))
    late, early = (type(batch)(*(column[rows] for column in batch)) for rows in (slice(3, 6), slice(0, 3)))
    encoder = Encoder().train()
    features = extract(encoder, Cls(), [late, early], lambda b: b, torch.no_grad)
    assert encoder.training
    assert features.feature[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert features.label.tolist() == [0, 1, 2, 3, 4, 5]
