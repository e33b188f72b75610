"""Names and numbers in messages."""

import pytest

from likewise.counts import first_of


@pytest.mark.parametrize(
    ("count", "said"),
    [(1, "0"), (2, "0, 1"), (3, "0, 1 and 1 more"), (1502, "0, 1 and 1,500 more")],
)
def test_the_first_names_are_followed_by_how_many_more_there_are(count, said):
    assert first_of([str(name) for name in range(count)], 2) == said
