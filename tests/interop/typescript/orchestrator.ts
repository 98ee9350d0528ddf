// An orchestrator in TypeScript that a machine of the worker calls: it doubles a number.
import {
  type ArvoEvent,
  ArvoOrchestrationSubject,
  createArvoOrchestratorEventFactory,
} from 'arvo-core';
import { doubling } from './contracts.cjs';
import { kafka, newConsumer, newProducer, readEvent, toMessage, topic } from './kafka.js';

/** Complete one execution: under the parent's subject, for whoever the execution's own subject says. */
const complete = (init: ArvoEvent): ArvoEvent => {
  const { parentSubject$$, number } = doubling.accepts.schema.parse(init.data);
  const { meta, execution } = ArvoOrchestrationSubject.parse(init.subject);
  return createArvoOrchestratorEventFactory(doubling).complete(
    {
      id: `${init.id}.done`,
      source: doubling.accepts.type,
      subject: parentSubject$$ ?? init.subject,
      to: meta?.redirectto ?? execution.initiator,
      data: { double: 2 * number },
    },
    { parentid: init.id },
  );
};

const client = kafka();
const producer = newProducer(client);
const consumer = newConsumer(client, topic('typescript-orchestrator'));
await Promise.all([producer.connect(), consumer.connect()]);
await consumer.subscribe({ topics: [topic('default')], fromBeginning: true });
await consumer.run({
  eachMessage: async ({ message }) => {
    const event = readEvent(message);
    if (event.type === doubling.accepts.type) {
      await producer.send({ topic: topic('input'), messages: [toMessage(complete(event))] });
    }
  },
});
