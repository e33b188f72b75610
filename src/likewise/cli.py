"""The command line. Nothing heavy is imported before a command needs it, so that ``--help`` answers at once."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from likewise import __version__
from likewise.errors import LikewiseError, SaidByFirstRank, WrongArgument, did_you_mean

COMMANDS = {
    "advise": "images, labels and a time -> the best classifier that they allow, and how often it will be right",
    "demo": "bundled real images, 2 to all labels a class: what do labels buy? (minutes, on a CPU)",
    "train": "images and however many labels -> an encoder, its scores and a page",
    "pseudo-label": "images with few labels -> a file in which the others have one too, for train",
    "evaluate": "score a run's encoder: nearest neighbours, linear probe, few labels, fine-tuning",
    "embed": "images -> a Parquet file of vectors",
    "predict": "new images -> a table of classes, each with its probability and whether it is sure",
    "search": "the images most similar to a given one",
    "report": "write a run's page again",
    "compare": "several runs on one page: who is better, by how much, and how much sooner",
    "doctor": "corrupt, tiny, duplicate and leaked images, before step 0",
    "verify": "the first steps of a run in one process and in several: are they equal?",
    "pack": "images -> a few large files (tar or Parquet) that train reads in their place",
    "export": "the encoder as files for other tools",
    "reproduce": "check a paper's claim at small scale, three seeds; alone it lists the claims",
    "study": "a paper's explanation simulated in seconds: a table, a picture, and whether it holds",
    "methods": "what each method is and when to choose it; with a name, its settings and presets",
}

USAGE = "\n".join(
    [
        "likewise learns visual similarity from however many labels you have.",
        "",
        "usage: likewise COMMAND ...        likewise COMMAND --help lists a command's options",
        "",
        *(f"  {name:<13}{what}" for name, what in COMMANDS.items()),
        "",
        "  likewise advise photos/ --labels labels.csv --time 20m",
        "  likewise demo",
        "  likewise train photos/ --labels labels.csv",
        "  likewise train photos/ --method suncet --labels 10",
    ]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave with its exit code: 0 done, 1 the machine failed, 2 misuse, 130 interrupted."""
    command, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command in ("-h", "--help", "help"):
        print(USAGE)
        return
    if command in ("-V", "--version", "version"):
        print(f"likewise {__version__}")
        return
    if arguments is None:
        # The process is the command's alone. Fabric would import torchmetrics, and through it transformers and SciPy,
        # to learn a version that only a callback of its own asks for: 1.6 s.
        sys.modules.setdefault("torchmetrics", None)  # type: ignore[arg-type]
    try:
        _command(command)(rest)
    except BaseException as error:
        _leave(command, rest, error)


def _leave(command: str, words: Sequence[str], error: BaseException) -> NoReturn:
    """Say what ended a command, and leave with its exit code.

    Raises:
        SystemExit: of every error that is for people; others are raised again.
    """
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGCHLD"):
        # PyTorch's handler would raise here for a worker that died
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        raise _explained(error)
    except SaidByFirstRank as error:
        _tell_torchrun(str(error))
        raise SystemExit(error.exit_code) from None
    except LikewiseError as error:
        message = f"likewise {command}: {_message(error, command, words)}"
        if not _tell_torchrun(message) or os.environ.get("RANK") == "0":
            print(message, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        print(f"likewise {command}: interrupted.", file=sys.stderr)
        raise SystemExit(130) from None
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # the reader, `head` for instance, has gone
            raise SystemExit(1) from None
        print(f"likewise {command}: {_refusal(error)}", file=sys.stderr)
        raise SystemExit(1) from None


def _tell_torchrun(message: str) -> bool:
    """Leave a message where torchrun looks for it, which ends its report with it; whether torchrun reads it.

    So each process has its say, and all but the first print nothing. The file is described at
    https://docs.pytorch.org/docs/stable/elastic/errors.html.
    """
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not file:
        return False
    found = {"message": message, "extraInfo": {"timestamp": str(int(time.time()))}}
    try:
        Path(file).write_text(json.dumps({"message": found}))
    except OSError:
        return False
    return True


def _message(error: LikewiseError, command: str, words: Sequence[str]) -> str:
    """The error in the command line's words: an argument that was typed as an option is called by it.

    One function is behind several commands, so a message may advise an option of another command; that is said.
    """
    if isinstance(error, WrongArgument) and any(word.startswith(error.option) for word in words):
        return error.as_option
    text = str(error)
    # such as `likewise doctor --all`
    own_advice = re.sub(r"(likewise \w+|pip install) [^,;)]*", "", text)
    named = dict.fromkeys(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z](?!\.?[\w-])", own_advice))
    if command not in COMMANDS or not named:
        return text
    others = [option for option in named if option not in words and option not in _help(command)]
    return f"{text} (likewise {command} has no {', '.join(others)}.)" if others else text


def _help(command: str) -> str:
    """What ``--help`` of a command prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        _command(command)(["--help"])
    return printed.getvalue()


def _explained(error: BaseException) -> BaseException:
    """The error; or what to type, where the cause is a torchvision that does not belong to the installed torch."""
    if not isinstance(error, RuntimeError):
        return error
    try:
        import torchvision  # noqa: F401  # here, because it takes a second
    except RuntimeError as mismatch:
        explained = LikewiseError(
            f"torch and torchvision do not match ({mismatch}). Let the installer choose both together: "
            f"pip install --force-reinstall torch torchvision"
        )
        explained.__cause__ = error
        return explained
    return error


def _refusal(error: OSError) -> str:
    """What the operating system refused, and what to do where its disk is full."""
    from likewise.atomic_write import FULL, disk_error

    if error.errno in FULL and error.filename:
        return str(disk_error(Path(str(error.filename)), error))
    where = f" ({error.filename})" if error.filename else ""
    remedy = " Free some space, then give the command again." if error.errno in FULL else ""
    return f"the operating system refused: {error.strerror or error}{where}.{remedy}"


def _command(name: str) -> Callable[[list[str]], None]:
    if name not in COMMANDS:
        raise LikewiseError(f"there is no such command. {did_you_mean(name, COMMANDS)}")
    from likewise import commands

    return getattr(commands, name.replace("-", "_"))


if __name__ == "__main__":
    main()
