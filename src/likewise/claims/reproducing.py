"""Trains a claim's arms with every seed, stores each result as soon as it is there, and gives the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from likewise.claims import find_claim
from likewise.claims.arm_training import ArmTrainer
from likewise.claims.claim import Arm, Claim, Replicate, Result
from likewise.claims.claim_page import write_claim_page
from likewise.claims.outcome import ClaimOutcome, judge
from likewise.claims.screens import arms_table, opening
from likewise.errors import EnvironmentIOError, LikewiseError
from likewise.field_types import ABOVE_ZERO, SEED, checked_arguments
from likewise.json_files import read_json, write_json
from likewise.methods import method_name
from likewise.run_folder import RunFolder
from likewise.runs.settings import to_json
from likewise.training.launch import DeviceKind

if TYPE_CHECKING:
    pass

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
    device: DeviceKind = "auto",
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
        device: DeviceKind,
        console: Console,
    ) -> None:
        self.name, self.claim, self.seeds, self.data = name, claim, seeds, data
        self.steps_share, self.out, self.console = steps_share, out, console
        self.trainer = ArmTrainer(data, steps_share, device, console)
        self.arms = {arm.name: _arm_settings(arm) for arm in claim.arms}
        if not seeds or len(set(seeds)) != len(seeds):
            raise LikewiseError(
                f"--seeds {list(seeds)} was given; give one or more, each once, for instance 0 1 2."
            )
        outside = [seed for seed in seeds if seed not in SEED]
        if outside:
            raise LikewiseError(f"--seeds {outside[0]} was given; each must be {SEED}.")
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
            write_json(stored, to_json(self.trainer.train(arm, seed, folder)))
        result = Result(**read_json(stored))
        scores = ", ".join(f"{name} {value:.3f}" for name, value in result.scores.items())
        before = f"{label}, stored: " if known else "  "
        self.console.print(f"{before}{scores} ({result.seconds:.0f} s)", highlight=False)
        return result

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


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower()).strip("-")
