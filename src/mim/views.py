"""What two networks make of several views of each image, for losses that compare them."""

from typing import NamedTuple

from torch import Tensor

from mim.masker.split import MaskedPatches, Split


class Seen(NamedTuple):
    """What a teacher makes of the views that it sees, whole: V of each of B images, view by
    view.
    """

    cls: Tensor
    """(V, B, P), what its head makes of each cls token."""
    patch: Tensor | None = None
    """(V * B, L, F), what the last layer of its head is given of each patch: P is too many values
    to keep of all of them.
    """
    weight: Tensor | None = None
    """(P, F), that last layer."""
    bias: Tensor | None = None
    """(P,), where it has one."""
    attention: Tensor | None = None
    """(V * B, A, rows, columns), what the cls token attends to in the last block, where that was
    asked for.
    """


class Shown(NamedTuple):
    """What a student makes of all views of B images, of which it may see a part."""

    cls: Tensor
    """(V, B, P), of each view: first those that a teacher sees as well."""
    patch: Tensor | None = None
    """(N, P), of the masked patches of the views that a teacher sees as well."""
    masked: MaskedPatches | None = None
    """Which they are."""
    split: Split | None = None
    """What was masked in those: V * B images."""
