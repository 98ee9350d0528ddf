"""What services and clients need of the settings: where Kafka is, what topics are called, how events are written."""

from dataclasses import dataclass, field, replace

from worker.adapters.kafka.clients import KafkaConfig
from worker.adapters.kafka.rights import Needs, require_rights
from worker.adapters.kafka.topics import TopicAdmin, TopicShape
from worker.core.codec import ContentMode, encode_record
from worker.core.errors import SetupError
from worker.core.events import Event
from worker.core.records import Output
from worker.core.routing import Topics
from worker.ports import KafkaUnavailable
from worker.settings import PREFIX, Settings, load_settings

_NO_DATABASE = {f"{PREFIX}DATABASE_URL": "postgresql://"}
"""Services and clients need none."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Say where Kafka is, and how its topics are used. `topic_partitions` is for topics that are made."""

    kafka: KafkaConfig
    topics: Topics
    content_mode: ContentMode = ContentMode.STRUCTURED
    error_stacks: bool = False
    create_topics: bool = False
    shape: TopicShape = field(default_factory=TopicShape)

    def input_record(self, event: Event) -> Output:
        """Write an event for the topic that the worker reads."""
        encoded = encode_record(event, self.content_mode)
        return Output(self.topics.input, encoded.key, encoded.value, encoded.headers)

    def prepare(self, needs: Needs) -> None:
        """See to it that these topics can be read, by these groups, and the worker's input topic be written to.

        Missing topics are made if the settings say so. Raises: SetupError that names what is missing, or no broker.
        """
        names = [self.topics.input, *needs.reads]
        try:
            admin = TopicAdmin(self.kafka)
            admin.cluster_id()
            require_rights(self.kafka, replace(needs, writes=[self.topics.input]))
            missing = admin.missing(names)
            if missing and self.create_topics:
                admin.create(missing, self.shape)
                return
        except KafkaUnavailable as error:
            raise SetupError(str(error)) from error
        if missing:
            raise SetupError(
                f"these topics are missing: {', '.join(missing)}. Start a worker that makes them, create them, or set "
                f"WORKER_CREATE_TOPICS=true to have them made with {self.shape.partitions} partitions"
            )


def connection_of(settings: Settings | None) -> Connection:
    """Take what is needed of the settings, else of the environment's. Raises: SetupError."""
    given = settings or service_settings()
    return Connection(
        kafka=KafkaConfig(given.kafka_bootstrap_servers, given.kafka_properties),
        topics=Topics(given.topic_prefix),
        content_mode=ContentMode(given.kafka_content_mode),
        error_stacks=given.error_stacks,
        create_topics=given.create_topics,
        shape=TopicShape(given.topic_partitions),
    )


def service_settings() -> Settings:
    """Load the settings as the worker does; the database's address may be missing. Raises: SetupError."""
    return load_settings(defaults=_NO_DATABASE).settings
