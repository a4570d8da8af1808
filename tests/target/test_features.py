"""The tokens of a teacher's last blocks, normalised, averaged, and normalised again."""

import pytest
import torch

from mim.loss.term import Term
from mim.masker.split import Split
from mim.target.features import NORMS, Features
from mim.target.target import FollowingTarget, Paintable


class Fixed:
    """Teacher of three blocks whose tokens are known; a prefix token comes first."""

    depth, prefix = 3, 1

    def __init__(self, B=2, L=4, D=3):
        torch.manual_seed(0)
        self.tokens = torch.randn(self.depth, B, 1 + L, D)

    def __call__(self, image, blocks, through=None, added=False, normed=False):
        left = [self.tokens[number - 1] for number in blocks]
        return [self.norm(x) for x in left] if normed else left


def split(*places):
    masked = torch.tensor(places).expand(2, 1, -1)
    return Split(visible=torch.zeros(2, 1, 1, dtype=torch.int64), masked=masked)


IMAGE = torch.zeros(2, 3, 8, 8)


def test_without_norms_it_is_the_mean_of_the_last_blocks_at_masked_patches():
    teacher = Fixed()
    target = Features(2, each=[], mean=[])(IMAGE, split(3, 1), teacher)
    # cls first, then patches
    assert torch.allclose(target[:, 0], teacher.tokens[1:].mean(0)[:, [4, 2]])


def test_each_norm_stands_where_it_is_asked_for():
    teacher = Fixed()
    x = teacher.tokens[:, :, 1:]

    def layer(x):
        return (x - x.mean(-1, keepdim=True)) / (
            x.var(-1, unbiased=False, keepdim=True) + 1e-5
        ).sqrt()

    def over(x, *dims):
        return (x - x.mean(dims, keepdim=True)) / (
            x.var(dims, unbiased=False, keepdim=True) + 1e-5
        ).sqrt()

    expected = {
        (("layer",), ("layer",)): layer(layer(x).mean(0)),
        (("layer",), ()): layer(x).mean(0),
        (("instance", "layer"), ()): layer(over(x, 2)).mean(0),
        (("batch",), ("instance",)): over(over(x, 1, 2).mean(0), 1),
    }
    for (each, mean), value in expected.items():
        made = Features(3, each, mean)(IMAGE, split(0, 1, 2, 3), teacher)[:, 0]
        assert torch.allclose(made, value, atol=1e-5), (each, mean)


@pytest.mark.parametrize("norm", NORMS)
def test_scale_and_shift_of_the_teachers_tokens_do_not_matter_after_a_norm(norm):
    teacher, target = Fixed(), Features(1, each=[norm], mean=[], eps=1e-12)
    before = target(IMAGE, split(0, 2), teacher)
    teacher.tokens = 5 * teacher.tokens + 3
    assert torch.allclose(target(IMAGE, split(0, 2), teacher), before, atol=1e-4)


def test_it_is_a_target_that_follows_a_teacher_and_no_picture():
    assert isinstance(Features(), FollowingTarget)
    assert not isinstance(Features(), Paintable)
    assert Term(Features()).needs_teacher


def test_half_precision_tokens_are_averaged_in_single():
    teacher = Fixed()
    teacher.tokens = teacher.tokens.bfloat16()
    assert Features(3)(IMAGE, split(0), teacher).dtype == torch.float32


def test_more_blocks_than_the_teacher_has_are_refused():
    with pytest.raises(
        ValueError,
        match=r"the last 6 blocks of a teacher that has 3; e\.g\. loss\.target\.blocks=3",
    ):
        Features(6)(IMAGE, split(0), Fixed())


def test_it_is_never_compared_with_without_a_teacher():
    with pytest.raises(
        ValueError, match="Features is made of a teacher's tokens and was given no teacher"
    ):
        Term(Features(1))(torch.zeros(2, 1, 1, 3), IMAGE, split(0))


def test_the_final_norm_of_the_teacher_comes_first():
    teacher = Fixed()
    teacher.norm = torch.nn.LayerNorm(3)
    torch.nn.init.normal_(teacher.norm.weight)
    made = Features(1, [], [], final_norm=True)(IMAGE, split(3, 1), teacher)[:, 0]
    assert torch.allclose(made, teacher.norm(teacher.tokens[2])[:, [4, 2]])


def test_the_final_norm_of_several_blocks_is_refused():
    with pytest.raises(
        ValueError,
        match=r"final_norm is the norm of the teacher's last block, and blocks=2 are averaged",
    ):
        Features(2, final_norm=True)


def test_what_feed_forward_networks_add_is_asked_of_the_teacher():
    class Adds(Fixed):
        def __call__(self, image, blocks, through=None, added=False, normed=False):
            return [self.tokens[number - 1] * (2 if added else 1) for number in blocks]

    plain, added = (
        Features(2, each=[], mean=[], of=of)(IMAGE, split(0, 3), Adds())
        for of in ("block", "feed_forward")
    )
    assert torch.equal(added, 2 * plain)


def test_what_is_added_passes_no_final_norm():
    with pytest.raises(ValueError, match=r"of=feed_forward; give loss\.target\.of=block"):
        Features(1, final_norm=True, of="feed_forward")
