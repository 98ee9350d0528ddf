// What stands between arvo-core's events and kafkajs's records.
import { ArvoEvent } from 'arvo-core';
import { type IHeaders, Kafka, type Message, Partitioners, logLevel } from 'kafkajs';

type Received = { value: Buffer | null; headers?: IHeaders };

/** Write an event as a record: the whole event in the value, keyed by its subject. */
export const toMessage = (event: ArvoEvent): Message => ({
  key: event.subject,
  value: event.toString(),
  headers: { 'content-type': 'application/cloudevents+json; charset=UTF-8' },
});

/** Read the event of a record in either content mode. Throws what arvo-core throws, if it is none. */
export const readEvent = (record: Received): ArvoEvent => {
  const { data, ...attributes } = documentOf(record);
  const extensions = Object.fromEntries(Object.entries(attributes).filter(([name]) => !ATTRIBUTES.has(name)));
  return new ArvoEvent({ ...ABSENT, ...attributes } as Context, data, extensions);
};

type Context = ConstructorParameters<typeof ArvoEvent>[0];

const ABSENT = {
  dataschema: null,
  to: null,
  accesscontrol: null,
  redirectto: null,
  executionunits: null,
  traceparent: null,
  tracestate: null,
};
const REQUIRED = ['id', 'source', 'specversion', 'type', 'subject', 'datacontenttype', 'time'];
const ATTRIBUTES = new Set([...REQUIRED, ...Object.keys(ABSENT)]);

const documentOf = ({ value, headers = {} }: Received): Record<string, any> => {
  const body = JSON.parse(String(value));
  const contentType = headers['content-type'] && String(headers['content-type']);
  if (!contentType || contentType.startsWith('application/cloudevents+json')) {
    return body;
  }
  // Binary mode: the attributes are headers, and texts; the value is the data.
  const attributes: Record<string, any> = { datacontenttype: contentType, data: body };
  for (const [name, text] of Object.entries(headers)) {
    if (name.startsWith('ce_')) {
      attributes[name.slice('ce_'.length)] = String(text);
    }
  }
  if ('executionunits' in attributes) {
    attributes.executionunits = Number(attributes.executionunits);
  }
  return attributes;
};

const setting = (name: string): string => {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} is not set`);
  }
  return value;
};

export const kafka = () =>
  new Kafka({ brokers: [setting('WORKER_KAFKA_BOOTSTRAP_SERVERS')], logLevel: logLevel.ERROR });

/** Name one of the worker's topics: `input`, or a domain. */
export const topic = (name: string): string => `${setting('WORKER_TOPIC_PREFIX')}.${name}`;

/** Make a producer that puts a subject where Java's clients and the worker put it. */
export const newProducer = (client: Kafka) =>
  client.producer({ createPartitioner: Partitioners.DefaultPartitioner, idempotent: true });

/** Make a consumer that sees committed records alone: what the worker takes back, nobody may see. */
export const newConsumer = (client: Kafka, groupId: string) => client.consumer({ groupId, readUncommitted: false });
