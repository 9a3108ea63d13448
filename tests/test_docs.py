"""The README and the pages under docs/ stay true: what exists is documented, and what is documented exists."""

import ast
import re
import tomllib
from inspect import cleandoc
from itertools import pairwise
from pathlib import Path

import click
import pytest

from service.catalog.hyperparameters import OPTIMIZERS
from service.cli.main import main
from service.diagnosis.judge import diagnose
from service.diagnosis.record import Epoch, RunRecord
from service.diagnosis.registry import RULES
from service.diagnosis.rule import Rule
from service.settings import Settings
from service.specs import KINDS
from service.specs.train import TrainSpec
from worker.importing import findings as import_findings

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
TABLE_ROW = re.compile(r"^\| `([^`]+)` \| (.*) \|$", flags=re.MULTILINE)


def read(page: str) -> str:
    """The text of a page by its path."""
    return (ROOT / page).read_text()


def rows(text: str) -> dict[str, list[str]]:
    """The rows of a page's tables whose first cell is code, by that code."""
    return {code: rest.split(" | ") for code, rest in TABLE_ROW.findall(text)}


def test_readme_is_at_most_130_lines() -> None:
    assert len(read("README.md").splitlines()) <= 130


def test_readme_leads_to_every_page() -> None:
    linked = set(re.findall(r"\]\((docs/[\w/.-]+\.md)\)", read("README.md")))
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")}
    assert pages <= linked


def test_every_decision_is_in_their_list() -> None:
    folder = ROOT / "docs" / "decisions"
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", (folder / "README.md").read_text()))
    assert linked == {path.name for path in folder.glob("*.md")} - {"README.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", _without_code(page.read_text())):
        if "://" in target:
            continue
        file, _, heading = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), target
        if heading:
            assert heading in _headings(path.read_text()), target


def _without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def _headings(text: str) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    titles = re.findall(r"^#+ (.+)$", _without_code(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_settings_table_says_what_the_settings_say() -> None:
    documented = {name: cells[-1] for name, cells in rows(read("docs/settings.md")).items()}
    assert documented == {name.upper(): text for name, text in _docstrings_of_settings().items()}


def _docstrings_of_settings() -> dict[str, str]:
    """The docstring under each field of Settings; None of them may lack one."""
    module = ast.parse(read("service/settings.py"))
    body = next(node for node in module.body if isinstance(node, ast.ClassDef) and node.name == "Settings").body
    texts = {
        field.target.id: cleandoc(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
    assert set(texts) == set(Settings.model_fields)
    return texts


def test_kinds_are_documented() -> None:
    assert set(KINDS) <= set(rows(read("docs/quickstart.md")))
    assert ", ".join(f"`{kind}`" for kind in KINDS) in read("docs/glossary.md")


def test_usual_values_of_optimizers_are_the_catalogs() -> None:
    documented = {name: cells for name, cells in rows(read("docs/method.md")).items() if name in OPTIMIZERS}
    assert documented == {
        name: [
            f"{usual.lr:g}",
            "{:g} to {:g}".format(*usual.lr_range),
            f"{usual.weight_decay:g}",
            "{:g} to {:g}".format(*usual.weight_decay_range),
        ]
        for name, usual in OPTIMIZERS.items()
    }


def test_rules_are_documented_by_their_names() -> None:
    documented = {rule: cells[0] for rule, cells in rows(read("docs/diagnosis.md")).items()}
    assert documented == {rule.id: rule.name for rule in RULES}


def test_data_findings_are_those_that_imports_make() -> None:
    assert {rule: cells[0] for rule, cells in rows(read("docs/data.md")).items()} == import_findings.RULES


def test_the_worked_example_of_a_rule_works() -> None:
    code = read("docs/diagnosis.md").split("## How to add a rule")[1].split("```python\n")[1].split("```")[0]
    module: dict[str, object] = {}
    exec(compile(code, "d90_few_steps.py", "exec"), module)
    rule = module["RULE"]
    assert isinstance(rule, Rule)
    spec = TrainSpec.model_validate({"kind": "train", "dataset": "digits", "batch_size": 512})
    findings = diagnose(RunRecord(spec=spec, epochs=(Epoch(number=1, step=3),)), (rule,)).findings
    assert [(finding.rule, finding.name, finding.remedy.patch) for finding in findings] == [
        ("D90", "few_steps", {"batch_size": 128})
    ]


def test_commands_are_documented() -> None:
    assert isinstance(main, click.Group)
    text = read("docs/quickstart.md")
    for name, command in main.commands.items():
        for subcommand in command.commands if isinstance(command, click.Group) else [""]:
            assert f"`trainwright {name} {subcommand}".rstrip() in text


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), flags=re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), flags=re.MULTILINE)) <= targets, page


def test_paths_of_the_architecture_exist() -> None:
    for path in re.findall(r"`((?:service|worker|tests|migrations|benchmarks|examples)/[^`]*)`", _all_pages()):
        assert (ROOT / path).exists(), path


def test_paths_in_the_readmes_map_exist() -> None:
    folder = ROOT
    for line in read("README.md").split("## The tree")[1].split("```")[1].strip("\n").splitlines():
        is_inside = line.startswith(" ")
        for name in re.findall(r"(?<!\S)\w+(?:/|\.py)(?!\S)", line):
            path = (folder if is_inside else ROOT) / name
            assert path.exists(), path
            folder = folder if is_inside else path


def _all_pages() -> str:
    """Every page but the walk-through's own file, which a reader writes."""
    return "".join(page.read_text() for page in PAGES).replace("`service/diagnosis/rules/d90_few_steps.py`", "")


def test_every_package_and_every_module_outside_of_one_is_on_the_map() -> None:
    text = read("docs/architecture.md")
    for package in ("service", "worker/engine"):
        for path in sorted((ROOT / package).iterdir()):
            name = path.relative_to(ROOT)
            if path.suffix == ".py" and path.name != "__init__.py":
                assert f"`{name}`" in text
            if (path / "__init__.py").exists():
                assert f"`{name}/`" in text
    for path in sorted((ROOT / "worker").glob("*/__init__.py")):
        assert f"`{path.parent.relative_to(ROOT)}/" in text


@pytest.mark.parametrize("part", ["worker", "engine", "service"])
def test_layers_are_those_of_the_contracts(part: str) -> None:
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["name"] == f"layers of the {part}")
    sentence = read("docs/architecture.md").split(f"- The {part}'s layers:")[1].split("(import-linter)")[0]
    assert re.findall(r"`(\w+)`", sentence) == re.findall(r"(\w+)(?= |$)", " ".join(layers))


def test_what_a_page_says_is_in_a_module_is_in_it() -> None:
    said = re.findall(r"`(\w+)`\s+in\s+`((?:service|worker)/[\w/]+\.py)`", _all_pages())
    assert said
    for name, path in said:
        assert re.search(rf"\b{name}\b", read(path)), f"{name} in {path}"


def test_examples_are_documented() -> None:
    text = read("docs/quickstart.md")
    for path in sorted((ROOT / "examples").iterdir()):
        assert f"examples/{path.name}" in text
