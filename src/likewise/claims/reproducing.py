"""Trains a claim's arms with every seed, stores each result as soon as it is there, and gives the verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from likewise.claims import find_claim
from likewise.claims.claim import ONLINE, Arm, Claim, Replicate, Result
from likewise.claims.claim_page import write_claim_page
from likewise.claims.measures import TrainedArm
from likewise.claims.outcome import ClaimOutcome, judge
from likewise.claims.screens import arms_table, opening
from likewise.counts import amount
from likewise.data.loader import Loader
from likewise.errors import EnvironmentIOError, LikewiseError
from likewise.evaluation.evaluation import EvaluationSettings
from likewise.field_types import ABOVE_ZERO, checked_arguments
from likewise.json_files import read_json, write_json
from likewise.methods import Nets, method_name
from likewise.run_folder import RunFolder
from likewise.runs.networks import build_nets
from likewise.runs.prepare import prepare
from likewise.runs.prepared import Prepared
from likewise.runs.settings import to_json
from likewise.runs.train_run import online_scores, run_training
from likewise.training import Interrupted, LoopSettings, TrainingState, train
from likewise.training.launch import environment, launch
from likewise.training.screen import Screen

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Device = Literal["auto", "cpu", "cuda", "mps"]

VARIED = (
    "seed",
    "out",
    "overwrite",
    "resume",
    "loggers",
    "num_workers",
    "device",
    "devices",
    "save_every",
)
"""settings that the reproduction sets, not the arm"""

NO_EVIDENCE = "not evidence: seeds, steps or data are not the claim's"


@checked_arguments(steps_share=ABOVE_ZERO)
def reproduce(
    claim: str | Claim,
    seeds: Sequence[int] | None = None,
    data: Any = None,
    steps_share: float = 1.0,
    out: str | Path | None = None,
    keep: str | Path | None = None,
    overwrite: bool = False,
    device: Device = "auto",
    console: Console | None = None,
) -> ClaimOutcome:
    """Test a published claim at small scale: train its arms with every seed, and check its inequalities.

    Each result is stored as soon as it is there, so the same call continues an interrupted one.

    Args:
        claim: a name from `likewise.claims.CLAIMS`, or a claim of your own.
        seeds: None: the claim's own, which evidence needs.
        data: the data set; None: the claim's own.
        steps_share: share of the claim's steps to train for; below 1 the outcome is no evidence.
        out: folder of the runs, the page and ``outcome.json``; None: ``runs/claims/<name>``.
        keep: a folder to store ``<name>.json`` in, if the outcome is evidence.
        overwrite: replace an earlier reproduction in ``out``.
        device: where to compute.
        console: where progress is printed; None prints nothing.

    Raises:
        LikewiseError: an argument cannot be used, or ``out`` holds a reproduction with other settings.
        Interrupted: stopped by Ctrl-C or a scheduler, with everything saved.
    """
    about = find_claim(claim) if isinstance(claim, str) else claim
    name = claim.lower().replace("_", "-") if isinstance(claim, str) else "unnamed"
    reproduction = Reproduction(
        name,
        about,
        tuple(seeds) if seeds is not None else about.seeds,
        about.data if data is None else data,
        steps_share,
        Path(out or Path("runs") / "claims" / name),
        device,
        console or Console(quiet=True),
    )
    return reproduction.run(None if keep is None else Path(keep), overwrite)


class Reproduction:
    """One claim's arms and seeds, in a folder."""

    def __init__(
        self,
        name: str,
        claim: Claim,
        seeds: tuple[int, ...],
        data: Any,
        steps_share: float,
        out: Path,
        device: Device,
        console: Console,
    ) -> None:
        self.name, self.claim, self.seeds, self.data = name, claim, seeds, data
        self.steps_share, self.out, self.console = steps_share, out, console
        self.device: Device = device
        self.arms = {arm.name: _arm_settings(arm) for arm in claim.arms}
        if not seeds or len(set(seeds)) != len(seeds):
            raise LikewiseError(
                f"--seeds {list(seeds)} was given; give one or more, each once, for instance 0 1 2."
            )
        if not 0 < steps_share <= 1:
            raise LikewiseError(
                f"--steps-share {steps_share} was given; it must be above 0 and at most 1."
            )

    def run(self, keep: Path | None, overwrite: bool) -> ClaimOutcome:
        """Train the arms and seeds that have no result yet; then write the verdict, the page and the JSON."""
        if keep is not None:
            self._require_evidence()
        self._enter(overwrite)
        data = str(self.data)
        self.console.print(opening(self.name, self.claim, self.seeds, data, self.steps_share))
        replicates = [self._replicate(seed) for seed in self.seeds]
        results: list[Result] = []
        for replicate in replicates:
            results += replicate.results.values()
        statements = [judge(statement, replicates) for statement in self.claim.statements]
        share, seeds = self.steps_share, self.seeds
        outcome = ClaimOutcome(
            self.name, self.claim, data, share, seeds, self.arms, results, statements
        )
        self._write(outcome, keep)
        return outcome

    def _replicate(self, seed: int) -> Replicate:
        results = {}
        before = self.seeds.index(seed) * len(self.claim.arms)
        total = len(self.seeds) * len(self.claim.arms)
        for number, arm in enumerate(self.claim.arms, start=before + 1):
            results[arm.name] = self._result(
                arm, seed, f"{number} of {total}  {arm.name}, seed {seed}"
            )
        return Replicate(seed, results)

    def _result(self, arm: Arm, seed: int, label: str) -> Result:
        """The stored result, or else the result of training now."""
        folder = RunFolder(self.out / f"{_file_name(arm.name)}-seed-{seed}")
        stored = folder.path / "result.json"
        known = stored.exists()
        if not known:
            self.console.print(f"[bold]{label}[/bold]", highlight=False)
            folder.create(resume=True)
            write_json(stored, to_json(self._train(arm, seed, folder)))
        result = Result(**read_json(stored))
        scores = ", ".join(f"{name} {value:.3f}" for name, value in result.scores.items())
        before = f"{label}, stored: " if known else "  "
        self.console.print(f"{before}{scores} ({result.seconds:.0f} s)", highlight=False)
        return result

    def _train(self, arm: Arm, seed: int, folder: RunFolder) -> Result:
        """Train an arm, then measure it."""
        settings = replace(arm.settings, seed=seed, device=self.device, devices=1, loggers=())
        method = arm.method
        if arm.teacher is not None:
            teacher = self._train_teacher(arm.teacher, seed, folder)
            method = replace(method, teacher=str(teacher))  # type: ignore[call-arg]
        prepared = prepare(self.data, settings, method, arm.recipe)
        self._require_whole_batches(arm.name, prepared)
        fabric, precision = launch(self.device, devices=1, precision=settings.precision)
        loader = prepared.loader()
        nets, state = self._learn(fabric, prepared, loader, folder)
        trained = TrainedArm(self.data, prepared, nets, fabric.device)
        scores: dict[str, float] = {}
        since = time.perf_counter()
        for measure in arm.measures:
            scores |= measure(trained)
        return Result(
            arm=arm.name,
            seed=seed,
            scores=scores,
            curve=_curve(folder, loader.steps_per_epoch),
            steps=state.step,
            epochs=state.step / loader.steps_per_epoch,
            images=state.images,
            seconds=state.seconds,
            evaluation_seconds=time.perf_counter() - since,
            environment=environment(fabric, precision),
        )

    def _require_whole_batches(self, arm: str, prepared: Prepared) -> None:
        """Refuse data that have fewer training images than the claim's batches, which are not to be chosen here."""
        images, batch_size = len(prepared.train_indices), prepared.batch_size
        if images >= batch_size or prepared.method.card.labelled_only:  # which repeats what it has
            return
        raise LikewiseError(
            f"{self.data} has {amount(images, 'training image')}, but {arm} learns from batches of {batch_size:,}, as "
            f"the claim says. Give more images with --data, or leave --data out."
        )

    def _train_teacher(self, arm: Arm, seed: int, folder: RunFolder) -> Path:
        """The run that a distillation arm learns from, in a folder inside its own; trained if it is not there yet."""
        out = RunFolder(folder.path / "teacher")
        if out.report.exists():
            return out.path
        prepared = prepare(self.data, arm.settings, arm.method, arm.recipe)
        self._require_whole_batches(arm.name, prepared)
        settings = replace(
            arm.settings,
            seed=seed,
            device=self.device,
            devices=1,
            loggers=(),
            out=str(out.path),
            resume=out.config.exists(),
            steps=self._steps(prepared),
        )
        again, measures = "the same command", EvaluationSettings(few_label=None)
        run_training(self.data, settings, arm.method, arm.recipe, self.console, again, measures)
        return out.path

    def _learn(
        self, fabric: Fabric, prepared: Prepared, loader: Loader, folder: RunFolder
    ) -> tuple[Nets, TrainingState]:
        """Train as any run does, from the checkpoint if there is one."""
        nets, settings, steps = build_nets(prepared), prepared.settings, self._steps(prepared)
        every = max(steps // settings.num_evals, 1) if settings.num_evals else 0
        plan = LoopSettings(steps, settings.seed, eval_every=every, save_every=max(steps // 4, 1))
        online, screen = online_scores(prepared, fabric.device), Screen(self.console)
        try:
            state = train(
                fabric, prepared.method, nets, loader, prepared.recipe, plan, folder, online, screen
            )
        except Interrupted as stop:
            raise Interrupted(
                f"{stop} Everything is saved; the same command continues from there."
            ) from None
        return nets, state

    def _steps(self, prepared: Prepared) -> int:
        """Optimiser steps of an arm, at the share of the claim's steps that was requested."""
        return max(round(self.steps_share * prepared.steps(prepared.loader())), 2)

    def _enter(self, overwrite: bool) -> None:
        """Use the folder, which must be empty or hold a reproduction of the same claim with the same settings."""
        record = self.out / "reproduction.json"
        # Results of a longer and of a shorter run, or of other settings, must never end up in one table.
        settings = {
            "claim": self.name,
            "data": str(self.data),
            "steps_share": self.steps_share,
            "arms": self.arms,
        }
        if record.exists() and overwrite:
            for file in self.out.glob("*-seed-*/**/*"):
                if file.is_file():
                    file.unlink()
        else:
            self._require_same(record, settings)
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            write_json(record, settings)
        except OSError as error:
            raise EnvironmentIOError(
                f"Cannot write {self.out}: {error.strerror or error}. Choose another --out."
            ) from error

    def _require_same(self, record: Path, settings: Mapping[str, Any]) -> None:
        """Refuse a folder of something else, or of other settings."""
        if record.exists() and read_json(record) != settings:
            raise LikewiseError(
                f"{self.out} holds a reproduction of {read_json(record).get('claim')!r} with other settings, and "
                f"results of different settings do not belong together. Choose another --out, or replace it with "
                f"--overwrite."
            )
        if not record.exists() and self.out.exists() and any(self.out.iterdir()):
            raise LikewiseError(
                f"{self.out} is not empty and holds no reproduction. Choose another --out."
            )

    def _require_evidence(self) -> None:
        whole = self.steps_share == 1 and self.data == self.claim.data
        if not whole or not set(self.seeds) >= set(self.claim.seeds):
            raise LikewiseError(
                f"--keep stores evidence only: all steps, the claim's own data ({self.claim.data}) and its seeds "
                f"({', '.join(map(str, self.claim.seeds))}). Leave out --keep, or leave out --steps-share, --data and "
                f"--seeds."
            )

    def _write(self, outcome: ClaimOutcome, keep: Path | None) -> None:
        content = outcome.to_json()
        write_json(self.out / "outcome.json", content)
        page = write_claim_page(content, self.out / "report.html")
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            write_json(keep / f"{self.name}.json", content)
        self.console.print(arms_table(content))
        for statement in outcome.statements:
            self.console.print(str(statement), highlight=False)
        note = "" if outcome.is_evidence else f" ({NO_EVIDENCE})"
        verdict = f"[bold]{outcome.verdict}[/bold]{note}: {self.claim.sentence}"
        stored = f"evidence  {keep / self.name}.json\n" if keep is not None else ""
        files = f"page  {page}\n{stored}file  {self.out / 'outcome.json'}"
        self.console.print(f"\n{verdict}\n\n{files}", highlight=False)


def _arm_settings(arm: Arm) -> dict[str, Any]:
    """Every setting of an arm, as JSON."""
    settings = {name: value for name, value in to_json(arm.settings).items() if name not in VARIED}
    measures = [{"name": type(measure).__name__, **to_json(measure)} for measure in arm.measures]
    teacher = {"teacher": _arm_settings(arm.teacher)} if arm.teacher else {}
    return {
        "method": {"name": method_name(arm.method), "settings": to_json(arm.method)},
        "recipe": to_json(arm.recipe or arm.method.card.recipe),
        "settings": settings,
        "measures": measures,
        **teacher,
    }


def _curve(folder: RunFolder, steps_per_epoch: int) -> list[dict[str, float]]:
    """The online scores that were logged, each with its cost."""
    return [
        {
            "step": line["step"],
            "epochs": line["step"] / steps_per_epoch,
            "images": line["images"],
            "seconds": line["seconds"],
            ONLINE: line[ONLINE],
        }
        for line in folder.metric_lines()
        if ONLINE in line
    ]


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower()).strip("-")
