"""Findings of the profile: each rule of the table is made somewhere, and no other."""

import ast
from pathlib import Path

import worker.importing
from worker.importing.findings import RULES, finding, note


def test_every_rule_of_the_table_is_made_and_no_other() -> None:
    rules = set()
    for path in Path(worker.importing.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name("finding" | "note"), args=[ast.Constant(str() as rule), *_]):
                    rules.add(rule)
    assert rules == RULES.keys()
    assert len(set(RULES.values())) == len(RULES)


def test_a_note_names_the_first_samples_and_how_many_there_are() -> None:
    told = note("P20", [f"{n}.png" for n in range(1000)], "transparent pictures were laid on a white ground")
    assert told is not None
    assert told.explanation.startswith("1,000 transparent pictures")
    assert (told.evidence["count"], told.evidence["examples"]) == (1000, [f"{n}.png" for n in range(20)])
    assert note("P20", [], "") is None


def test_a_finding_has_the_name_of_its_rule() -> None:
    made = finding("P9", "critical", "explained", "remedied", share=0.5)
    assert (made.name, made.confidence, made.evidence, made.remedy.text) == ("leakage", 1.0, {"share": 0.5}, "remedied")
