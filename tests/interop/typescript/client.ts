// A client of the worker: it starts workflows, and awaits how they end.
import { type ArvoEvent, createArvoOrchestratorEventFactory } from 'arvo-core';
import { order } from './contracts.cjs';
import { kafka, newConsumer, newProducer, readEvent, toMessage, topic } from './kafka.js';

export const CLIENT = 'com.example.shop';

const client = kafka();
const producer = newProducer(client);
const consumer = newConsumer(client, topic('typescript-client'));
const waiting = new Map<string, (reply: ArvoEvent) => void>();

export const connect = async () => {
  await Promise.all([producer.connect(), consumer.connect()]);
  await consumer.subscribe({ topics: [topic('default')], fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ message }) => {
      const event = readEvent(message);
      waiting.get(`${event.to} ${event.subject}`)?.(event);
    },
  });
};

export const disconnect = () => Promise.all([producer.disconnect(), consumer.disconnect()]);

/** Send an event, and await the first one that comes back to `to` under `subject`. */
export const send = async (event: ArvoEvent, to = event.source, subject = event.subject): Promise<ArvoEvent> => {
  const reply = new Promise<ArvoEvent>((resolve) => waiting.set(`${to} ${subject}`, resolve));
  await producer.send({ topic: topic('input'), messages: [toMessage(event)] });
  return reply;
};

/** Start an order and await its end. Throws, if the order's machine failed. */
export const placeOrder = async (order_id: string, amount: number, items: { sku: string; qty: number }[]) => {
  const init = createArvoOrchestratorEventFactory(order).init({
    source: CLIENT,
    data: { parentSubject$$: null, order_id, amount, items },
  });
  const reply = await send(init);
  if (reply.type === order.systemError.type) {
    throw new Error(order.systemError.schema.parse(reply.data).errorMessage);
  }
  return order.emits['arvo.orc.order.done'].parse(reply.data);
};
