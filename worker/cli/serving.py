"""`worker serve`: all services of some packages, in one process."""

from pathlib import Path

from worker.core.errors import SetupError
from worker.services.connection import service_settings
from worker.services.loading import load_services
from worker.services.serving import serve


def serve_packages(packages: str) -> None:
    """Run the services until SIGTERM or Ctrl-C; `packages` are names parted by commas. Raises: SetupError."""
    names = [name.strip() for name in packages.split(",") if name.strip()]
    if not names:
        raise SetupError("no package is named: give names parted by commas, as shop.services,shop.payments")
    settings = service_settings()
    serve(*load_services(names, Path.cwd()), settings=settings)
