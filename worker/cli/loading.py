"""What the commands load before they do anything."""

from collections.abc import Sequence
from typing import Final

from worker.adapters.kafka.topics import TopicAdmin
from worker.bootstrap import Deployment, deploy
from worker.core.errors import SetupError
from worker.ports import KafkaUnavailable
from worker.settings import PREFIX, Settings, load_settings

_PLACES: Final = {
    "database_url": "postgresql://",
    "kafka_bootstrap_servers": "not needed",
}


def settings_without(*unneeded: str) -> Settings:
    """Load the settings of a command that can do without some of the required ones. Raises: SetupError."""
    return load_settings(defaults=_stand_ins(unneeded)).settings


def deployment_without(*unneeded: str) -> Deployment:
    """Load settings and machines of a command that can do without some required settings. Raises: SetupError."""
    return deploy(settings_without(*unneeded))


def missing_topics(deployment: Deployment, topics: Sequence[str]) -> list[str]:
    """Give those of the topics that are not there. Raises: SetupError, if no broker answers."""
    try:
        return TopicAdmin(deployment.kafka).missing(topics)
    except KafkaUnavailable as error:
        raise SetupError(str(error)) from error


def _stand_ins(unneeded: Sequence[str]) -> dict[str, str]:
    return {f"{PREFIX}{name.upper()}": _PLACES[name] for name in unneeded}
