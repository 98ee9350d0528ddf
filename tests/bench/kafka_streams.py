"""The order workflow on Kafka Streams: built by Maven into the cache that the broker's jars are in, run by Java."""

import hashlib
import shutil
import tempfile
from pathlib import Path

from tests.bench.children import Child
from tests.bench.site import Place
from tests.servers.kafka import FETCH_TIMEOUT_SECONDS, _run, jars_folder, kafka_version

FOLDER = Path(__file__).with_name("streams")
HEAP = "-Xmx512m"
REMEDY = "install a JDK 17 or newer and Maven (Debian: apt-get install default-jdk-headless maven)"


def streams_can_run() -> bool:
    return _built_folder().is_dir() or (shutil.which("javac") is not None and shutil.which("mvn") is not None)


def build() -> None:
    """Have Maven build it, unless that was done; a broken build leaves nothing behind."""
    target = _built_folder()
    if target.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        built = Path(temporary) / "built"
        goals = ("compile", "dependency:copy-dependencies", "-DincludeScope=runtime")
        properties = (f"-Dkafka.version={kafka_version()}", f"-Dbuild.folder={built}")
        _run(["mvn", "-B", "-q", "-f", str(FOLDER / "pom.xml"), *goals, *properties], FETCH_TIMEOUT_SECONDS)
        try:
            built.rename(target)
        except OSError:
            if not target.is_dir():  # Else another run was first.
                raise


def start(place: Place) -> Child:
    """Run it on a place, its state in the place's folder."""
    built = _built_folder()
    topics = place.plan.topics
    return Child(
        [
            "java",
            HEAP,
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
            "-cp",
            f"{built / 'classes'}:{built / 'dependency'}/*",
            "bench.Application",
            place.bootstrap_servers,
            f"{place.name}-streams",
            str(place.folder / place.name),
            *(topics.input, topics.domain("default"), topics.domain("external")),
        ]
    )


def _built_folder() -> Path:
    """Name the folder by what is built: another source is another folder."""
    files = sorted(path for path in FOLDER.rglob("*") if path.is_file())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
    return jars_folder().with_name(f"bench-streams-{kafka_version()}-{digest}")
