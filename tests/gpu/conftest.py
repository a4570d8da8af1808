"""Where these tests compute: on the GPU if there is one, or where MIM_TEST_DEVICE says; and in
which precision.
"""

import os
from collections.abc import Callable, Iterator

import pytest
import torch

from mim.batch import Batch
from tests.gpu.precision import PRECISIONS, Precision
from tests.gpu.runs import Processes
from tests.parity.conftest import build_mae  # noqa: F401  # a fixture


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device(
        os.environ.get("MIM_TEST_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    )


@pytest.fixture(scope="session")
def processes(
    device: torch.device, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Processes]:
    """Whole runs, in processes of their own."""
    started = Processes(device.type, tmp_path_factory.mktemp("runs"))
    yield started
    started.end()


@pytest.fixture(scope="session", autouse=True)
def early(request: pytest.FixtureRequest, device: torch.device) -> None:
    """A GPU's computer has cores enough to run them beside the other tests."""
    if device.type == "cuda" and any(
        "processes" in item.fixturenames for item in request.session.items
    ):
        request.getfixturevalue("processes")


@pytest.fixture(autouse=True)
def exact_float32() -> Iterator[None]:
    """No product in TF32 but where a test asks for it, and afterwards as before."""
    with PRECISIONS["float32"].products():
        yield


@pytest.fixture(params=PRECISIONS)
def precision(request: pytest.FixtureRequest) -> Precision:
    return PRECISIONS[request.param]


@pytest.fixture
def batch_there(batch_of: Callable[..., Batch], device: torch.device) -> Callable[..., Batch]:
    """A batch, made on the CPU and sent to the device."""
    return lambda image, epoch=0: batch_of(image.cpu(), epoch).apply(
        lambda column: column.to(device)
    )


@pytest.fixture
def within(record_property: Callable[[str, object], None]) -> Callable[[str, float, float], None]:
    """Write an error down beside its limit, and hold it to that."""

    def check(name: str, error: float, limit: float) -> None:
        record_property(name, f"{error:.2e}")
        record_property(f"{name}_limit", f"{limit:.0e}")
        assert error <= limit, f"{name} {error:.2e} is more than {limit:.0e}"

    return check
