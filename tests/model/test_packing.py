import torch

from mim.model.packing import pack


def test_padding_goes_first_and_as_much_of_it_as_can_is_left_out():
    valid = torch.tensor([[True, True, False, True, False], [True, False, False, False, False]])
    order, place = pack(valid, most=3)
    assert order.tolist() == [[0, 1, 3], [3, 4, 0]]
    assert place[valid].tolist() == [0, 1, 2, 2]


def test_every_valid_token_is_found_again_where_it_went():
    generator = torch.Generator().manual_seed(0)
    valid = torch.rand(50, 20, generator=generator) < 0.5
    tokens = torch.rand(50, 20, generator=generator)
    order, place = pack(valid, most=int(valid.sum(1).max()))
    chosen = tokens.gather(1, order)
    assert torch.equal(chosen.gather(1, place)[valid], tokens[valid])
    assert torch.equal(valid.gather(1, order).sum(1), valid.sum(1))


def test_where_all_fit_nothing_is_left_out():
    order, place = pack(torch.tensor([[False, True]]), most=4)
    assert order.tolist() == [[0, 1]]
    assert place.tolist() == [[0, 1]]
