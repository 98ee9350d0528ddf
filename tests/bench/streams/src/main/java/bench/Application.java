package bench;

import java.io.IOException;
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.Stores;

/** The order workflow on Kafka Streams, exactly once; it ends when its standard input is closed. */
public final class Application {
    private static final Duration CLOSE_TIMEOUT = Duration.ofSeconds(20);

    private Application() {}

    /** Arguments: brokers, application id, state folder, topics: input, default domain, external domain. */
    public static void main(String[] arguments) throws IOException {
        Topology topology = topology(arguments[3], arguments[4], arguments[5]);
        KafkaStreams streams = new KafkaStreams(topology, properties(arguments));
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.start();
        while (System.in.read() >= 0) {
            // Only its end says anything.
        }
        streams.close(CLOSE_TIMEOUT);
        System.out.println("{}");
    }

    private static Properties properties(String[] arguments) {
        Properties properties = new Properties();
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[1]);
        properties.put(StreamsConfig.STATE_DIR_CONFIG, arguments[2]);
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        return properties;
    }

    private static Topology topology(String input, String internal, String external) {
        return new Topology()
                .addSource("input", new StringDeserializer(), new ByteArrayDeserializer(), input)
                .addProcessor("workflow", Orders::new, "input")
                .addStateStore(
                        Stores.keyValueStoreBuilder(
                                Stores.persistentKeyValueStore(Orders.STORE), Serdes.String(), Serdes.ByteArray()),
                        "workflow")
                .addSink("default", internal, new StringSerializer(), new ByteArraySerializer(), "workflow")
                .addSink("external", external, new StringSerializer(), new ByteArraySerializer(), "workflow");
    }
}
