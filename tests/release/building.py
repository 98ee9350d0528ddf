"""What a release is made of: `make build` puts wheel, sdist and bill of materials into dist/.

The wheel and the sdist are the same, byte by byte, whenever and wherever they are built from the same files.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
LOCK = ROOT / "requirements-image.lock"
PROGRAMS = Path(sys.executable).parent


def build(folder: Path, source: Path = ROOT, *targets: str) -> list[Path]:
    """Build from a folder of sources, and give the files that were made."""
    before = set(folder.iterdir()) if folder.exists() else set()
    chosen = [word for target in targets for word in ("--target", target)]
    command = [sys.executable, "-m", "hatchling", "build", *chosen, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return sorted(set(folder.iterdir()) - before)


def uv(*words: str) -> None:
    subprocess.run([str(PROGRAMS / "uv"), *words], cwd=ROOT, check=True)


def make_environment(folder: Path) -> Path:
    """Make an empty environment, and give its Python."""
    uv("venv", "--quiet", "--python", sys.executable, str(folder))
    return folder / "bin" / "python"


def list_materials(python: Path, output: Path, *options: str) -> None:
    """Write a bill of materials, as CycloneDX has it, of what is installed beside a Python."""
    program = [str(PROGRAMS / "cyclonedx-py"), "environment", "--output-reproducible", "--pyproject", "pyproject.toml"]
    command = [*program, *options, "--output-file", str(output), str(python)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def main() -> None:
    DIST.mkdir(exist_ok=True)
    for old in DIST.iterdir():
        old.unlink()
    sdist, wheel = sorted(build(DIST), key=lambda path: path.suffix)
    with TemporaryDirectory() as folder:
        python = make_environment(Path(folder) / "environment")
        uv("pip", "sync", "--quiet", "--python", str(python), "--require-hashes", str(LOCK))
        list_materials(python, DIST / f"{wheel.name.removesuffix('-py3-none-any.whl')}.cdx.json")
    for path in sorted(DIST.iterdir()):
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size:,} bytes")
    assert sdist.suffix == ".gz"


if __name__ == "__main__":
    main()
