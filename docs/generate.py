"""Write the pages that are made from the code, the outcomes of claims and the benchmarks' last results."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from likewise.claims import CLAIMS, outcome, screens
from likewise.counts import amount
from likewise.methods import METHODS, Method
from likewise.report.describe import (
    format_setting,
    needs_of,
    setting_docs,
    settings_of,
    training_of,
)

FOLDER = Path(__file__).parent

HEADER = """# Methods

Made by `make docs` from the code. Every setting can be changed from the command line (`--method.temperature 0.1`) and
from Python (`SimCLR(temperature=0.1)`); so can the recipe (`--recipe.learning-rate 0.1`). The defaults are for short
runs on small images. `--preset small`, `middle` or `imagenet` starts from what the authors ran, where they ran it, and
options that are given win over it.
"""


def section(name: str, kind: type[Method]) -> str:
    """One method: idea, source, settings, recipe."""
    settings, recipe = kind(), kind.card.recipe
    rows = [
        f"| `{setting}` | `{format_setting(getattr(settings, setting))}` | {text} |"
        for setting, text in setting_docs(kind).items()
    ]
    training = ", ".join(
        f"{field.name} {getattr(recipe, field.name)}" for field in dataclasses.fields(recipe)
    )
    about = inspect.cleandoc(kind.__doc__ or "")
    table = ["| setting | default | what it is |", "| --- | --- | --- |", *rows]
    return "\n".join(
        [
            f"## {kind.card.title} (`{name}`)",
            "",
            f"{kind.card.idea} Choose it when {kind.card.choose_when}.",
            "",
            about,
            "",
            f"Needs {needs_of(kind)}. Recipe: {training}.",
            "",
            *table,
            "",
            f"Presets: {', '.join(f'`{preset}`' for preset in kind.card.presets)}; "
            f"[they, the steps, and where it differs](methods/{name}.md).",
            "",
        ]
    )


def methods_page() -> str:
    """The whole page."""
    return HEADER + "\n" + "\n".join(section(name, kind) for name, kind in sorted(METHODS.items()))


BEGIN, END = "<!-- presets, made by `make docs` -->", "<!-- end of presets -->"


def presets_table(kind: type[Method]) -> str:
    """A method's presets, what each changes and who says so."""
    lines = ["| `--preset` | for | training | settings | from |", "| --- | --- | --- | --- | --- |"]
    for name, preset in kind.card.presets.items():
        settings = ", ".join(f"`{setting}`" for setting in settings_of(preset)) or "the defaults"
        lines.append(
            f"| `{name}` | {preset.images} | {training_of(preset)} | {settings} | {preset.source} |"
        )
    return "\n".join(lines)


def method_page(name: str) -> str:
    """A method's own page with its table of presets renewed; all else is written by hand.

    Raises:
        ValueError: the page has no place for the table.
    """
    return renew(FOLDER / "methods" / f"{name}.md", BEGIN, END, presets_table(METHODS[name]))


def renew(page: Path, begin: str, end: str, content: str) -> str:
    """A page written by hand, with what stands between two lines replaced.

    Raises:
        ValueError: the page lacks one of the lines.
    """
    written = page.read_text()
    if written.count(begin) != 1 or written.count(end) != 1:
        raise ValueError(f"{page} needs one line {begin!r} and below it one line {end!r}")
    before, _, rest = written.partition(begin)
    after = rest.partition(end)[2]
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


DEMO_BEGIN, DEMO_END = "<!-- demo, made by `make docs` -->", "<!-- end of demo -->"


def label_dial_page() -> str:
    """The page about label budgets with the demo's table of accuracies renewed; all else is written by hand."""
    summary = (FOLDER.parent / "evidence" / "demo" / "README.md").read_text()
    table = [line for line in summary.splitlines() if line.startswith("|")]
    caption = "Accuracy on 2,000 test images, mean over three seeds (each seed). From `evidence/demo/README.md`."
    return renew(FOLDER / "label-dial.md", DEMO_BEGIN, DEMO_END, "\n".join([caption, "", *table]))


AIMS_BEGIN, AIMS_END = "<!-- aims, made by `make docs` -->", "<!-- end of aims -->"
BENCHMARKS = FOLDER.parent / "benchmarks" / "results"


def gpu_page() -> str:
    """The page about GPUs with its table of aims renewed; all else is written by hand."""
    return renew(FOLDER / "gpu.md", AIMS_BEGIN, AIMS_END, aims_table(BENCHMARKS))


def aims_table(results: Path) -> str:
    """The aims of every section that a GPU has measured, each with its GPU and day."""
    lines = ["| aim | measured | | GPU, day |", "| --- | --- | --- | --- |"]
    for file in sorted(results.glob("on_gpu_*.json")):
        stored = json.loads(file.read_text())
        where = f"{stored['measured']['device']}, {stored['measured']['day']}"
        lines += [f"{target_row(claim)} {where} |" for claim in stored["claims"]]
    return "\n".join(lines)


def target_row(claim: dict[str, Any]) -> str:
    """A target, what was measured, and whether it holds."""
    verdict = f"{claim['verdict']} {claim['note']}".strip()
    return f"| {claim['claim']} | {figure(claim['measured'])} | {verdict} |"


PERFORMANCE = """# Performance

Made by `make docs` from the last results of the scripts under `benchmarks/`. Each runs likewise and the
baselines interleaved in one process; a number is the median of the rounds. `pip install -e ".[bench]"` installs the
baselines. What could not be measured is listed as not measured.
"""


def performance_page() -> str:
    """The whole page."""
    files = sorted(BENCHMARKS.glob("*.json"))
    return (
        PERFORMANCE
        + "\n"
        + "\n".join(benchmark(file.stem, json.loads(file.read_text())) for file in files)
    )


def benchmark(name: str, stored: dict[str, Any]) -> str:
    """One benchmark: where and when, its tables and its targets."""
    measured = dict(stored["measured"])
    versions = ", ".join(
        f"{package} {number}" for package, number in measured.pop("versions").items()
    )
    command = measured.pop("command", f"python benchmarks/{name}.py")
    facts = "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in measured.items())
    lines = [f"## {stored['title']}", "", f"`{command}`. {facts}; {versions}.", ""]
    for table in stored["tables"]:
        lines += table_lines(table)
    if stored["claims"]:
        lines += ["| target | measured | |", "| --- | --- | --- |"]
        lines += [*map(target_row, stored["claims"]), ""]
    return "\n".join(lines)


def table_lines(table: dict[str, Any]) -> list[str]:
    """One table of a benchmark, its title above and its notes below."""
    columns, notes = table["columns"], table["notes"]
    lines = [f"**{table['title']}**", "", f"| {' | '.join(columns)} |"]
    lines += [f"| {' | '.join('---' for _ in columns)} |"]
    lines += [f"| {' | '.join(row)} |" for row in table["rows"]]
    return [*lines, "", *[f"{note}  " for note in notes], *([""] if notes else [])]


SCALE_BEGIN, SCALE_END = (
    "<!-- transformers, made by `make docs` -->",
    "<!-- end of transformers -->",
)


def scale_page() -> str:
    """The page about many GPUs with the counts of vision transformers renewed; all else is written by hand."""
    stored = FOLDER.parent / "benchmarks" / "results" / "sharded_vit.json"
    tables = json.loads(stored.read_text())["tables"]
    lines = [line for table in tables for line in table_lines(table)]
    return renew(FOLDER / "scale.md", SCALE_BEGIN, SCALE_END, "\n".join(lines).rstrip())


def figure(value: float | None) -> str:
    """Three digits, or nothing."""
    return "" if value is None else f"{value:.3g}"


RESULTS = """# Results

Made by `make docs` from evidence/claims, where `likewise reproduce NAME --keep evidence/claims` stores the outcomes. A
paper's claim is tested at small scale: minutes of training on two cores, where the paper took days of GPUs. A claim
that does not hold here may well hold there; it is listed all the same. A statement holds where the mean (or median) of
the seeds meets the inequality and two thirds of the seeds do so on their own. No choice was made on test images, unless
the findings say so. The last column is for whole runs on CIFAR-10 that a GPU makes
(`python benchmarks/records_on_gpu.py --keep evidence/claims/gpu`).

What unlabelled images add to a pretrained encoder is compared by a benchmark, because label propagation and votes of
adapted encoders are no runs: [Start from pretrained weights](adaptation.md#what-unlabelled-images-add).
"""


def results_page() -> str:
    """The whole page: a table of all claims, those that nobody has run yet too, and a section for each outcome."""
    stored = Path(__file__).parents[1] / "evidence" / "claims"
    outcomes = {
        name: json.loads(file.read_text())
        for name in CLAIMS
        if (file := stored / f"{name}.json").exists()
    }
    rows = []
    for name, claim in CLAIMS.items():
        title = f"[`{name}`](#{name})" if name in outcomes else f"`{name}`"
        verdict = outcomes[name]["verdict"] if name in outcomes else "not run yet"
        at_size = verdict_at_size(gpu_outcome(stored, name))
        rows.append(f"| {title} | {claim.sentence} | {claim.paper} | {verdict} | {at_size} |")
    columns = "| claim | the paper's claim | paper | small, on a CPU | at size, on a GPU |"
    table = [columns, "| --- | --- | --- | --- | --- |", *rows]
    sections = []
    for name, content in outcomes.items():
        section = outcome_section(name, content, stored / f"{name}.md")
        large = gpu_outcome(stored, name)
        sections.append(f"{section}\n{gpu_section(content, large)}" if large else section)
    return "\n".join([RESULTS, *table, "", *sections])


def gpu_outcome(stored: Path, name: str) -> dict[str, Any] | None:
    """The outcome of a claim at size, where a GPU has run it."""
    file = stored / "gpu" / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else None


def verdict_at_size(large: dict[str, Any] | None) -> str:
    """The verdict of a GPU and the seeds that it stands on."""
    return f"{large['verdict']}, {amount(len(large['seeds']), 'seed')}" if large else "not run"


def gpu_section(small: dict[str, Any], large: dict[str, Any]) -> str:
    """The statements of a claim at size, and whether they say what the small run says."""
    seeds = large["seeds"]
    lines = [
        f"**At size, on a GPU: {large['verdict']}.** {large['data']}, {large['encoder']}, {large['device']}, "
        f"{large['day']}; seeds: {', '.join(map(str, seeds))}.",
        "",
        f"| statement | required | {seed_columns(seeds)} | |",
        "| --- " * (len(seeds) + 4) + "|",
        *map(statement_row, large["statements"]),
        "",
    ]
    if large["verdict"] == outcome.HOLDS != small["verdict"]:
        lines += ["What the small run did not show holds at size.", ""]
    if small["verdict"] == outcome.HOLDS != large["verdict"]:
        lines += ["What the small run showed does not hold at size, or not in all statements.", ""]
    return "\n".join(lines)


def outcome_section(name: str, content: dict[str, Any], findings: Path) -> str:
    """One claim: its statements, scores, cost and findings."""
    seeds = content["seeds"]
    lines = [
        f"## {name}",
        "",
        f"**{content['verdict']}**: {content['sentence']} ({content['paper']})",
        "",
    ]
    lines += [content["check"], "", f"| statement | required | {seed_columns(seeds)} | |"]
    lines += ["| --- " * (len(seeds) + 4) + "|"]
    lines += map(statement_row, content["statements"])
    lines += [
        "",
        f"| arm | score | {seed_columns(seeds)} | views | seconds |",
        "| --- " * (len(seeds) + 5) + "|",
    ]
    for arm, results in screens.by_arm(content).items():
        views, seconds = (
            f"{mean(result[key] for result in results):,.0f}" for key in ("images", "seconds")
        )
        for score in results[0]["scores"]:
            values = [result["scores"][score] for result in results]
            shares = " | ".join(f"{100 * value:.1f}%" for value in (mean(values), *values))
            lines.append(f"| {arm} | {score} | {shares} | {views} | {seconds} |")
    machines = {
        f"{each['machine']} ({each['device']}, {each['precision']})"
        for each in content["environments"]
    }
    commits = {each["commit"] or "unknown" for each in content["environments"]}
    code = f"src/likewise/claims/{name.replace('-', '_')}.py"
    lines += [
        "",
        f"On {content['data']}; all runs together {content['images']:,} views, {content['seconds'] / 60:.1f} minutes. "
        f"Commit {', '.join(sorted(commits))}; {', '.join(sorted(machines))}. The claim is in `{code}`, "
        f"every setting, seed and curve in `evidence/claims/{name}.json`.",
        "",
    ]
    return "\n".join(lines + ([findings.read_text().strip(), ""] if findings.exists() else []))


def statement_row(each: dict[str, Any]) -> str:
    """An inequality with its numbers, as a row of a table."""
    unit = each["unit"]
    premise = f" Tested only if: {each['premise']}." if each["premise"] else ""
    values = [outcome.format_value(value, unit) for value in (each["value"], *each["by_seed"])]
    values[0] += " (median)" if each["over_seeds"] == "median" else ""
    bound = f"{each['relation']} {outcome.format_value(each['bound'], unit)}"
    sentence = each["sentence"].replace("|", "\\|")
    return f"| {sentence}.{premise} | {bound} | {' | '.join(values)} | {each['verdict']} |"


def seed_columns(seeds: list[int]) -> str:
    """Heads of the columns with numbers."""
    return " | ".join(["mean", *[f"seed {seed}" for seed in seeds]])


PAGES = {
    "methods.md": methods_page,
    "label-dial.md": label_dial_page,
    "gpu.md": gpu_page,
    "performance.md": performance_page,
    "scale.md": scale_page,
    "results.md": results_page,
}
PAGES |= {f"methods/{name}.md": partial(method_page, name) for name in METHODS}

if __name__ == "__main__":
    for page, write in PAGES.items():
        target = FOLDER / page
        target.write_text(write())
        sys.stdout.write(f"{target}\n")
