"""What ``--help`` shows of an option's value."""

import re

import pytest

from likewise.cli import COMMANDS, main


@pytest.mark.parametrize("words", [[name] for name in COMMANDS] + [["train", "--method", "comatch"]])
def test_help_names_what_to_type_and_never_none(words, capsys):
    with pytest.raises(SystemExit) as left:
        main([*words, "--help"])
    shown = capsys.readouterr().out
    assert left.value.code == 0
    assert "{None}" not in shown and "(default: None)" not in shown
    assert not re.search(r"(\[-h\]|\[OPTIONS\]|[A-Z]) \[?STR", shown), "a positional has a name"
