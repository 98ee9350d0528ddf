"""Values that are wrong are refused before anything is installed, with a text that names them."""

import pytest

from tests.helm.chart import VALUE_SETS, Helm
from tests.helm.schema import REFUSED_PROPERTIES

pytestmark = pytest.mark.timeout(900)

MINIMAL = next(path for path in VALUE_SETS if path.stem == "minimal")

REFUSED = {
    # What values.schema.json says.
    ('kafka.bootstrapServers=""',): "/kafka/bootstrapServers",
    ('kafka.bootstrapServers="kafka"',): "/kafka/bootstrapServers",
    ('database.secretName=""',): "/database/secretName",
    ('database.secretName="Upper"',): "/database/secretName",
    ("kafka.topics=1",): "'topics'",
    ("replica=3",): "'replica'",
    ("replicas=0",): "/replicas",
    ('replicas="3"',): "/replicas",
    ('image.digest="latest"',): "/image/digest",
    ('image.pullPolicy="Sometimes"',): "/image/pullPolicy",
    ('kafka.topicPrefix="a/b"',): "/kafka/topicPrefix",
    ('kafka.securityProtocol="TLS"',): "/kafka/securityProtocol",
    ('kafka.securityProtocol="SASL_SSL"', 'kafka.sasl.mechanism="GSSAPI"'): "/kafka/sasl/mechanism",
    ('kafka.securityProtocol="SASL_SSL"', 'kafka.sasl.mechanism="PLAIN"'): "/kafka/sasl",
    ('kafka.properties={"Session": 1}',): "invalid propertyName 'Session'",
    ('settings.topic_prefix="x"',): "'topic_prefix'",
    ("settings.batch_record_max=1",): "'batch_record_max'",
    ("settings.batch_records_max=0",): "/settings/batch_records_max",
    ('settings.log_level="loud"',): "/settings/log_level",
    ('database.tls.mode="prefer"',): "/database/tls/mode",
    ('machines.files={"my-shop": {"a.py": ""}}',): "invalid propertyName 'my-shop'",
    ('machines.files={"shop": {"a/b.py": ""}}',): "invalid propertyName 'a/b.py'",
    ('machines.configMaps=[{"name": "shop"}]',): "/machines/configMaps/0",
    ("rollout.terminationGracePeriodSeconds=20",): "/rollout/terminationGracePeriodSeconds",
    ("rollout.podsAtOnce=0",): "/rollout/podsAtOnce",
    ('autoscaling.kind="vpa"',): "/autoscaling/kind",
    ("podDisruptionBudget.maxUnavailable=0",): "/podDisruptionBudget/maxUnavailable",
    ('podDisruptionBudget.maxUnavailable="half"',): "/podDisruptionBudget/maxUnavailable",
    ("networkPolicy.database.ports=[]",): "/networkPolicy/database/ports",
    ('monitoring.alerts.kind="mail"',): "/monitoring/alerts/kind",
    # What values say together.
    ("replicas=11",): "replicas is 11 and kafka.partitions 10",
    ('autoscaling={"kind": "keda", "maxReplicas": 11}',): "autoscaling.maxReplicas is 11 and kafka.partitions 10",
    ('autoscaling={"kind": "keda", "minReplicas": 3, "maxReplicas": 2}',): "autoscaling.minReplicas is 3",
    ('autoscaling={"kind": "hpa", "minReplicas": 0}',): "a HorizontalPodAutoscaler can't do",
    ('kafka.securityProtocol="SASL_SSL"',): "set kafka.sasl.mechanism",
    ('kafka.sasl={"mechanism": "PLAIN", "username": "u", "secretName": "s"}',): "set that to SASL_SSL",
    ('kafka.tls.secretName="certificates"',): "set that to SSL or SASL_SSL",
    ('kafka.securityProtocol="SSL"', 'kafka.tls={"secretName": "c", "certKey": "tls.crt"}'): "certKey and keyKey",
    ('database.tls={"secretName": "c", "keyKey": "tls.key"}',): "database.tls: certKey and keyKey",
    ('machines={"configMaps": [{"package": "a", "name": "a"}], "files": {"a": {"a.py": ""}}}',): "the package a is in",
}


@pytest.mark.parametrize("sets", REFUSED, ids=" ".join)
def test_is_refused(helm: Helm, sets: tuple[str, ...]) -> None:
    done = helm.try_render(MINIMAL, sets=sets)
    assert done.returncode != 0
    assert REFUSED[sets] in done.stderr, done.stderr


@pytest.mark.parametrize("name", REFUSED_PROPERTIES)
def test_properties_that_are_not_the_users_are_refused(helm: Helm, name: str) -> None:
    done = helm.try_render(MINIMAL, sets=[f'kafka.properties={{"{name}": "x"}}'])
    assert done.returncode != 0
    assert f"invalid propertyName '{name}'" in done.stderr, done.stderr


def test_what_a_parent_chart_gives_is_taken(helm: Helm) -> None:
    assert helm.render(MINIMAL, sets=['global={"anything": 1}']) == helm.render(MINIMAL)
