"""Findings of the profile: each rule of the table is made somewhere, and no other."""

import re
from pathlib import Path

import worker.importing
from worker.importing.findings import RULES, finding, note


def test_every_rule_of_the_table_is_made_and_no_other() -> None:
    files = [path for path in Path(worker.importing.__path__[0]).rglob("*.py") if path.name != "findings.py"]
    rules = {rule for path in files for rule in re.findall(r'"(P\d+)"', path.read_text())}
    assert rules == RULES.keys()
    assert len(set(RULES.values())) == len(RULES)


def test_a_note_names_the_first_samples_and_how_many_there_are() -> None:
    made = note("P20", [f"{n}.png" for n in range(1000)], "transparent pictures were laid on a white ground")
    assert made is not None
    assert made.explanation.startswith("1,000 transparent pictures")
    assert (made.evidence["count"], made.evidence["examples"]) == (1000, [f"{n}.png" for n in range(20)])
    assert note("P20", [], "") is None


def test_a_finding_has_the_name_of_its_rule() -> None:
    made = finding("P9", "critical", "explained", "remedied", share=0.5)
    assert (made.name, made.confidence, made.evidence, made.remedy.text) == ("leakage", 1.0, {"share": 0.5}, "remedied")
