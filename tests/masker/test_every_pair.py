"""What holds for every score with every partition, and with every model."""

from functools import partial

import pytest
import torch

from mim.encoder.beit import Beit
from mim.encoder.vit import ViT
from mim.geometry import Geometry
from mim.loss.term import Term
from mim.masker.attention_store import AttentionStore
from mim.masker.masker import Masker
from mim.masker.partition.adaptive_ratio import AdaptiveRatio
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.partition.random_ratio import RandomRatio
from mim.masker.partition.throw_middle import ThrowMiddle
from mim.masker.partition.thrown_parts import ThrownParts
from mim.masker.score.attention import Attention
from mim.masker.score.attmask import AttMask
from mim.masker.score.block import Block
from mim.masker.score.mst import MST
from mim.masker.score.random import Random
from mim.masker.score.salience import Salience, salience
from mim.model.cae import CAE
from mim.model.decoder import Decoder
from mim.model.latent_decoder import LatentDecoder
from mim.model.mae import MAE
from mim.model.regressor import Regressor
from mim.model.simmim import SimMIM
from mim.target.pixel import Pixel
from tests.slow import slow

GRID = (8, 8)
L = 64


def filled():
    store = AttentionStore()
    store.maps = torch.rand(3, *GRID, generator=torch.Generator().manual_seed(0)).half()
    return store


SCORES = {
    "random": Random,
    "block": lambda: Block(0.5),
    "salience": Salience,
    "attention": lambda: Attention(filled()),
    "attention_unfilled": lambda: Attention(AttentionStore()),
    "attmask": lambda: AttMask(filled()),
    "attmask_low": lambda: AttMask(filled(), hide="least"),
    "attmask_hint": lambda: AttMask(filled(), hint_ratio=0.05),
    "mst": lambda: MST(filled()),
}
PARTITIONS = {
    "fixed_ratio": lambda: FixedRatio(0.75),
    "adaptive_ratio": lambda: AdaptiveRatio(0.6, 0.2),
    "adaptive_ratio_per_batch": lambda: AdaptiveRatio(0.6, 0.2, per="batch"),
    "random_ratio": lambda: RandomRatio(unmasked=0.0),
    "random_ratio_hint": lambda: RandomRatio(unmasked=0.0, hints_from=0.2, per="batch"),
    "throw_middle": lambda: ThrowMiddle(0.45, 0.4),
    "throw_low": lambda: ThrowMiddle(0.44, 0.26, throw="low", rounding="up"),
    "parallel_parts": lambda: ParallelParts(4),
    "thrown_parts": lambda: ThrownParts(2, 0.4),
}
SMALL = {"depth": 1, "heads": 2}
MODELS = {
    "mae": lambda masker: MAE(
        ViT(32, 4, 16, 1, 2), masker, partial(Decoder, width=16, depth=2, heads=2), {"pixel": 48}
    ),
    "simmim": lambda masker: SimMIM(ViT(32, 4, 16, 1, 2), masker, {"pixel": 48}),
    "beit": lambda masker: SimMIM(Beit(32, 4, 16, 1, 2), masker, {"pixel": 48}),
    "cae": lambda masker: CAE(
        Beit(32, 4, 16, 1, 2, "sincos_rows_first"),
        masker,
        partial(Regressor, **SMALL),
        partial(LatentDecoder, **SMALL),
        {"pixel": 48},
    ),
}
every_score = pytest.mark.parametrize("score", SCORES)
every_partition = pytest.mark.parametrize("partition", PARTITIONS)


@pytest.fixture
def batch(batch_of):
    return batch_of(torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def tokens():
    return 0.5 * torch.randn(3, L, 16, generator=torch.Generator().manual_seed(1))


def parts(split):
    """(visible, masked) of every image and part, without padding."""
    for index in range(len(split.visible)):
        for part in range(split.visible.shape[1]):
            sets = ((split.visible, split.visible_valid), (split.masked, split.masked_valid))
            yield tuple(
                i[index, part] if v is None else i[index, part][v[index, part]] for i, v in sets
            )


@every_score
@every_partition
@pytest.mark.parametrize("cell", [1, 2])
def test_sets_are_disjoint_inside_the_grid_and_the_same_for_the_same_keys(
    batch, tokens, score, partition, cell
):
    masker = Masker(SCORES[score](), PARTITIONS[partition](), cell)
    split, again = (masker(batch, GRID, tokens) for _ in range(2))
    for visible, masked in parts(split):
        together = torch.cat([visible, masked])
        assert together.unique().numel() == together.numel()
        assert len(visible)
        assert len(masked)
        assert together.amin() >= 0
        assert together.amax() < L
    for one, other in zip(split, again, strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@every_score
def test_other_keys_give_other_masks_where_chance_decides(batch, tokens, score):
    masker = Masker(SCORES[score](), FixedRatio(0.5))
    first, other = (
        masker(batch._replace(key=key), GRID, tokens).masked.sort(-1).values
        for key in (batch.key, batch.key + 1)
    )
    assert torch.equal(first, other) == (score in {"attmask", "attmask_low"})


@pytest.mark.parametrize(
    ("score", "sign"),
    [("salience", 1), ("attention", 1), ("attmask", 1), ("attmask_low", -1), ("mst", -1)],
)
@pytest.mark.parametrize(
    "partition", ["fixed_ratio", "adaptive_ratio", "throw_middle", "throw_low"]
)
def test_more_salient_patches_are_hidden_more_often(batch_of, tokens, score, sign, partition):
    """Over 1,000 draws for one image; what is meant to hide the least attended does the
    opposite.
    """
    B = 1000
    many = batch_of(torch.zeros(B, 3, 32, 32))._replace(index=torch.zeros(B, dtype=torch.int64))
    masker = Masker(SCORES[score](), PARTITIONS[partition]())
    split = masker(many, GRID, tokens[:1].expand(B, -1, -1))
    often = torch.cat([masked for _, masked in parts(split)]).bincount(minlength=L).double()
    known = salience(tokens[:1])[0] if score == "salience" else masker.score.store.maps[0].flatten()
    correlation = torch.corrcoef(torch.stack([often, known.double()]))[0, 1].item()
    assert sign * correlation > 0.4


@every_score
@every_partition
@pytest.mark.parametrize("model", MODELS)
def test_two_steps_of_training_are_finite_and_no_gradient_reaches_the_masker(
    batch, score, partition, model
):
    torch.manual_seed(0)
    masker = Masker(SCORES[score](), PARTITIONS[partition]())
    rankings = []
    masker.partition.register_forward_pre_hook(lambda module, given: rankings.append(given[0]))
    network, loss = MODELS[model](masker), Term(Pixel(Geometry.of(4, 4)))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        made = network(batch)
        prediction, split = made.prediction, made.split
        value = loss(prediction, batch.image, split)
        value.backward()
        optimizer.step()
        assert value.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    assert not any(ranking.rank.requires_grad for ranking in rankings)


@pytest.mark.parametrize(
    ("score", "partition", "model"),
    [
        ("salience", "adaptive_ratio", "mae"),
        slow("salience", "adaptive_ratio_per_batch", "simmim"),
        ("attention", "throw_middle", "mae"),
        slow("attention", "fixed_ratio", "simmim"),
        slow("attmask_hint", "throw_low", "mae"),
        slow("attmask", "random_ratio", "mae"),
        slow("attmask", "random_ratio_hint", "simmim"),
        slow("mst", "thrown_parts", "simmim"),
        slow("attmask", "parallel_parts", "mae"),
    ],
)
def test_a_step_is_one_graph_that_asks_the_host_nothing_and_is_compiled_once(
    batch, score, partition, model
):
    """A value that the host would have to wait for, or a shape that depends on one, breaks the
    graph.
    """
    network, loss, graphs = (
        MODELS[model](Masker(SCORES[score](), PARTITIONS[partition]())),
        Term(Pixel(Geometry.of(4, 4))),
        [],
    )

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    def step(batch):
        made = network(batch)
        prediction, split = made.prediction, made.split
        return loss(prediction, batch.image, split)

    compiled = torch.compile(step, backend=backend, fullgraph=True)
    for scale in (0.0, 1.0, 3.0):
        given = batch.with_image(batch.image * scale)._replace(key=batch.key + int(scale))
        assert torch.allclose(compiled(given), step(given), atol=1e-6)
    assert len(graphs) == 1
