"""The teacher of a distillation method: the networks of a finished run."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from likewise.encoders import EncoderSettings
from likewise.errors import LikewiseError
from likewise.json_files import read_json, reading
from likewise.methods import Method, method_name
from likewise.methods.distillation import DistillationMethod, Teacher
from likewise.report.pictures.gallery import read_gallery
from likewise.run_folder import RunFolder
from likewise.runs.trained import load_trained, method_of


def require_teacher(method: Method | None) -> None:
    """Refuse a method that needs a teacher and names none, with the two commands to type.

    Raises:
        LikewiseError: no teacher is named.
    """
    if not isinstance(method, DistillationMethod) or method.teacher or not method.requires_teacher:
        return
    name = method_name(method)
    raise LikewiseError(
        f"{method.card.title} learns from a trained run: --method.teacher RUN is required. Type two commands:\n"
        f"  likewise train DATA --method {method.trains_teacher} --encoder LARGER --out runs/teacher\n"
        f"  likewise train DATA --method {name} --method.teacher runs/teacher"
    )


def load_teacher(
    path: str, method: DistillationMethod, encoder: EncoderSettings, classes: Sequence[str]
) -> Teacher:
    """The networks of a finished run, if they can teach on these images.

    Args:
        path: the run's folder.
        method: the method that learns from it.
        encoder: the student's.
        classes: names of the classes in the student's data.

    Raises:
        LikewiseError: the folder holds no finished run, its method cannot teach the student's, or its images differ.
    """
    run = RunFolder(path)
    method.check_teacher(method_of(run))
    trained = load_trained(run.path)
    compared = {
        "colour channels": (trained.encoder.channels, encoder.channels),
        "pixels along a side": (trained.encoder.image_size, encoder.image_size),
        "classes": (trained.class_names, tuple(classes)),
    }
    differences = [
        f"{what}: {_listed(teacher)} in {run.path}, {_listed(student)} here"
        for what, (teacher, student) in compared.items()
        if teacher != student
    ]
    if differences:
        raise LikewiseError(
            f"The run {run.path} cannot teach on these images ({'; '.join(differences)}). Give --method.teacher a run "
            f"on the same classes and --image-size."
        )
    return Teacher(trained.method, trained.nets)


def check_teacher_leakage(path: str, source: str, train_ids: Collection[str]) -> str:
    """A warning where the teacher was trained on other splits of the same data; empty where there is no leakage.

    Where the data have no test split, the held-out images depend on the seed and on ``test_fraction``. The images that
    the teacher was tested on are in its gallery; none of them may be in the student's training images.

    Args:
        path: the teacher's folder.
        source: of the student's data.
        train_ids: of the student's training images.
    """
    run = RunFolder(path)
    if not run.gallery.exists():
        return ""
    with reading(run.data):
        if read_json(run.data)["source"] != source:
            return ""
    missing: list[str] = []
    gallery = read_gallery(run.gallery, missing)
    if gallery is None:
        return f"Whether the teacher saw images that are tested on here is not known: {run.path}: {missing[0]}"
    tested = set(gallery.ids)
    if tested.isdisjoint(train_ids):
        return ""
    return (
        f"The teacher in {run.path} held out other test images, so it has learned from some of those that it and its "
        f"student are scored on here. Give the same --seed and --test-fraction as for that run."
    )


def _listed(value: int | tuple[str, ...]) -> str:
    if isinstance(value, int):
        return str(value)
    more = f", ... ({len(value)})" if len(value) > 6 else ""
    return (", ".join(value[:6]) + more) or "none"
