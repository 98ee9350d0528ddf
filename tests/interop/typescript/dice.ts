// Random cases, the same for the same seed.
import {
  type ArvoEvent,
  ArvoOrchestrationSubject,
  createArvoEvent,
  createArvoOrchestratorEventFactory,
} from 'arvo-core';
import { order } from './contracts.cjs';

/** Make a generator of numbers in [0, 1): mulberry32. */
export const newDice = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};

type Dice = ReturnType<typeof newDice>;

const below = (dice: Dice, bound: number): number => Math.floor(dice() * bound);
const pick = <T>(dice: Dice, choices: readonly T[]): T => choices[below(dice, choices.length)]!;
const many = <T>(dice: Dice, count: number, make: (dice: Dice) => T): T[] => Array.from({ length: count }, () => make(dice));

const CHARACTERS = [...'abcXYZ019 -_.~/?#[]@!$&()*+,;=%"\'<>\\^`{|}\n\t\u0001\u007fé߀ह한𝕏😀\u2028\ufeff'];
const text = (dice: Dice, least = 0): string => many(dice, least + below(dice, 8), (d) => pick(d, CHARACTERS)).join('');
const label = (dice: Dice): string => many(dice, 1 + below(dice, 4), (d) => pick(d, [...'abcxyz019'])).join('');
const name = (dice: Dice): string => many(dice, 3 + below(dice, 3), label).join('.');

const NUMBERS = [0, -0, 1, -1, 0.1, 1e21, 1e-7, 5e-324, 1.7976931348623157e308, 2 ** 53, -(2 ** 53), 123456.789];
const number = (dice: Dice): number => pick(dice, [...NUMBERS, dice() * 1e6, below(dice, 2 ** 31)]);

const value = (dice: Dice, depth = 3): unknown => {
  const leaves = [null, true, false, number(dice), text(dice)];
  if (depth === 0) {
    return pick(dice, leaves);
  }
  return pick(dice, [
    ...leaves,
    many(dice, below(dice, 4), (d) => value(d, depth - 1)),
    record(dice, depth - 1),
  ]);
};

const record = (dice: Dice, depth = 3): Record<string, unknown> =>
  Object.fromEntries(many(dice, below(dice, 4), (d) => [text(d), value(d, depth)] as const));

const sometimes = <T>(dice: Dice, make: (dice: Dice) => T): T | undefined => (dice() < 0.5 ? make(dice) : undefined);
const time = (dice: Dice): string =>
  new Date(below(dice, 2 ** 41)).toISOString().replace('Z', pick(dice, ['Z', '+00:00', '+05:30', '-12:00', '+0200']));

/** Make an event of any kind, each attribute now there and now not. */
export const randomEvent = (dice: Dice): ArvoEvent =>
  createArvoEvent(
    {
      id: sometimes(dice, (d) => text(d, 1)),
      source: text(dice, 1),
      type: name(dice),
      subject: pick(dice, [randomSubject(dice).subject, text(dice, 1)]),
      data: record(dice),
      time: sometimes(dice, time),
      to: sometimes(dice, text),
      dataschema: sometimes(dice, text),
      redirectto: sometimes(dice, text),
      accesscontrol: sometimes(dice, (d) => text(d, 1)),
      executionunits: sometimes(dice, number),
      traceparent: sometimes(dice, (d) => text(d, 1)),
      tracestate: sometimes(dice, (d) => text(d, 1)),
      datacontenttype: sometimes(dice, (d) => pick(d, ['application/json', 'application/cloudevents+json'])),
    },
    Object.fromEntries(
      many(dice, below(dice, 3), (d) => [`x${label(d)}`, pick(d, [null, true, number(d), text(d)])] as const),
    ),
  );

/** Make a subject, and tell what is in it. */
export const randomSubject = (dice: Dice) => {
  const content = {
    orchestrator: { name: name(dice), version: `${below(dice, 3)}.${below(dice, 20)}.${below(dice, 300)}` as const },
    execution: { id: text(dice, 1).replaceAll(';', ':'), initiator: name(dice) },
    meta: Object.fromEntries(many(dice, below(dice, 3), (d) => [text(d), text(d)] as const)),
  };
  return { content, subject: ArvoOrchestrationSubject.create(content) };
};

/** Make the event that starts an order, below a parent or not. */
export const randomOrder = (dice: Dice): ArvoEvent =>
  createArvoOrchestratorEventFactory(order).init({
    source: name(dice),
    redirectto: sometimes(dice, name),
    accesscontrol: sometimes(dice, (d) => text(d, 1)),
    data: {
      parentSubject$$: pick(dice, [null, randomSubject(dice).subject]),
      order_id: text(dice),
      amount: Math.abs(number(dice)),
      customer: sometimes(dice, text),
      currency: sometimes(dice, text),
      items: sometimes(dice, (d) => many(d, below(d, 4), (e) => ({ sku: text(e), qty: 1 + below(e, 2 ** 31) }))),
    },
  });
