"""Idempotency keys: the first answer is given again, and what it reports happens once."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from service.errors import ConflictError, InvalidRequestError
from service.jobs.idempotency import Answer, answer_once, delete_expired
from service.store import jobs
from service.store.session import Store, now
from service.store.tables import IdempotencyRow
from tests.service.conftest import spec


def create_job(session: Session) -> Answer:
    """The answer to a request that creates a job."""
    job_id = jobs.create(session, spec()).id
    return Answer(f'{{"id":"{job_id}"}}', 202, {"Location": f"/v1/jobs/{job_id}"}, [job_id])


def count_jobs(store: Store) -> int:
    with store.read() as session:
        return len(jobs.list_page(session)[0])


def test_repeated_request_gets_the_first_answer_and_starts_nothing(store: Store) -> None:
    first = answer_once(store, "key", b"request", lambda _: create_job)
    again = answer_once(store, "key", b"request", lambda _: create_job)
    assert (again.status, again.headers, again.startable) == (202, first.headers, ())
    assert again.body.replace(" ", "") == first.body
    assert (first.is_repeated, again.is_repeated, count_jobs(store)) == (False, True, 1)


def test_key_is_for_one_request(store: Store) -> None:
    answer_once(store, "key", b"request", lambda _: create_job)
    with pytest.raises(InvalidRequestError, match="another body"):
        answer_once(store, "key", b"another request", lambda _: create_job)
    answer_once(store, "another key", b"request", lambda _: create_job)
    answer_once(store, None, b"request", lambda _: create_job)
    assert count_jobs(store) == 3


def test_request_that_fails_leaves_neither_a_job_nor_an_answer(store: Store) -> None:
    def fail(session: Session) -> Answer:
        create_job(session)
        raise InvalidRequestError("no")

    with pytest.raises(InvalidRequestError):
        answer_once(store, "key", b"request", lambda _: fail)
    assert count_jobs(store) == 0
    assert not answer_once(store, "key", b"request", lambda _: create_job).is_repeated


def test_request_that_collides_starts_again_and_finds_what_the_other_made(store: Store) -> None:
    def collide(session: Session) -> Answer:
        session.rollback()  # lets the other request in
        answer_once(store, "key", b"request", lambda _: create_job)
        raise ConflictError("it was not there a moment ago")

    assert answer_once(store, "key", b"request", lambda _: collide).is_repeated
    assert count_jobs(store) == 1


def test_answers_are_deleted_after_a_day(store: Store) -> None:
    for key in ("old", "new"):
        answer_once(store, key, b"", lambda _: create_job)
    with store.begin() as session:
        session.get_one(IdempotencyRow, ("", "old")).created_at = now(session) - timedelta(hours=25)
    with store.begin() as session:
        delete_expired(session)
    assert not answer_once(store, "old", b"", lambda _: create_job).is_repeated
    assert answer_once(store, "new", b"", lambda _: create_job).is_repeated
