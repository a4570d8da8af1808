import torch

from mim.masker.score.ranking import min_max


def test_the_smallest_becomes_0_and_the_largest_1():
    assert min_max(torch.tensor([[2.0, 4.0, 3.0], [-1.0, -2.0, 0.0]])).tolist() == [
        [0, 1, 0.5],
        [0.5, 0, 1],
    ]


def test_what_is_constant_up_to_rounding_becomes_0():
    constant = torch.tensor([[7.0, 7.0, 7.0], [0.0, 0.0, 0.0], [1.0, 1.0 + 1e-6, 1.0]])
    assert min_max(constant).eq(0).all()
    small = torch.tensor([1e-3, 1.1e-3])
    assert min_max(small).tolist() == [0, 1]
