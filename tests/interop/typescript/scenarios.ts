// What the end-to-end test plays. Each scenario gives JSON; all run at once, and are printed as one object.
import {
  ArvoOrchestrationSubject,
  createArvoEvent,
  createArvoOrchestratorEventFactory,
} from 'arvo-core';
import { CLIENT, connect, disconnect, placeOrder, send } from './client.js';
import { asking, order } from './contracts.cjs';
import { PARENT, newParentSubject, orderBelow } from './parent.js';

const PEN = { sku: 'pen', qty: 1 };
const starts = createArvoOrchestratorEventFactory(order);
const orderData = (order_id: string) => ({ parentSubject$$: null, order_id, amount: 10, items: [PEN] });

const invalid = async () => {
  const init = createArvoEvent({
    source: CLIENT,
    type: order.accepts.type,
    subject: ArvoOrchestrationSubject.new({ orchestator: order.accepts.type, version: '1.0.0', initiator: CLIENT }),
    dataschema: order.dataschema,
    data: { ...orderData('invalid'), amount: '10' },
  });
  const reply = await send(init);
  return { init, reply, error: order.systemError.schema.parse(reply.data) };
};

const wildcard = async () => {
  const subject = ArvoOrchestrationSubject.new({ orchestator: order.accepts.type, version: null, initiator: CLIENT });
  const init = starts.init({ source: CLIENT, subject, data: orderData('wildcard') });
  const reply = await send(init);
  return { init, reply, output: order.emits['arvo.orc.order.done'].parse(reply.data) };
};

const child = async () => {
  const subject = newParentSubject(CLIENT);
  const reply = await orderBelow(subject, 'child');
  return { subject, reply, output: order.emits['arvo.orc.order.done'].parse(reply.data) };
};

const childWithoutRedirect = async () => {
  const subject = newParentSubject('com.example.warehouse');
  const init = starts.init({ source: PARENT, data: { ...orderData('stray'), parentSubject$$: subject } });
  return { subject, init, reply: await send(init, 'com.example.warehouse', subject) };
};

const failingChild = async () => {
  const subject = newParentSubject(CLIENT);
  const init = createArvoEvent({
    source: PARENT,
    type: order.accepts.type,
    subject: ArvoOrchestrationSubject.from({ orchestator: order.accepts.type, version: '1.0.0', subject }),
    dataschema: order.dataschema,
    // Without an order's id the data is no order's; the parent's subject is told all the same.
    data: { parentSubject$$: subject, amount: 10 },
  });
  const reply = await send(init, PARENT, subject);
  return { subject, reply, error: order.systemError.schema.parse(reply.data) };
};

const typescriptChild = async () => {
  const init = createArvoOrchestratorEventFactory(asking).init({
    source: CLIENT,
    data: { parentSubject$$: null, number: 21 },
  });
  const reply = await send(init);
  return { init, reply, output: asking.emits['arvo.orc.asking.done'].parse(reply.data) };
};

const scenarios = {
  completed: () => placeOrder('completed', 80, [{ sku: 'lamp', qty: 2 }]),
  refused: () => placeOrder('refused', 80, [{ sku: 'out-of-stock', qty: 1 }]),
  rejected: () => placeOrder('rejected', 2000, [PEN]),
  failed: () => placeOrder('failed', 80, [{ sku: 'ship', qty: 500 }]),
  invalid,
  wildcard,
  child,
  childWithoutRedirect,
  failingChild,
  typescriptChild,
};

await connect();
const played = Object.entries(scenarios).map(async ([name, play]) => [name, await play()]);
process.stdout.write(JSON.stringify(Object.fromEntries(await Promise.all(played))));
await disconnect();
