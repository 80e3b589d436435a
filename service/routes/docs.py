"""The OpenAPI page for people, without any network."""

from fastapi import APIRouter
from starlette.responses import Response

from service.docs_page import HEADERS, PAGE, TYPES, asset
from service.errors import ApiError

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def docs() -> Response:
    """Swagger UI over /openapi.json."""
    return Response(PAGE, media_type="text/html", headers=HEADERS)


@router.get("/docs/{name}")
def docs_file(name: str) -> Response:
    """One of the page's files. In a thread: it is read from disk."""
    content = asset(name)
    if content is None:
        raise ApiError(404, "not_found", "there is no such file: /docs has the page")
    return Response(content, media_type=TYPES[name], headers=HEADERS)
