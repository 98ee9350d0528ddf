// An orchestration in TypeScript that has the worker run an order below it.
import { type ArvoEvent, ArvoOrchestrationSubject, createArvoOrchestratorEventFactory } from 'arvo-core';
import { send } from './client.js';
import { order } from './contracts.cjs';

export const PARENT = 'arvo.orc.shipment';

/** Run an order below an execution of ours. Without `redirectto` its end would go to who started the parent. */
export const orderBelow = (parentSubject: string, order_id: string): Promise<ArvoEvent> => {
  const init = createArvoOrchestratorEventFactory(order).init({
    source: PARENT,
    redirectto: PARENT,
    data: { parentSubject$$: parentSubject, order_id, amount: 10, items: [{ sku: 'pen', qty: 1 }] },
  });
  return send(init, PARENT, parentSubject);
};

export const newParentSubject = (initiator: string): string =>
  ArvoOrchestrationSubject.new({ orchestator: PARENT, version: '1.0.0', initiator, meta: { tenant: 'north' } });
