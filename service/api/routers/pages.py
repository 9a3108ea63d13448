"""The dashboard, the docs page and their files, all served from here: nothing is fetched from elsewhere."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import FileResponse, JSONResponse
from starlette.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path

from service.api.http.openapi import for_swagger_ui

DASHBOARD = Path(__file__).parents[2] / "dashboard"
router = APIRouter(include_in_schema=False)


def mount_assets(app: FastAPI) -> None:
    """Serves the static files; `check_dir` makes a broken installation fail at the start."""
    app.mount("/assets/swagger", StaticFiles(directory=str(swagger_ui_path)), name="swagger")
    app.mount("/assets", StaticFiles(directory=DASHBOARD), name="assets")


@router.get("/")
def dashboard() -> FileResponse:
    """The dashboard."""
    return FileResponse(DASHBOARD / "index.html", media_type="text/html", headers={"Cache-Control": "no-cache"})


@router.get("/docs")
def docs() -> FileResponse:
    """The interactive docs page."""
    return FileResponse(DASHBOARD / "docs.html", media_type="text/html", headers={"Cache-Control": "no-cache"})


@router.get("/docs/openapi.json")
def docs_openapi(request: Request) -> JSONResponse:
    """The contract in the version of OpenAPI that the docs page can draw."""
    schema: dict[str, Any] = request.app.openapi()
    return JSONResponse(for_swagger_ui(schema))
