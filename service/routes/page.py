"""The playground: one page and its files, the same for everybody."""

from fastapi import APIRouter
from starlette.responses import Response

from service.errors import ApiError
from service.page import FOLDER, HEADERS, INDEX, assets, media_type

router = APIRouter(include_in_schema=False)


@router.get("/")
@router.head("/")
async def page() -> Response:
    """The page itself."""
    return _file(INDEX)


@router.get(FOLDER + "{name}")
@router.head(FOLDER + "{name}")
async def page_file(name: str) -> Response:
    """One of the page's files."""
    if name not in assets():
        raise ApiError(404, "not_found", "there is no such file: / has the page")
    return _file(name)


def _file(name: str) -> Response:
    return Response(assets()[name], media_type=media_type(name), headers=HEADERS)
