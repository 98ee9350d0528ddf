// The peer of the comparing tests: asked by lines of JSON on its input, it answers with what arvo-core says.
import { createInterface } from 'node:readline';
import {
  type ArvoEvent,
  ArvoOrchestrationSubject,
  EventDataschemaUtil,
  compareSemanticVersions,
  createArvoContract,
  createArvoEvent,
  createArvoEventFactory,
  createArvoOrchestratorContract,
  createArvoOrchestratorEventFactory,
  createSimpleArvoContract,
  validateURI,
} from 'arvo-core';
import { Partitioners } from 'kafkajs';
import { z } from 'zod';
import { approval, inventory, order, payment } from './contracts.cjs';
import { newDice, randomEvent, randomOrder, randomSubject } from './dice.js';
import { readEvent, toMessage } from './kafka.js';

type Given = any;

// Without a tracer arvo-core logs to the console, where the answers go.
console.log = console.error;

const contracts = { order, inventory, approval, payment };

/** Name the attributes that arvo-core found wrong, as the worker names them. */
const failedAttributes = (error: any): string[] => {
  if (error.name === 'ZodError') {
    return [...new Set<string>(error.issues.map((issue: z.ZodIssue) => String(issue.path[0] ?? 'data')))].sort();
  }
  if (String(error.message).includes("non-empty 'to'")) {
    return ['to'];
  }
  throw error;
};

const judgedEvent = (make: () => ArvoEvent) => {
  try {
    return { json: make().toJSON() };
  } catch (error) {
    return { failed: failedAttributes(error) };
  }
};

const judged = <T>(make: () => T) => {
  try {
    return { result: make() };
  } catch (error) {
    return { refused: String((error as Error).message) };
  }
};

const schemaOf = ({ contract, type }: Given): z.ZodTypeAny => {
  const declared = contracts[contract as keyof typeof contracts];
  if (type === declared.systemError.type) {
    return declared.systemError.schema;
  }
  return type === declared.accepts.type ? declared.accepts.schema : (declared.emits as any)[type];
};

const judgedData = (given: Given) => {
  const judgement = schemaOf(given).safeParse(given.data);
  return judgement.success
    ? { data: judgement.data }
    : { paths: judgement.error.issues.map((issue) => issue.path) };
};

const declare = ({ kind, uri, type_: type, version, emits }: Given) => {
  const schema = z.object({});
  switch (kind) {
    case 'contract':
      return createArvoContract({
        uri,
        type,
        versions: { [version]: { accepts: schema, emits: Object.fromEntries(emits.map((one: string) => [one, schema])) } },
      });
    case 'simple':
      return createSimpleArvoContract({ uri, type, versions: { [version]: { accepts: schema, emits: schema } } });
    default:
      return createArvoOrchestratorContract({ uri, name: type, versions: { [version]: { init: schema, complete: schema } } });
  }
};

/** Tell whether init data may have an unlisted key, by the copy of zod that the contract was declared with. */
const unlistedKeys = () => {
  const data = { parentSubject$$: null, order_id: '1', amount: 1, more: 1 };
  const inThisModule = createArvoOrchestratorContract({
    uri: '#/a',
    name: 'a',
    versions: { '1.0.0': { init: z.object({}), complete: z.object({}) } },
  }).version('1.0.0');
  return {
    commonJs: order.accepts.schema.safeParse(data).success,
    esModule: inThisModule.accepts.schema.safeParse(data).success,
  };
};

const facts = () =>
  Object.values(contracts).map((contract) => ({
    uri: contract.uri,
    type: contract.accepts.type,
    dataschema: contract.dataschema,
    emits: Object.keys(contract.emits).sort(),
    systemError: { type: contract.systemError.type, dataschema: contract.systemError.dataschema },
    metadata: contract.metadata,
  }));

const init = ({ attributes, extensions }: Given) =>
  createArvoOrchestratorEventFactory(order).init(attributes, extensions);

const systemError = ({ attributes, name, message }: Given) => {
  const error = Object.assign(new Error(message), { name, stack: undefined });
  return createArvoEventFactory(inventory).systemError({ ...attributes, error }, { parentid: 'request-1' });
};

const partitionsOf = ({ keys, partitions }: Given) => {
  const partitioner = Partitioners.DefaultPartitioner();
  const partitionMetadata = Array.from({ length: partitions }, (_, partitionId) => ({ partitionId, leader: 1 }));
  return keys.map((key: string) =>
    partitioner({ topic: 't', partitionMetadata: partitionMetadata as never, message: { key, value: '' } }),
  );
};

const inTransit = (event: ArvoEvent) => ({ json: event.toJSON(), message: toMessage(event) });

const generated = <T>({ seed, count }: Given, make: (dice: ReturnType<typeof newDice>) => T): T[] => {
  const dice = newDice(seed);
  return Array.from({ length: count }, () => make(dice));
};

const questions: Record<string, (given: Given) => unknown> = {
  createEvent: ({ attributes, extensions }) => judgedEvent(() => createArvoEvent(attributes, extensions)),
  readEvent: ({ value, headers }) => judgedEvent(() => readEvent({ value: Buffer.from(value, 'utf8'), headers })),
  isUri: ({ text }) => validateURI(text),
  createSubject: ({ content }) => judged(() => ArvoOrchestrationSubject.create(content)),
  newSubject: (given) => judged(() => ArvoOrchestrationSubject.new(given)),
  childSubject: (given) => judged(() => ArvoOrchestrationSubject.from(given)),
  parseSubject: ({ subject }) => judged(() => ArvoOrchestrationSubject.parse(subject)),
  parseDataschema: ({ text }) => EventDataschemaUtil.parse(text),
  compareVersions: ({ a, b }) => Math.sign(compareSemanticVersions(a, b)),
  judgeData: judgedData,
  declare: (given) => judged(() => declare(given).uri),
  facts,
  unlistedKeys,
  init: (given) => judged(() => init(given).toJSON()),
  systemError: (given) => judged(() => inTransit(systemError(given))),
  partitions: partitionsOf,
  randomEvents: (given) => generated(given, (dice) => inTransit(randomEvent(dice))),
  randomOrders: (given) => generated(given, (dice) => inTransit(randomOrder(dice))),
  randomSubjects: (given) => generated(given, randomSubject),
};

for await (const line of createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY })) {
  const { question, given } = JSON.parse(line);
  let told: object;
  try {
    told = { answer: questions[question]!(given) ?? null };
  } catch (error) {
    told = { fault: String((error as Error).stack) };
  }
  process.stdout.write(`${JSON.stringify(told)}\n`);
}
