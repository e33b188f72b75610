"""Properties that hold for every input: a few inputs in each run of the tests, many in the slow ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy


def holds(
    *strategies: SearchStrategy[Any], few: int = 10, many: int = 300
) -> Callable[[Callable[..., None]], Any]:
    """A test of a check that takes a value of each strategy; the same values every time."""

    def decorate(check: Callable[..., None]) -> Any:
        @pytest.mark.parametrize("examples", [few, pytest.param(many, marks=pytest.mark.slow)])
        def test(examples: int) -> None:
            tried = settings(
                max_examples=examples, derandomize=True, database=None, deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            )  # fmt: skip
            tried(given(*strategies)(check))()

        test.__name__ = check.__name__
        return test

    return decorate
