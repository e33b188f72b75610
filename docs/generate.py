"""Write methods.md from the methods, performance.md and results.md from kept benchmarks and claims: `make docs`."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from pathlib import Path
from statistics import mean
from typing import Any

from likewise.claims import CLAIMS, outcome, screens
from likewise.methods import METHODS, Method

HEADER = """# Methods

Made by `make docs` from the code. Every setting can be changed from the command line (`--method.temperature 0.1`) and
from Python (`SimCLR(temperature=0.1)`); so can the recipe (`--recipe.learning-rate 0.1`).
"""


def field_docs(kind: type) -> dict[str, str]:
    """The line of documentation under each field of a dataclass, inherited ones included."""
    docs: dict[str, str] = {}
    for ancestor in kind.__bases__:
        if dataclasses.is_dataclass(ancestor):
            docs |= field_docs(ancestor)
    names = {field.name for field in dataclasses.fields(kind)}
    lines = inspect.getsource(kind).splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        name = line.strip().partition(":")[0]
        if name in names and following.strip().startswith('"""'):
            text = following.strip().strip('"')
            for more in lines[lines.index(following) + 1 :]:
                if following.strip().endswith('"""') and len(following.strip()) > 3:
                    break
                text += " " + more.strip().strip('"')
                if more.strip().endswith('"""'):
                    break
            docs[name] = text
    return docs


def section(name: str, kind: type[Method]) -> str:
    """One method: idea, source, settings, recipe."""
    settings, recipe = kind(), kind.recipe
    explained = field_docs(kind)
    rows = [
        f"| `{field.name}` | `{shown(getattr(settings, field.name))}` | {explained.get(field.name, '')} |"
        for field in dataclasses.fields(kind)
    ]
    training = ", ".join(f"{field.name} {getattr(recipe, field.name)}" for field in dataclasses.fields(recipe))
    also = f"It also needs {kind.also_needs}. " if kind.also_needs else ""
    about = inspect.cleandoc(kind.__doc__ or "")
    page = Path(__file__).parent / "methods" / f"{name}.md"
    more = [f"[More on its steps, its settings and where it differs](methods/{name}.md)", ""] if page.exists() else []
    table = ["| setting | default | what it is |", "| --- | --- | --- |", *rows]
    return "\n".join(
        [
            f"## {kind.title} (`{name}`)",
            "",
            kind.idea,
            "",
            about,
            "",
            f"Labels: {kind.needs}. {also}Recipe: {training}.",
            "",
            *table,
            "",
            *more,
        ]
    )


def shown(value: object) -> str:
    """A setting's default; a view policy is told by what it changes."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return repr(value)
    changed = [
        f"{field.name}={getattr(value, field.name)!r}"
        for field in dataclasses.fields(value)
        if getattr(value, field.name) != field.default
    ]
    return f"{type(value).__name__}({', '.join(changed)})"


def methods_page() -> str:
    """The whole page."""
    return HEADER + "\n" + "\n".join(section(name, kind) for name, kind in sorted(METHODS.items()))


PERFORMANCE = """# Performance

Made by `make docs` from the last results of the scripts under `benchmarks/`. Each ran likewise and its peers in one
run, in turns; a number is the median of the rounds. The peers come with `pip install -e ".[bench]"`. Where something
could not be measured, it says so: a number that was not measured is no number.
"""


def performance_page() -> str:
    """The whole page."""
    files = sorted((Path(__file__).parents[1] / "benchmarks" / "results").glob("*.json"))
    return PERFORMANCE + "\n" + "\n".join(benchmark(file.stem, json.loads(file.read_text())) for file in files)


def benchmark(name: str, kept: dict[str, Any]) -> str:
    """One benchmark: where and when, its tables, and what was to be reached."""
    measured = dict(kept["measured"])
    versions = ", ".join(f"{package} {number}" for package, number in measured.pop("versions").items())
    facts = "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in measured.items())
    lines = [f"## {kept['title']}", "", f"`python benchmarks/{name}.py`. {facts}; {versions}.", ""]
    for table in kept["tables"]:
        lines += [f"**{table['title']}**", ""]
        lines += [f"| {' | '.join(table['columns'])} |", f"| {' | '.join('---' for _ in table['columns'])} |"]
        lines += [f"| {' | '.join(row)} |" for row in table["rows"]]
        lines += ["", *[f"{note}  " for note in table["notes"]], *([""] if table["notes"] else [])]
    if kept["claims"]:
        lines += ["| to be reached | measured | |", "| --- | --- | --- |"]
        lines += [f"| {c['claim']} | {figure(c['measured'])} | {c['verdict']} {c['note']} |" for c in kept["claims"]]
        lines += [""]
    return "\n".join(lines)


def figure(value: float | None) -> str:
    """Three digits, or nothing."""
    return "" if value is None else f"{value:.3g}"


RESULTS = """# Results

Made by `make docs` from evidence/claims, where `likewise reproduce NAME --keep evidence/claims` puts what came out. A
paper's claim is checked at small scale: minutes of training on two cores, where the paper took days of GPUs. What
does not hold here may well hold there; it is kept all the same. A statement holds where the mean (or median) of the
seeds meets the inequality and two thirds of the seeds do so by themselves. No choice was made on test images.
"""


def results_page() -> str:
    """The whole page: a table of all claims, those that nobody has run yet too, and a section for each outcome."""
    kept = Path(__file__).parents[1] / "evidence" / "claims"
    outcomes = {name: json.loads(file.read_text()) for name in CLAIMS if (file := kept / f"{name}.json").exists()}
    rows = []
    for name, claim in CLAIMS.items():
        title = f"[`{name}`](#{name})" if name in outcomes else f"`{name}`"
        verdict = outcomes[name]["verdict"] if name in outcomes else "not run yet"
        rows.append(f"| {title} | {claim.sentence} | {claim.paper} | {verdict} |")
    table = ["| claim | what the paper says | paper | |", "| --- | --- | --- | --- |", *rows]
    sections = [outcome_section(name, content, kept / f"{name}.md") for name, content in outcomes.items()]
    return "\n".join([RESULTS, *table, "", *sections])


def outcome_section(name: str, content: dict[str, Any], findings: Path) -> str:
    """One claim: what was said, what came out, what it took, what was found."""
    seeds = content["seeds"]
    lines = [f"## {name}", "", f"**{content['verdict']}**: {content['sentence']} ({content['paper']})", ""]
    lines += [content["check"], "", f"| statement | to be | {seed_columns(seeds)} | |"]
    lines += ["| --- " * (len(seeds) + 4) + "|"]
    for each in content["statements"]:
        unit, premise = each["unit"], f" Asked only if: {each['premise']}." if each["premise"] else ""
        values = [outcome.shown(value, unit) for value in (each["value"], *each["by_seed"])]
        values[0] += " (median)" if each["over_seeds"] == "median" else ""
        bound = f"{each['relation']} {outcome.shown(each['bound'], unit)}"
        lines.append(f"| {each['sentence']}.{premise} | {bound} | {' | '.join(values)} | {each['verdict']} |")
    lines += ["", f"| arm | score | {seed_columns(seeds)} | views | seconds |", "| --- " * (len(seeds) + 5) + "|"]
    for arm, results in screens.by_arm(content).items():
        views, seconds = (f"{mean(result[key] for result in results):,.0f}" for key in ("images", "seconds"))
        for score in results[0]["scores"]:
            values = [result["scores"][score] for result in results]
            shares = " | ".join(f"{100 * value:.1f} %" for value in (mean(values), *values))
            lines.append(f"| {arm} | {score} | {shares} | {views} | {seconds} |")
    machines = {f"{each['machine']} ({each['device']}, {each['precision']})" for each in content["environments"]}
    commits = {each["commit"] or "unknown" for each in content["environments"]}
    code = f"../src/likewise/claims/{name.replace('-', '_')}.py"
    lines += [
        "",
        f"On {content['data']}; all runs together {content['images']:,} views, {content['seconds'] / 60:.1f} minutes. "
        f"Commit {', '.join(sorted(commits))}; {', '.join(sorted(machines))}. [The claim]({code}), "
        f"[every setting, seed and curve](../evidence/claims/{name}.json).",
        "",
    ]
    return "\n".join(lines + ([findings.read_text().strip(), ""] if findings.exists() else []))


def seed_columns(seeds: list[int]) -> str:
    """Heads of the columns with numbers."""
    return " | ".join(["mean", *[f"seed {seed}" for seed in seeds]])


PAGES = {"methods.md": methods_page, "performance.md": performance_page, "results.md": results_page}

if __name__ == "__main__":
    for page, write in PAGES.items():
        target = Path(__file__).parent / page
        target.write_text(write())
        sys.stdout.write(f"{target}\n")
