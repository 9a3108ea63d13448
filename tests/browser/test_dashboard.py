"""What a person sees and does on the dashboard and on the docs page."""

from collections.abc import Iterator

import httpx
import pytest

from service.api.http.examples import EXAMPLES
from service.events import StepRecord
from service.reports.result import Importances, LrCurve, LrPoint, Trial
from service.specs import KINDS
from tests.browser.chromium import Chromium
from tests.service.api.server import Server
from tests.service.simulated_worker import SimulatedWorker, epoch_record

LEAST = {"kind": "train", "name": "baseline", "dataset": "digits"}


@pytest.fixture(autouse=True)
def no_faults(browser: Chromium, site: Server) -> Iterator[None]:
    """No page may leave an error in the console: no failed script, no load that the policy refuses."""
    browser.problems.clear()
    yield
    browser.open("about:blank")  # while the service still runs
    assert [each for each in browser.problems if "404" not in each] == []


def submit(site: Server, **spec: object) -> str:
    job_id: str = httpx.post(f"{site.url}/v1/jobs", json=LEAST | spec).json()["id"]
    return job_id


def test_the_list_shows_jobs_and_follows_them(browser: Chromium, site: Server, worker: SimulatedWorker) -> None:
    worker.dataset()
    job_id = submit(site)
    browser.open(f"{site.url}/")
    browser.wait("document.querySelector('.badge.queued') !== null")
    assert "waits for a worker" in browser.text()
    worker.train(job_id)
    browser.wait("document.querySelector('.badge.succeeded') !== null")
    assert "test accuracy 0.975" in browser.text()


def test_a_job_page_draws_live_curves(browser: Chromium, site: Server, worker: SimulatedWorker) -> None:
    worker.dataset()
    job_id = submit(site)
    browser.open(f"{site.url}/#/jobs/{job_id}")
    browser.wait("document.querySelector('.badge.queued') !== null")
    fence = worker.claim(job_id).fence
    worker.record(fence, [StepRecord(step=1, epoch=1, values={"train/loss": 2.0}), epoch_record(1, 3)])
    worker.log(job_id, "the first epoch is over")
    browser.wait("document.body.innerText.includes('the first epoch is over')")
    for epoch in (2, 3):
        worker.record(fence, [epoch_record(epoch, 3)])
    worker.log(job_id, "three epochs")
    browser.wait("document.querySelectorAll('#charts .chart').length === 3")
    browser.wait("document.querySelectorAll('#charts circle').length === 15")
    worker.end(fence)
    browser.wait("document.querySelector('.badge.succeeded') !== null")


def test_a_search_shows_its_trials_while_it_runs(browser: Chromium, site: Server, worker: SimulatedWorker) -> None:
    worker.dataset()
    space = {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-2}}
    spec = {"kind": "tune", "train": {"dataset": "digits"}, "search_space": space}
    job_id = httpx.post(f"{site.url}/v1/jobs", json=spec).json()["id"]
    fence = worker.claim(job_id).fence
    for number, (state, value) in enumerate([("complete", 0.7), ("complete", 0.9), ("pruned", 0.2), ("running", None)]):
        row = {"number": number, "state": state, "params": {"optimizer.lr": 0.001}, "value": value}
        worker.report(fence, f"trial:{number}", Trial.model_validate(row | {"duration_seconds": 1.5, "reason": "slow"}))
    worker.report(fence, "importances", Importances(data={"optimizer.lr": 1.0}))
    browser.open(f"{site.url}/#/jobs/{job_id}")
    browser.wait("document.querySelectorAll('#charts tbody tr').length === 4")
    text = browser.text()
    assert "optimizer.lr 0.001" in text
    assert "best 0.9" in text
    assert "100 %" in text
    assert "Diagnosis" not in text
    assert browser.run("document.querySelectorAll('#charts circle').length") == 3


def test_an_ended_job_shows_results_and_files(browser: Chromium, site: Server, worker: SimulatedWorker) -> None:
    worker.dataset()
    job_id = submit(site)
    worker.train(job_id)
    browser.open(f"{site.url}/#/jobs/{job_id}")
    browser.wait("document.querySelectorAll('.confusion').length === 2")
    browser.wait("document.body.innerText.includes('model.safetensors')")
    text = browser.text()
    assert "test accuracy 0.975" in text
    assert "3 taken for 8: 1 (50 %)" in text
    assert "Diagnosis" in text


def test_a_finding_leads_to_the_next_job_and_tells_what_became_of_it(
    browser: Chromium, site: Server, worker: SimulatedWorker
) -> None:
    worker.dataset()
    job_id = submit(site, shuffle=False)
    worker.train(job_id)
    browser.open(f"{site.url}/#/jobs/{job_id}")
    browser.wait("document.querySelector('.finding button') !== null")
    browser.run("document.querySelector('.finding button').click()")
    browser.wait(f"location.hash.startsWith('#/jobs/') && !location.hash.endsWith('{job_id}')")
    browser.open(f"{site.url}/#/jobs/{job_id}")
    browser.wait("document.body.innerText.includes('whether it helps is told when it has ended')")


def test_a_person_submits_a_job(browser: Chromium, site: Server, worker: SimulatedWorker) -> None:
    worker.dataset()
    browser.open(f"{site.url}/#/new")
    browser.wait("document.querySelector('#spec')?.value.includes('digits')")
    browser.run("document.querySelector('#spec').value = 'kind: train\\ndataset: digits\\nepoch: 3'")
    browser.run("document.querySelector('#submit').click()")
    browser.wait("document.body.innerText.includes('did you mean `epochs`?')")
    browser.problems.clear()  # the browser notes the 422 that was wanted
    browser.run("document.querySelector('#spec').value = 'kind: train\\ndataset: digits\\nepochs: 3'")
    browser.run("document.querySelector('#check').click()")
    browser.wait("document.body.innerText.includes('It can run')")
    browser.run("document.querySelector('#submit').click()")
    browser.wait("location.hash.startsWith('#/jobs/')")
    browser.wait("document.querySelector('.badge.queued') !== null")
    assert httpx.get(f"{site.url}/v1/jobs").json()["data"][0]["spec"]["epochs"] == 3


def test_kinds_and_examples_are_those_of_the_contract(browser: Chromium, site: Server, worker: SimulatedWorker) -> None:
    worker.dataset()
    browser.open(f"{site.url}/")
    browser.wait(f"document.querySelectorAll('#kind option').length === {1 + len(KINDS)}")
    options = "[...document.querySelectorAll('#kind option')].map((option) => option.value)"
    assert browser.run(options) == ["", *KINDS]
    browser.open(f"{site.url}/#/new")
    browser.wait(f"document.querySelectorAll('#example option').length === {len(EXAMPLES)}")
    search = next(number for number, example in enumerate(EXAMPLES.values()) if example["value"]["kind"] == "tune")
    browser.run(f"document.querySelector('#example').value = {search}")
    browser.run("document.querySelector('#example').dispatchEvent(new Event('change'))")
    browser.run("document.querySelector('#check').click()")
    browser.wait("document.body.innerText.includes('It can run')")
    assert "search_space" in browser.run("document.querySelector('#spec').value")


def test_datasets_are_imported_and_shown(browser: Chromium, site: Server, worker: SimulatedWorker) -> None:
    browser.open(f"{site.url}/#/datasets")
    browser.wait("document.querySelector('form button') !== null")
    browser.run("document.querySelector('form button').click()")
    browser.wait("document.querySelector('.badge.importing') !== null")
    dataset = httpx.get(f"{site.url}/v1/datasets/digits").json()
    worker.import_dataset(dataset["id"], dataset["job"])
    browser.wait("document.querySelector('.badge.ready') !== null")
    browser.open(f"{site.url}/#/datasets/{dataset['id']}")
    browser.wait("document.querySelectorAll('.samples img').length === 12")
    assert "Samples per class" in browser.text()
    assert "null" not in browser.text()


def test_an_lr_curve_is_drawn(browser: Chromium, site: Server, worker: SimulatedWorker) -> None:
    worker.dataset()
    job_id = submit(site, kind="lr-find")
    fence = worker.claim(job_id).fence
    points = [LrPoint(lr=10**-n, loss=abs(n - 3) + 0.1, smoothed=abs(n - 3) + 0.1) for n in range(7, 0, -1)]
    curve = LrCurve(
        points=points,
        suggested=1e-3,
        steepest=1e-3,
        minimum_over_ten=1e-4,
        quality="good",
        reason="the loss fell",
        rule="probe",
    )
    worker.report(fence, "result", curve)
    worker.end(fence)
    browser.open(f"{site.url}/#/jobs/{job_id}")
    browser.wait("document.body.innerText.includes('suggested 1.0e-3')")


def test_a_job_page_says_that_its_files_were_deleted(browser: Chromium, site: Server, worker: SimulatedWorker) -> None:
    worker.dataset()
    job_id = submit(site)
    worker.train(job_id)
    worker.save_bytes(job_id, "model.safetensors", "model", b"weights")
    httpx.delete(f"{site.url}/v1/jobs/{job_id}", params={"files_only": True}).raise_for_status()
    browser.open(f"{site.url}/#/jobs/{job_id}")
    browser.wait("document.body.innerText.includes('were deleted')")
    assert "by anyone" in browser.text()


def test_the_system_page(browser: Chromium, site: Server, worker: SimulatedWorker) -> None:
    worker.dataset()
    submit(site)
    browser.open(f"{site.url}/#/system")
    browser.wait("document.body.innerText.includes('waits for a worker')")
    browser.wait("document.body.innerText.includes('free on the disk')")
    assert "answers, schema is current" in browser.text()
    assert "datasets" in browser.text()


def test_the_docs_page_draws_the_contract(browser: Chromium, site: Server) -> None:
    browser.open(f"{site.url}/docs")
    browser.wait("document.querySelectorAll('.opblock').length > 40")
    browser.run("document.querySelector('#operations-jobs-submit_job button').click()")
    browser.wait("document.body.innerText.includes('Fine-tune a pretrained network')")
