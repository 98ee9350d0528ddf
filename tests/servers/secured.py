"""Servers that let nobody in without TLS and a name: Apache Kafka with SASL, client certificates and ACLs; PostgreSQL.

Each has one way in for the test itself, that may do everything: Kafka a plain listener, PostgreSQL its first user.
"""

import os
import pwd
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.admin._scram import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from tests.servers.certificates import Authority
from tests.servers.kafka import ADMIN_TIMEOUT_SECONDS, QUICK, KafkaCluster, KafkaServer
from tests.servers.postgres import DEBIAN_BINARIES
from worker.adapters.embedded import EmbeddedPostgres
from worker.adapters.embedded.postgres import ACCOUNTS
from worker.adapters.embedded.server import LOOPBACK, free_port

SCRAM_ITERATIONS = 4096
POLL_SECONDS = 0.02
LISTENERS = ("SASL", "MUTUAL", "EXPIRED", "MISNAMED")
"""Beside the test's own: by password, by client certificate, and two whose certificates are wrong."""


@dataclass(frozen=True, slots=True)
class Acl:
    """What a user may do with a resource; the name of a prefixed one is the beginning of others."""

    user: str
    operation: str
    kind: str
    name: str
    is_prefix: bool = False

    def binding(self) -> AclBinding:
        pattern = ResourcePatternType.PREFIXED if self.is_prefix else ResourcePatternType.LITERAL
        return AclBinding(
            ResourceType[self.kind],
            self.name,
            pattern,
            f"User:{self.user}",
            "*",
            AclOperation[self.operation],
            AclPermissionType.ALLOW,
        )


@dataclass(slots=True)
class SecuredKafka:
    """One broker with ACLs. `ports` are its listeners' by name; the certificates lie in `folder`."""

    folder: Path
    authority: Authority
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in LISTENERS})
    server: KafkaServer = field(init=False)

    def __post_init__(self) -> None:
        self.server = KafkaServer(self.folder, java_options=QUICK)
        # They name its ports; it reads them when it is formatted.
        self.server.properties = self._properties()

    @property
    def cluster(self) -> KafkaCluster:
        """Give the listener of the test itself, whose nameless user may do everything."""
        return self.server.cluster

    def address(self, listener: str) -> str:
        return f"{LOOPBACK}:{self.ports[listener]}"

    def make_users(self, passwords: dict[str, str]) -> None:
        """Give users passwords for SCRAM-SHA-512."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, SCRAM_ITERATIONS)
        asked: list[UserScramCredentialAlteration] = [
            UserScramCredentialUpsertion(user, info, word.encode()) for user, word in passwords.items()
        ]
        admin = self.cluster.admin()  # Held on to: without a client its requests are off.
        for done in admin.alter_user_scram_credentials(asked).values():
            done.result(ADMIN_TIMEOUT_SECONDS)

    def allow(self, acls: Iterable[Acl]) -> None:
        admin = self.cluster.admin()
        bindings = [one.binding() for one in acls]
        for done in admin.create_acls(bindings).values():
            done.result(ADMIN_TIMEOUT_SECONDS)
        self._wait_until_told(admin, bindings, are_there=True)

    def forbid(self, acls: Iterable[Acl]) -> None:
        admin, bindings = self.cluster.admin(), [one.binding() for one in acls]
        for done in admin.delete_acls([_filter(one) for one in bindings]).values():
            done.result(ADMIN_TIMEOUT_SECONDS)
        self._wait_until_told(admin, bindings, are_there=False)

    def _wait_until_told(self, admin: AdminClient, bindings: Sequence[AclBinding], *, are_there: bool) -> None:
        """Wait for the broker: its controller answers before it has heard itself."""
        deadline = time.monotonic() + ADMIN_TIMEOUT_SECONDS
        for one in bindings:
            while bool(admin.describe_acls(_filter(one)).result(ADMIN_TIMEOUT_SECONDS)) != are_there:
                assert time.monotonic() < deadline, f"the broker did not hear of {one}"
                time.sleep(POLL_SECONDS)

    def _properties(self) -> dict[str, str]:
        server, hosts = self.server, (LOOPBACK, "localhost")
        certificates = {
            "SASL": self.authority.sign("kafka", hosts),
            "MUTUAL": self.authority.sign("kafka-mutual", hosts),
            "EXPIRED": self.authority.sign("kafka-expired", hosts, has_expired=True),
            "MISNAMED": self.authority.sign("kafka-misnamed", ["elsewhere.example"]),
        }
        places = {"DIRECT": server.port, "PROXIED": server.proxied_port, **self.ports}
        listeners = ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in places.items())
        protocols = dict.fromkeys(("CONTROLLER", "DIRECT", "PROXIED"), "PLAINTEXT")
        protocols |= {"SASL": "SASL_SSL", "MUTUAL": "SSL", "EXPIRED": "SSL", "MISNAMED": "SSL"}
        properties = {
            "listeners": f"{listeners},CONTROLLER://{LOOPBACK}:{server.controller_port}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": ",".join(f"{name}:{value}" for name, value in protocols.items()),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "listener.name.sasl.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.mutual.ssl.truststore.type": "PEM",
            "listener.name.mutual.ssl.truststore.location": str(self.authority.certificate),
            "listener.name.mutual.ssl.principal.mapping.rules": "RULE:^CN=(.*)$/$1/",
        }
        for name, signed in certificates.items():
            properties[f"listener.name.{name.lower()}.ssl.keystore.type"] = "PEM"
            properties[f"listener.name.{name.lower()}.ssl.keystore.location"] = str(signed.both)
        return properties


def _filter(binding: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        binding.restype,
        binding.name,
        binding.resource_pattern_type,
        binding.principal,
        binding.host,
        binding.operation,
        binding.permission_type,
    )


@contextmanager
def secured_postgres(folder: Path, authority: Authority) -> Iterator[EmbeddedPostgres]:
    """Start a PostgreSQL that takes passwords over TLS alone; its files lie in `folder`, which its user can enter.

    It is Debian's: the wheel's has no TLS.
    """
    signed = authority.sign("postgres", (LOOPBACK,))
    hba = folder / "pg_hba.conf"
    hba.write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
    _give_to_postgres((signed.certificate, signed.key, hba))
    settings = {
        "ssl": "on",
        "ssl_cert_file": str(signed.certificate),
        "ssl_key_file": str(signed.key),
        "hba_file": str(hba),
    }
    with EmbeddedPostgres(durable=False, settings=settings, binaries=DEBIAN_BINARIES) as postgres:
        yield postgres


def _give_to_postgres(paths: Sequence[Path]) -> None:
    """Have the user that PostgreSQL runs as own its files, where that is another than ours."""
    if os.geteuid() != 0:
        return
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    account = next(known[name] for name in ACCOUNTS if name in known)
    for path in paths:
        os.chown(path, account.pw_uid, account.pw_gid)
