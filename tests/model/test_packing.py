import torch

from mim.model.packing import pack


def test_valid_tokens_go_first_and_as_much_padding_as_can_is_left_out():
    order, valid = pack(
        torch.tensor([[True, True, False, True, False], [False, False, False, True, False]]), most=3
    )
    assert order.tolist() == [[0, 1, 3], [3, 0, 1]]
    assert valid.tolist() == [[True, True, True], [True, False, False]]


def test_every_valid_token_is_kept_in_its_order():
    generator = torch.Generator().manual_seed(0)
    valid = torch.rand(50, 20, generator=generator) < 0.5
    order, there = pack(valid, most=int(valid.sum(1).max()))
    for row, kept, its in zip(valid, order, there, strict=True):
        assert kept[its].tolist() == row.nonzero().flatten().tolist()
        assert not row[kept[~its]].any()


def test_where_all_fit_nothing_is_left_out():
    order, valid = pack(torch.tensor([[False, True]]), most=4)
    assert order.tolist() == [[1, 0]]
    assert valid.tolist() == [[True, False]]
