"""The README stays true: what exists is documented, and what is documented exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from service.cli.main import main
from service.diagnosis.judge import diagnose
from service.diagnosis.record import Epoch, RunRecord
from service.diagnosis.registry import RULES
from service.diagnosis.rule import Rule
from service.settings import Settings
from service.specs import KINDS
from service.specs.train import TrainSpec

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_setting_is_documented(name: str) -> None:
    assert f"`{name.upper()}`" in README


def test_no_setting_is_invented() -> None:
    table = README.split("## Settings")[1].split("\n## ")[0]
    documented = set(re.findall(r"^\| `([A-Z_]+)`", table, flags=re.MULTILINE))
    assert documented == {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("kind", KINDS)
def test_kind_is_documented(kind: str) -> None:
    assert f"| `{kind}` |" in README


@pytest.mark.parametrize("rule", [rule.id for rule in RULES])
def test_rule_is_documented(rule: str) -> None:
    assert f"`{rule}`" in README


def test_data_findings_are_those_that_imports_make() -> None:
    table = README.split("\n## Data\n")[1].split("\n## ")[0]
    documented = re.findall(r"^\| `(P\d+)` \| (\w+) \|", table, flags=re.MULTILINE)
    assert sorted(documented) == sorted(set(_findings_in_the_code()))


def _findings_in_the_code() -> Iterator[tuple[str, str]]:
    """Rule and name of every finding that the engine's data package makes."""
    for path in (ROOT / "worker" / "engine" / "data").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name("finding" | "note"),
                    args=[ast.Constant(str() as rule), ast.Constant(str() as name), *_],
                ):
                    yield rule, name


def test_the_rule_of_the_walk_through_works() -> None:
    code = README.split("### Adding a rule")[1].split("```python\n")[1].split("```")[0]
    module: dict[str, object] = {}
    exec(compile(code, "d17_few_steps.py", "exec"), module)
    rule = module["RULE"]
    assert isinstance(rule, Rule)
    spec = TrainSpec.model_validate({"kind": "train", "dataset": "digits", "batch_size": 512})
    told = diagnose(RunRecord(spec=spec, epochs=(Epoch(number=1, step=3),)), (rule,)).findings
    assert [(each.rule, each.name, each.remedy.patch) for each in told] == [("D17", "few_steps", {"batch_size": 128})]


def test_command_is_documented() -> None:
    assert isinstance(main, click.Group)
    for name in main.commands:
        assert f"trainwright {name}" in README


def test_paths_in_the_map_exist() -> None:
    tree = README.split("## The map of the house")[1].split("```")[1]
    for line in tree.strip().splitlines():
        path = line.split()[0]
        assert (ROOT / path).exists(), path


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", README, flags=re.MULTILINE)) <= targets


def test_example_specs_are_valid_and_documented() -> None:
    import yaml

    from service.specs import JOB_SPEC

    for path in sorted((ROOT / "examples").iterdir()):
        JOB_SPEC.validate_python(yaml.safe_load(path.read_text()))
        assert f"`examples/{path.name}`" in README
