"""Damage that would pass: wrong checksums, tensors that are larger than their file, and weights
that are no numbers.
"""

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mim.plain import printable, refuse_special

UNREADABLE = (
    *(
        RuntimeError,
        EOFError,
        ValueError,
        OSError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        AssertionError,
    ),
    *(MemoryError, struct.error, pickle.UnpicklingError),
)
"""What torch raises for files that it did not write."""
# whole numbers that are no weights
_INDICES = ("relative_position_index", "num_batches_tracked", "position_ids")


def check_archive(file: Path) -> None:
    """Compare the checksums of a `.ckpt` or `.pth` file; files of before torch 1.6 have none.

    Raises:
        ValueError: where one differs, or something in it is packed.
    """
    refuse_special(file)
    if not zipfile.is_zipfile(file):
        return
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            packed = [
                entry.filename
                for entry in archive.infolist()
                if entry.compress_type != zipfile.ZIP_STORED
            ]
            broken = None if packed else archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{printable(file)} is cut off or damaged ({printable(error, 100)}); copy it again"
        ) from error
    if any("/code/__torch__" in name for name in names):
        raise ValueError(
            f"{printable(file)} is a program (TorchScript), which is not run; save the state_dict "
            "of what it was made of"
        )
    if packed:
        raise ValueError(
            f"{printable(file)} is packed ({printable(packed[0], 60)}), which torch never does; it "
            "is refused"
        )
    if broken:
        raise ValueError(
            f"{printable(file)} is damaged: the checksum of {printable(broken, 60)} is wrong; copy "
            "it again"
        )


def check_storage(tensors: Mapping[str, Tensor], origin: str) -> None:
    """Refuse tensors that are not what lies in their file, number for number.

    Raises:
        ValueError: naming one.
    """
    for name, tensor in tensors.items():
        plain = (
            tensor.layout == torch.strided
            and tensor.device.type == "cpu"
            and not tensor.is_quantized
        )
        if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ValueError(
                f"{printable(origin)}: {printable(name, 100)} is sparse, quantised or larger than "
                "what the file holds"
            )


def check_numbers(tensors: Mapping[str, Tensor], origin: str) -> None:
    """Refuse weights that are no finite real numbers.

    Raises:
        ValueError: naming one.
    """
    for name, tensor in tensors.items():
        where = f"{printable(origin)}: {printable(name, 100)}"
        if not tensor.is_floating_point():
            if name.endswith(_INDICES):
                continue
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ValueError(
                f"{where} is {kind}, and weights are real numbers; take the weights before they "
                "were converted"
            )
        finite = tensor if tensor.element_size() > 1 else tensor.float()
        if not finite.isfinite().all():
            raise ValueError(
                f"{where} holds NaN or infinity: that training had failed; take an earlier "
                "checkpoint of it"
            )
