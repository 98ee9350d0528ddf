"""The order workflow as most teams write it: one database transaction and one offset commit per event.

It publishes after it has committed, so what dies in between is lost; nothing tells a duplicate.
"""

import json
import os
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
import psycopg
from confluent_kafka import Consumer, KafkaException, Message, Producer

from tests.bench.children import stop_at_end_of_input, tell

WAIT_SECONDS = 0.2
TIMEOUT_SECONDS = 30.0
ROUTING = ("id", "type", "source", "subject", "to")
CREATE = "CREATE TABLE IF NOT EXISTS orders (subject text PRIMARY KEY, state text NOT NULL, context jsonb NOT NULL)"
READ = "SELECT state, context FROM orders WHERE subject = %s FOR UPDATE"
WRITE = (
    "INSERT INTO orders (subject, state, context) VALUES (%s, %s, %s) "
    "ON CONFLICT (subject) DO UPDATE SET state = excluded.state, context = excluded.context"
)


@dataclass(slots=True)
class Request:
    """What an order asks of a service, or says at its end."""

    type: str
    dataschema: str
    data: dict[str, Any]
    domain: str = "default"


@dataclass(slots=True)
class Order:
    """One order: where it stands, and what it knows."""

    state: str
    context: dict[str, Any]

    def advance(self, event: dict[str, Any]) -> Request | None:
        """Take an event; give what is to be sent for it, if it was waited for."""
        data, context = event["data"], self.context
        request: Request | None = None
        match (self.state, event["type"]):
            case ("new", "arvo.orc.order"):
                context |= {name: data[name] for name in ("order_id", "amount", "customer", "currency", "items")}
                context |= {"charge_id": None, "reason": None, "total": None, "visited": []}
                asked = {"order_id": context["order_id"], "items": context["items"]}
                request = Request("com.inventory.reserve", "#/services/inventory/1.0.0", asked)
                self._enter("reserving")
            case ("reserving", "evt.inventory.reserve.success"):
                context |= {"total": data["total"], "warehouse": data["warehouse"]}
                asked = {"order_id": context["order_id"], "amount": context["amount"]}
                request = Request("com.approval.request", "#/services/approval/1.0.0", asked, "external")
                self._enter("approving")
            case ("approving", "evt.approval.request.success") if data["approved"]:
                context["approved_by"] = data["by"]
                asked = {"order_id": context["order_id"], "amount": context["total"]}
                request = Request("com.payment.charge", "#/services/payment/1.0.0", asked)
                self._enter("charging")
            case ("approving", "evt.approval.request.success"):
                request = self._complete("rejected")
            case ("charging", "evt.payment.charge.success"):
                context["charge_id"] = data["charge_id"]
                request = self._complete("completed")
            case ("reserving", "evt.inventory.reserve.failure") | ("charging", "evt.payment.charge.declined"):
                context["reason"] = data["reason"]
                request = self._complete("failed")
            case ("reserving" | "approving" | "charging", type_) if type_.startswith("sys."):
                context["reason"] = data["errorMessage"]
                request = self._complete("failed")
        return request

    def _enter(self, state: str) -> None:
        self.state = state
        self.context["visited"].append(state)

    def _complete(self, status: str) -> Request:
        self._enter(status)
        data = {name: self.context[name] for name in ("order_id", "total", "charge_id", "reason")} | {"status": status}
        return Request("arvo.orc.order.done", "#/machines/order/1.0.0", data)


class ByHand:
    """The loop around it."""

    def __init__(self, prefix: str, bootstrap_servers: str, database_url: str) -> None:
        self._prefix = prefix
        self._database = psycopg.connect(database_url)
        with self._database.transaction():
            self._database.execute(CREATE)
        self._producer = Producer({"bootstrap.servers": bootstrap_servers, "enable.idempotence": True, "linger.ms": 0})
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": prefix,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        self._consumer.subscribe([f"{prefix}.input"])
        self.events = 0

    def turn(self) -> None:
        """Take one event, if there is one."""
        message = self._consumer.poll(WAIT_SECONDS)
        if message is None:
            return
        if error := message.error():
            raise KafkaException(error)
        if not self.events:
            tell(first=time.monotonic())
        self._take(message)
        self._consumer.commit(message=message, asynchronous=False)
        self.events += 1

    def close(self) -> None:
        self._consumer.close()
        self._database.close()

    def _take(self, message: Message) -> None:
        event = orjson.loads(message.value() or b"")
        subject = event["subject"]
        with self._database.transaction():
            row = self._database.execute(READ, [subject]).fetchone()
            order = Order(*row) if row else Order("new", {})
            request = order.advance(event)
            if request is None:
                return
            self._database.execute(WRITE, [subject, order.state, json.dumps(order.context)])
        self._send(request, event)

    def _send(self, request: Request, cause: dict[str, Any]) -> None:
        event = {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": "arvo.orc.order",
            "type": request.type,
            "subject": cause["subject"],
            "datacontenttype": cause["datacontenttype"],
            "dataschema": request.dataschema,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "to": "com.example.shop" if request.type.endswith(".done") else request.type,
            "accesscontrol": cause["accesscontrol"],
            "executionunits": None,
            "traceparent": cause["traceparent"],
            "parentid": cause["id"],
            "data": request.data,
        }
        headers = [(f"ce_{name}", event[name]) for name in ROUTING]
        headers.append(("content-type", "application/cloudevents+json; charset=UTF-8"))
        topic = f"{self._prefix}.{request.domain}"
        self._producer.produce(topic, value=orjson.dumps(event), key=event["subject"], headers=headers)
        if self._producer.flush(TIMEOUT_SECONDS):
            raise TimeoutError(f"an output was not taken within {TIMEOUT_SECONDS:g} s")


def main() -> None:
    """Run until the parent closes our standard input; the settings are the worker's."""
    names = ("WORKER_TOPIC_PREFIX", "WORKER_KAFKA_BOOTSTRAP_SERVERS", "WORKER_DATABASE_URL")
    by_hand = ByHand(*(os.environ[name] for name in names))
    stopping = threading.Event()
    stop_at_end_of_input(stopping.set)
    while not stopping.is_set():
        by_hand.turn()
    by_hand.close()
    tell(events=by_hand.events)


if __name__ == "__main__":
    main()
