"""What a screen writes to a run's log, and that it leaves no file open."""

import gc
import warnings

from likewise.training.screen import Screen


def test_a_log_holds_what_was_said_once_it_is_kept_and_stays_closed(tmp_path):
    log = tmp_path / "train.log"
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        screen = Screen(None)
        screen.say("before")
        screen.keep(log)
        screen.say("[b]one[/b]")
        screen.note("two")
        del screen
        gc.collect()
    assert log.read_text().split() == ["one", "two"]
    assert [each for each in seen if each.category is ResourceWarning] == []
