"""Image size and patch size that are proposed for small pictures."""

import pytest

from mim.data.proposed_size import proposed_size


@pytest.mark.parametrize(
    ("sizes", "image", "patch"),
    [
        ([(28, 28)], 28, 4),
        ([(48, 48)], 48, 6),
        ([(64, 64)], 64, 8),
        ([(96, 96), (96, 200), (200, 96)], 96, 12),
        ([(32, 96), (32, 96)], (32, 96), 4),
        ([(200, 200)], 192, 16),
        ([(30, 30)], 30, 3),
        ([(31, 31)], 28, 4),
        ([(30, 100)], (28, 100), 4),
        ([(6, 6)], 6, 1),
        ([(32, 320)], 32, 4),
    ],
)
def test_patches_divide_the_image(sizes, image, patch):
    found = proposed_size(sizes)
    assert (found.image, found.patch) == (image, patch)


@pytest.mark.parametrize("sizes", [[], [(224, 224)], [(300, 500), (20, 20), (400, 300)]])
def test_large_pictures_need_none(sizes):
    assert proposed_size(sizes) is None
