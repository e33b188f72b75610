import pytest
from compiled import skip_without_compiled_code

from likewise.views.image import batched
from likewise.views.native import views as native

WAYS = ["batched", "compiled"]


@pytest.fixture(scope="session", params=WAYS)
def make(request):
    """Each implementation that makes views: (images, params, size) -> pixels."""
    if request.param == "batched":
        return batched.make
    skip_without_compiled_code()
    return native.make


@pytest.fixture(params=WAYS)
def way(request, monkeypatch) -> str:
    """Policies make their views in each way."""
    monkeypatch.setenv("LIKEWISE_NATIVE", "1" if request.param == "compiled" else "0")
    if request.param == "compiled":
        skip_without_compiled_code()
    return request.param
