"""The page at `/docs`: Swagger UI from an installed package, so that it works offline."""

from importlib.resources import files
from typing import Final

PACKAGE: Final = "fastapi_swagger.resources"
SCRIPT: Final = "swagger-ui-bundle.js"
STYLE: Final = "swagger-ui.css"
START: Final = "start.js"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""No script but our own files; Swagger UI writes inline styles."""
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
PAGE: Final = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>TIE Server: the HTTP API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/{STYLE}">
</head>
<body>
<div id="api"></div>
<script src="docs/{SCRIPT}"></script>
<script src="docs/{START}"></script>
</body>
</html>
"""
START_SCRIPT: Final = """\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
"""
TYPES: Final = {SCRIPT: "text/javascript", STYLE: "text/css", START: "text/javascript"}


def asset(name: str) -> bytes | None:
    """One of the page's files; None for any other name."""
    if name == START:
        return START_SCRIPT.encode()
    return files(PACKAGE).joinpath(name).read_bytes() if name in TYPES else None
