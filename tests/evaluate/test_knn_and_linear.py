"""k-NN and the linear classifier on features that are easy to judge by hand."""

import pytest
import torch

from mim.evaluate.features import Features
from mim.evaluate.knn import KNN
from mim.evaluate.linear import Linear, _batches


def clusters(per_class: int, seed: int = 0) -> Features:
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(3).repeat_interleave(per_class)
    return Features(
        torch.eye(8)[label] * 4 + torch.randn(len(label), 8, generator=generator), label
    )


def only(scores):
    (score,) = scores.values()
    return score


def test_neighbours_vote_with_the_exponential_of_their_similarity():
    bank = Features(torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]]), torch.tensor([0, 1, 1]))
    scores = only(KNN(k=2, temperature=0.5)(bank, torch.tensor([[3.0, 3.0]]), classes=2))
    similarity = 0.5**0.5
    expected = torch.tensor([[similarity / 0.5, similarity / 0.5]]).exp()
    assert torch.allclose(scores, expected)


def test_knn_does_not_depend_on_how_queries_are_cut_into_chunks():
    bank, query = clusters(50), clusters(30, seed=1).feature
    together = only(KNN()(bank, query, classes=3))
    alone = torch.cat([only(KNN()(bank, one, classes=3)) for one in query.split(1)])
    assert torch.allclose(together, alone, rtol=1e-4)


def test_a_grid_of_settings_equals_each_setting_alone():
    bank, query = clusters(50), clusters(30, seed=1).feature
    grid = KNN(k=[1, 5, 20], temperature=[0.05, 1.0])(bank, query, 3)
    assert list(grid) == [f"k={k} T={t}" for k in (1, 5, 20) for t in (0.05, 1.0)]
    for k in (1, 5, 20):
        for t in (0.05, 1.0):
            assert grid[f"k={k} T={t}"].equal(only(KNN(k, t)(bank, query, 3)))


@pytest.mark.parametrize("judge", [KNN(), Linear(epochs=50)])
def test_separate_clusters_are_told_apart_and_shuffled_labels_are_not(judge):
    bank, held_out = clusters(100), clusters(50, seed=1)
    right = (only(judge(bank, held_out.feature, 3)).argmax(1) == held_out.label).float().mean()
    assert right > 0.95
    shuffled = bank._replace(
        label=bank.label[torch.randperm(300, generator=torch.Generator().manual_seed(0))]
    )
    assert (
        only(judge(shuffled, held_out.feature, 3)).argmax(1) == held_out.label
    ).float().mean() < 0.6


def test_the_linear_judge_takes_each_row_of_whole_batches_once_an_epoch(monkeypatch):
    monkeypatch.setattr("mim.evaluate.linear.TOGETHER", 3)
    feature = torch.arange(70.0)[:, None]
    order = torch.randperm(70)[:64]
    batches = list(_batches(feature, feature[:, 0] + 1, order, 8))
    assert [x[:, 0].tolist() for x, _ in batches] == order.view(-1, 8).tolist()
    assert all(y.equal(x[:, 0] + 1) for x, y in batches)


def test_a_bank_smaller_than_k_votes_whole():
    bank = clusters(2)
    assert only(KNN(k=20)(bank, bank.feature, 3)).shape == (6, 3)


@pytest.mark.parametrize("values", [{"k": 0}, {"temperature": 0.0}, {"k": []}, {"k": [5, 0]}])
def test_knn_refuses_what_cannot_vote(values):
    with pytest.raises(ValueError, match=r"KNN\.(k|temperature)="):
        KNN(**values)


def test_the_linear_probe_leaves_the_random_stream_and_gradients_alone():
    bank = clusters(20)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with torch.no_grad():
        scores = only(Linear(epochs=2)(bank, bank.feature, 3))
    assert torch.rand(3).equal(expected)
    assert not scores.requires_grad
