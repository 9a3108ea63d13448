"""API keys: make, list, revoke."""

from fastapi import APIRouter

from service.access import keys
from service.api.auth import MAY_ADMIN
from service.api.deps import ServicesDep
from service.api.http.strict_route import StrictRoute
from service.reports.operations import KeyReport, NewKeyReport
from service.reports.part import Page
from service.specs.requests import KeyRequest

router = APIRouter(prefix="/keys", tags=["operations"], dependencies=MAY_ADMIN, route_class=StrictRoute)


@router.post("", status_code=201)
def create_key(request: KeyRequest, services: ServicesDep) -> NewKeyReport:
    """Makes a key; its text is in this answer and nowhere else."""
    with services.store.begin() as session:
        row, text = keys.create(session, request.name, request.scope)
        return NewKeyReport(**dict(_report(row)), key=text)


@router.get("")
def list_keys(services: ServicesDep) -> Page[KeyReport]:
    """Every key, the oldest first, without secrets."""
    with services.store.read() as session:
        return Page(data=[_report(row) for row in keys.listed(session)])


@router.delete("/{key_id}")
def revoke_key(key_id: str, services: ServicesDep) -> KeyReport:
    """Makes a key useless from now on."""
    with services.store.begin() as session:
        return _report(keys.revoke(session, key_id))


def _report(row: object) -> KeyReport:
    return KeyReport.model_validate(row, from_attributes=True)
