"""What ``--help`` shows of an option's value."""

import re

import pytest

from likewise.cli import COMMANDS, main


@pytest.mark.parametrize(
    "words", [[name] for name in COMMANDS] + [["train", "--method", "comatch"]]
)
def test_help_names_what_to_type_and_never_none(words, capsys):
    with pytest.raises(SystemExit) as left:
        main([*words, "--help"])
    shown = capsys.readouterr().out
    assert left.value.code == 0
    assert "{None}" not in shown and "(default: None)" not in shown
    assert not re.search(r"(\[-h\]|\[OPTIONS\]|[A-Z]) \[?STR", shown), "a positional has a name"


def test_a_text_is_wrapped_at_the_terminal_and_not_where_the_source_breaks_its_line(
    capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        main(["train", "--method", "suncet", "--help"])
    shown = capsys.readouterr().out
    options = shown[shown.index("--labels STR") :]
    lines = [line.strip("│ ") for line in options.splitlines()]
    assert [line for line in lines if len(line) > 200], "long texts are on one line"
    continued = [
        line
        for line in lines
        if re.match(r"[a-z(]", line) and not re.search(r"\(default: .*\)$", line)
    ]
    assert not [line for line in continued if line.endswith(("a", "the", ","))]
    assert "{fixed}" not in shown, "what cannot be set is not offered"
