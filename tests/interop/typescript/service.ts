// The order workflow's services: they read the worker's topics, and answer with arvo-core's events.
import { type ArvoEvent, createArvoEventFactory } from 'arvo-core';
import { approval, inventory, payment } from './contracts.cjs';
import { kafka, newConsumer, newProducer, readEvent, toMessage, topic } from './kafka.js';

/** Address an answer. Its id comes from the request's: the worker drops the second of two answers. */
const answerTo = (request: ArvoEvent) => ({
  id: `${request.id}.answer`,
  source: request.type,
  subject: request.subject,
  to: request.redirectto ?? request.source,
  accesscontrol: request.accesscontrol ?? undefined,
  traceparent: request.traceparent ?? undefined,
  tracestate: request.tracestate ?? undefined,
});

const reserve = (request: ArvoEvent): ArvoEvent => {
  const { items } = inventory.accepts.schema.parse(request.data);
  const answers = createArvoEventFactory(inventory);
  if (items.some((item) => item.sku === 'out-of-stock')) {
    return answers.emits(
      { ...answerTo(request), type: 'evt.inventory.reserve.failure', data: { reason: 'an item is out of stock' } },
      { parentid: request.id },
    );
  }
  const total = items.reduce((sum, item) => sum + item.qty * 40, 0);
  return answers.emits(
    { ...answerTo(request), type: 'evt.inventory.reserve.success', data: { total, warehouse: 'Utrecht' } },
    { parentid: request.id },
  );
};

const approve = (request: ArvoEvent): ArvoEvent => {
  const { amount } = approval.accepts.schema.parse(request.data);
  return createArvoEventFactory(approval).emits(
    {
      ...answerTo(request),
      type: 'evt.approval.request.success',
      data: { approved: amount <= 1000, by: 'a TypeScript service' },
    },
    { parentid: request.id },
  );
};

const charge = (request: ArvoEvent): ArvoEvent => {
  const { order_id, amount } = payment.accepts.schema.parse(request.data);
  if (amount > 5000) {
    throw new RangeError(`no card pays ${amount}`);
  }
  return createArvoEventFactory(payment).emits(
    { ...answerTo(request), type: 'evt.payment.charge.success', data: { charge_id: `charge-of-${order_id}` } },
    { parentid: request.id },
  );
};

const services = new Map([
  [inventory.accepts.type as string, { contract: inventory, respond: reserve }],
  [approval.accepts.type, { contract: approval, respond: approve }],
  [payment.accepts.type, { contract: payment, respond: charge }],
]);

const respond = (request: ArvoEvent): ArvoEvent | undefined => {
  const service = services.get(request.type);
  try {
    return service?.respond(request);
  } catch (error) {
    return createArvoEventFactory(service!.contract).systemError(
      { ...answerTo(request), error: error as Error },
      { parentid: request.id },
    );
  }
};

const client = kafka();
const producer = newProducer(client);
const consumer = newConsumer(client, topic('typescript-services'));
await Promise.all([producer.connect(), consumer.connect()]);
await consumer.subscribe({ topics: [topic('default'), topic('external')], fromBeginning: true });
await consumer.run({
  eachMessage: async ({ message }) => {
    const answer = respond(readEvent(message));
    if (answer) {
      await producer.send({ topic: topic('input'), messages: [toMessage(answer)] });
    }
  },
});
