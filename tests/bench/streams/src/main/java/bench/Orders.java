package bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Each order as a JSON document in the store, moved on by a switch over what came. */
final class Orders implements Processor<String, byte[], String, byte[]> {
    static final String STORE = "orders";

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final AtomicBoolean BEGUN = new AtomicBoolean();
    private static final List<String> ROUTING = List.of("id", "type", "source", "subject", "to");

    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, byte[]> orders;

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
        this.context = context;
        this.orders = context.getStateStore(STORE);
    }

    @Override
    public void process(Record<String, byte[]> incoming) {
        if (BEGUN.compareAndSet(false, true)) {
            System.out.println("{\"first\":" + System.nanoTime() / 1e9 + "}");
        }
        try {
            advance(incoming, (ObjectNode) JSON.readTree(incoming.value()));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private void advance(Record<String, byte[]> incoming, ObjectNode event) throws IOException {
        byte[] stored = orders.get(incoming.key());
        ObjectNode order = stored == null ? JSON.createObjectNode() : (ObjectNode) JSON.readTree(stored);
        JsonNode data = event.get("data");
        switch (order.path("state").asText("new") + " " + event.get("type").asText()) {
            case "new arvo.orc.order" -> {
                begin(order, data);
                enter(order, "reserving");
                ObjectNode request = request(order);
                request.set("items", order.get("items"));
                emit(incoming, event, "com.inventory.reserve", "#/services/inventory/1.0.0", request, "default");
            }
            case "reserving evt.inventory.reserve.success" -> {
                order.set("total", data.get("total"));
                order.set("warehouse", data.get("warehouse"));
                enter(order, "approving");
                ObjectNode request = request(order);
                request.set("amount", order.get("amount"));
                emit(incoming, event, "com.approval.request", "#/services/approval/1.0.0", request, "external");
            }
            case "approving evt.approval.request.success" -> {
                if (!data.get("approved").asBoolean()) {
                    complete(incoming, event, order, "rejected");
                    break;
                }
                order.set("approved_by", data.get("by"));
                enter(order, "charging");
                ObjectNode request = request(order);
                request.set("amount", order.get("total"));
                emit(incoming, event, "com.payment.charge", "#/services/payment/1.0.0", request, "default");
            }
            case "charging evt.payment.charge.success" -> {
                order.set("charge_id", data.get("charge_id"));
                complete(incoming, event, order, "completed");
            }
            case "reserving evt.inventory.reserve.failure", "charging evt.payment.charge.declined" -> {
                order.set("reason", data.get("reason"));
                complete(incoming, event, order, "failed");
            }
            case "reserving sys.com.inventory.reserve.error",
                    "approving sys.com.approval.request.error",
                    "charging sys.com.payment.charge.error" -> {
                order.set("reason", data.get("errorMessage"));
                complete(incoming, event, order, "failed");
            }
            default -> {
                return;
            }
        }
        orders.put(incoming.key(), JSON.writeValueAsBytes(order));
    }

    private static void begin(ObjectNode order, JsonNode data) {
        for (String name : List.of("order_id", "amount", "customer", "currency", "items")) {
            order.set(name, data.get(name));
        }
        for (String name : List.of("total", "warehouse", "approved_by", "charge_id", "reason")) {
            order.putNull(name);
        }
        order.putArray("visited");
    }

    private static void enter(ObjectNode order, String state) {
        order.put("state", state);
        order.withArray("/visited").add(state);
    }

    private static ObjectNode request(ObjectNode order) {
        ObjectNode data = JSON.createObjectNode();
        data.set("order_id", order.get("order_id"));
        return data;
    }

    private void complete(Record<String, byte[]> incoming, ObjectNode event, ObjectNode order, String status)
            throws IOException {
        enter(order, status);
        ObjectNode data = request(order);
        data.put("status", status);
        for (String name : List.of("total", "charge_id", "reason")) {
            data.set(name, order.get(name));
        }
        emit(incoming, event, "arvo.orc.order.done", "#/machines/order/1.0.0", data, "default");
    }

    private void emit(
            Record<String, byte[]> incoming,
            ObjectNode cause,
            String type,
            String schema,
            ObjectNode data,
            String domain)
            throws IOException {
        ObjectNode event = JSON.createObjectNode();
        String id = cause.get("id").asText() + " " + type;
        event.put("specversion", "1.0");
        event.put("id", UUID.nameUUIDFromBytes(id.getBytes(StandardCharsets.UTF_8)).toString());
        event.put("source", "arvo.orc.order");
        event.put("type", type);
        event.set("subject", cause.get("subject"));
        event.put("datacontenttype", cause.get("datacontenttype").asText());
        event.put("dataschema", schema);
        event.put("time", Instant.now().toString());
        event.put("to", type.endsWith(".done") ? "com.example.shop" : type);
        event.set("accesscontrol", cause.get("accesscontrol"));
        event.set("executionunits", cause.get("executionunits"));
        event.set("traceparent", cause.get("traceparent"));
        event.set("parentid", cause.get("id"));
        event.put("domain", domain);
        event.set("data", data);
        byte[] value = JSON.writeValueAsBytes(event);
        context.forward(new Record<>(incoming.key(), value, incoming.timestamp(), headers(event)), domain);
    }

    private static Headers headers(ObjectNode event) {
        Headers headers = new RecordHeaders();
        headers.add("content-type", "application/cloudevents+json; charset=UTF-8".getBytes(StandardCharsets.UTF_8));
        for (String name : ROUTING) {
            headers.add("ce_" + name, event.get(name).asText().getBytes(StandardCharsets.UTF_8));
        }
        return headers;
    }
}
