"""Freeze an encoder into a file that runs without this project: ONNX, or a program of
torch.export.
"""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import interpolate

from mim.encoder.encoder import Encoder
from mim.image_format import ImageFormat
from mim.weights.images import IMAGENET

TOLERANCE = 1e-4  # max |file - eager| / max |eager| in float32


def export_encoder(encoder: Encoder, out: Path, to: str, images: ImageFormat = IMAGENET) -> str:
    """Write an encoder, images (B, 3, H, W) -> tokens (B, R + L, D) for any B, and check the file
    on real pictures.

    Args:
        encoder: what to freeze; left in eval mode.
        out: a file; must not exist yet.
        to: one of `EXPORTERS`.
        images: how pictures become images for it, which the file says: `images` in ONNX's metadata,
            or in `extra_files` of a program, as JSON.

    Returns:
        One line about the largest difference from the encoder itself.

    Raises:
        ValueError: where there is something at `out`, a package is missing, or the file gives other
            numbers.
    """
    if out.exists():
        raise ValueError(f"{out} exists already; remove it, or write elsewhere")
    out.parent.mkdir(parents=True, exist_ok=True)
    assert isinstance(encoder, nn.Module)
    size = encoder.geometry.image_size
    run = EXPORTERS[to](
        encoder.eval(), pictures(2, size, images), out, json.dumps(images.to_plain())
    )
    worst = max(_difference(encoder, run, pictures(count, size, images)) for count in (1, 5))
    if not worst < TOLERANCE:
        out.unlink()
        raise ValueError(
            f"the exported encoder differs from the original by {worst:.1e} of the largest value; "
            "nothing is kept"
        )
    return (
        f"differs from the original by at most {worst:.1e} of the largest value, on 1 and on 5 "
        "pictures"
    )


def pictures(count: int, size: tuple[int, int], images: ImageFormat = IMAGENET) -> Tensor:
    """Crops of the photographs that come with scikit-learn, normalised: (count, C, height, width).

    Colours are repeated where images have more channels than three, and some left out where fewer.
    """
    photographs = [
        torch.tensor(image).permute(2, 0, 1)[None] / 255 for image in load_sample_images().images
    ]
    crops = [
        photographs[i % 2][..., 20 * i : 20 * i + 360, 40 * i : 40 * i + 360] for i in range(count)
    ]
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (images.mean, images.std))
    channels = [i % 3 for i in range(images.channels)]
    return torch.cat(
        [
            (interpolate(crop[:, channels], size, mode="bilinear", antialias=True) - mean) / std
            for crop in crops
        ]
    )


def _difference(encoder: Encoder, run: Callable[[Tensor], Tensor], image: Tensor) -> float:
    with torch.no_grad():
        expected = encoder(image)
    return ((run(image) - expected).abs().max() / expected.abs().max()).item()


def _program(
    encoder: nn.Module, example: Tensor, out: Path, images: str
) -> Callable[[Tensor], Tensor]:
    with torch.no_grad():
        program = torch.export.export(
            encoder, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},)
        )
    torch.export.save(program, out, extra_files={"images": images})
    return torch.export.load(out).module()


def _onnx(
    encoder: nn.Module, example: Tensor, out: Path, images: str
) -> Callable[[Tensor], Tensor]:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 (torch.onnx needs it, and says so at length)
    except ModuleNotFoundError as error:
        raise ValueError(f"--to onnx needs {error.name}: pip install -e '.[export]'") from error
    # the fused kernels lay out their result as ONNX's translation of them does not
    with sdpa_kernel(SDPBackend.MATH):
        program = torch.onnx.export(
            encoder,
            (example,),
            input_names=["image"],
            output_names=["tokens"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props["images"] = images
    program.save(out, external_data=False)
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    return lambda image: torch.from_numpy(session.run(["tokens"], {"image": image.numpy()})[0])


EXPORTERS: dict[str, Callable[[nn.Module, Tensor, Path, str], Callable[[Tensor], Tensor]]] = {
    "onnx": _onnx,
    "program": _program,
}
