// The contracts of the order workflow and of its services, as the Python side declares them in machines/order.
// A CommonJS module (.cts): it gets the copy of zod that arvo-core has. An ES module gets a second one, and arvo-core 2.2
// then refuses the unlisted keys of an orchestrator's init data, instead of leaving them out.
import { createArvoContract, createArvoOrchestratorContract } from 'arvo-core';
import { z } from 'zod';

const item = z.object({ sku: z.string(), qty: z.number().int().min(1) });
const refusal = z.object({ reason: z.string() });

export const order = createArvoOrchestratorContract({
  uri: '#/machines/order',
  name: 'order',
  versions: {
    '1.0.0': {
      init: z.object({
        order_id: z.string(),
        amount: z.number().min(0),
        customer: z.string().default(''),
        currency: z.string().default('EUR'),
        items: z.array(item).default([]),
      }),
      complete: z.object({
        order_id: z.string(),
        status: z.enum(['completed', 'rejected', 'failed']),
        total: z.number().nullable(),
        charge_id: z.string().nullable(),
        reason: z.string().nullable(),
      }),
    },
  },
}).version('1.0.0');

export const inventory = createArvoContract({
  uri: '#/services/inventory',
  type: 'com.inventory.reserve',
  versions: {
    '1.0.0': {
      accepts: z.object({ order_id: z.string(), items: z.array(item) }),
      emits: {
        'evt.inventory.reserve.success': z.object({ total: z.number(), warehouse: z.string() }),
        'evt.inventory.reserve.failure': refusal,
      },
    },
  },
}).version('1.0.0');

export const approval = createArvoContract({
  uri: '#/services/approval',
  type: 'com.approval.request',
  versions: {
    '1.0.0': {
      accepts: z.object({ order_id: z.string(), amount: z.number() }),
      emits: { 'evt.approval.request.success': z.object({ approved: z.boolean(), by: z.string() }) },
    },
  },
}).version('1.0.0');

export const payment = createArvoContract({
  uri: '#/services/payment',
  type: 'com.payment.charge',
  versions: {
    '1.0.0': {
      accepts: z.object({ order_id: z.string(), amount: z.number() }),
      emits: {
        'evt.payment.charge.success': z.object({ charge_id: z.string() }),
        'evt.payment.charge.declined': refusal,
      },
    },
  },
}).version('1.0.0');

const given = z.object({ number: z.number() });
const doubled = z.object({ double: z.number() });

/** An orchestrator that runs in TypeScript, below one of the worker's. */
export const doubling = createArvoOrchestratorContract({
  uri: '#/machines/doubling',
  name: 'doubling',
  versions: { '1.0.0': { init: given, complete: doubled } },
}).version('1.0.0');

/** The worker's orchestrator that calls it. */
export const asking = createArvoOrchestratorContract({
  uri: '#/machines/asking',
  name: 'asking',
  versions: { '1.0.0': { init: given, complete: doubled } },
}).version('1.0.0');
