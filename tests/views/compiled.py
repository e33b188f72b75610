import pytest

from likewise.views.native import library


def skip_without_compiled_code() -> None:
    """Says why, where there is none."""
    if library.library() is None:
        pytest.skip(f"no compiled views here: {library.why_not()}")
