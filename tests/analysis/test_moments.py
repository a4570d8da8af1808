import torch

from mim.analysis.moments import Moments


def test_two_batches_worked_by_hand():
    moments = Moments()
    moments.add(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    moments.add(torch.tensor([[8.0, 5.0]]))
    assert moments.count == 3
    assert moments.mean.tolist() == [4.0, 5.0]
    assert moments.std.tolist() == [13.0**0.5, 0.0]  # (9 + 1 + 16) / 2


def test_one_value_has_no_deviation():
    moments = Moments()
    moments.add(torch.tensor([[2.0]]))
    assert moments.std.tolist() == [0.0]


def test_however_the_stream_is_cut_the_answer_is_that_of_the_whole():
    values = 1e4 + torch.randn(
        1000, 3, generator=torch.Generator().manual_seed(0)
    )  # where sums of squares would cancel
    for sizes in ([1000], [1, 999], [7] * 142 + [6]):
        moments = Moments()
        for part in values.split(sizes):
            moments.add(part)
        assert torch.allclose(moments.mean, values.double().mean(0), rtol=1e-13)
        assert torch.allclose(moments.std, values.double().std(0), rtol=1e-9)
