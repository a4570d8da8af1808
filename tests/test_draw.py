"""Statistics are of fixed keys, so these tests always see the same numbers."""

import numpy as np
import torch
from scipy import stats

from mim.draw import CROP, FLIP, MASK, keys, uniform, view_key, view_keys

KEYS = keys(0, 0, torch.arange(4096))


def correlation(a, b):
    """Pearson's r times the root of the sample size: standard normal for independent draws."""
    a, b = a.flatten().double(), b.flatten().double()
    return abs(torch.corrcoef(torch.stack([a, b]))[0, 1].item()) * len(a) ** 0.5


def test_draws_are_uniform():
    for stream in (CROP, FLIP, MASK):
        draws = uniform(KEYS, 64, stream)
        assert draws.dtype == torch.float32
        assert draws.min() >= 0
        assert draws.max() < 1
        assert stats.kstest(draws.flatten().numpy(), "uniform").pvalue > 1e-3
        # each key, and each place in the sequence, by itself
        assert (
            stats.kstest(
                [stats.kstest(row, "uniform").pvalue for row in draws[:200].numpy()], "uniform"
            ).pvalue
            > 1e-3
        )
        assert min(stats.kstest(row, "uniform").pvalue for row in draws.T.numpy()) > 1e-4


def test_low_bits_are_as_random_as_high_ones():
    bits = (uniform(KEYS, 16, MASK) * 2**24).long()
    share = torch.stack([(bits >> place & 1).float().mean() for place in range(24)])
    assert (share - 0.5).abs().max() * 2 * bits.numel() ** 0.5 < 4.5


def test_neighbouring_draws_fill_the_square_evenly():
    draws = uniform(KEYS, 64, MASK).numpy()
    along_a_key = np.histogram2d(draws[:, :-1].ravel(), draws[:, 1:].ravel(), bins=16)[0]
    along_the_batch = np.histogram2d(draws[:-1].ravel(), draws[1:].ravel(), bins=16)[0]
    assert stats.chisquare(along_a_key.ravel()).pvalue > 1e-3
    assert stats.chisquare(along_the_batch.ravel()).pvalue > 1e-3


def test_streams_epochs_seeds_and_positions_are_not_correlated():
    here = uniform(KEYS, 64, MASK)
    others = {
        "stream": uniform(KEYS, 64, CROP),
        "epoch": uniform(keys(0, 1, torch.arange(4096)), 64, MASK),
        "seed": uniform(keys(1, 0, torch.arange(4096)), 64, MASK),
        "next image": here.roll(1, 0),
        "next draw": here.roll(1, 1),
        "next image, next draw": here.roll((1, 1), (0, 1)),
    }
    for name, other in others.items():
        assert not torch.equal(other, here)
        assert correlation(here, other) < 4, name


def test_no_two_places_of_the_sequence_are_correlated():
    r = torch.corrcoef(uniform(KEYS, 64, MASK).double().T)
    worst = (r - torch.eye(64)).abs().max().item() * len(KEYS) ** 0.5
    assert worst < 5  # of 2,016 pairs


def test_each_order_of_patches_is_equally_likely():
    order = uniform(keys(0, 0, torch.arange(20_000)), 16, MASK).argsort(1)
    table = torch.stack([order[:, place].bincount(minlength=16) for place in range(16)])
    # Every row and column adds up, which leaves 15 * 15 degrees of freedom and a variance 15 / 16
    # of the usual.
    assert (
        stats.chi2.sf(stats.chisquare(table.flatten().numpy()).statistic * 15 / 16, 15 * 15) > 1e-3
    )
    pairs = (order[:, 0] * 16 + order[:, 1]).bincount(minlength=256).view(16, 16)
    assert stats.chisquare(pairs[~torch.eye(16, dtype=torch.bool)].numpy()).pvalue > 1e-3


def test_keys_differ_between_seeds_epochs_and_positions():
    position = torch.arange(2000)
    made = torch.cat(
        [keys(seed, epoch, position) for seed in range(10) for epoch in [*range(10), 799, 10**6]]
    )
    assert made.unique().numel() == made.numel()


def test_a_key_draws_what_it_always_drew():
    """Published seeds mean these numbers: whoever changes them changes every run."""
    draws = uniform(keys(seed=3, epoch=7, position=torch.tensor([1, 10**6])), 2, MASK)
    assert (draws * 2**24).tolist() == [[9239454, 14848875], [757675, 10394415]]


def test_what_an_image_draws_depends_on_nothing_but_its_key():
    draws = uniform(KEYS, 32, MASK)
    assert torch.equal(uniform(KEYS[7:9], 32, MASK), draws[7:9])
    assert torch.equal(uniform(KEYS.flip(0), 32, MASK), draws.flip(0))
    assert torch.equal(uniform(KEYS, 5, MASK), draws[:, :5])
    assert torch.equal(keys(0, 3, torch.arange(10, 20)), keys(0, 3, torch.arange(100))[10:20])


def test_keys_of_several_views_are_those_of_each():
    """The first view has the image's own."""
    found = view_keys(KEYS, 0, 4)
    assert torch.equal(found, torch.stack([view_key(KEYS, number) for number in range(4)]))
    assert torch.equal(view_keys(KEYS, 2, 2), found[2:])
    assert torch.equal(found[0], KEYS)
