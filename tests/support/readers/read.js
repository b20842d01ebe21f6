// Reads topics to their end as a Node.js service would: kafkajs, its registry client, the schema of each record's id.
//
// In, as JSON on stdin: {bootstrapServers, registryUrl, topics, count, readerSchemas?}. `readerSchemas` maps topics to the
// schema that their records are to be read by, instead of the one that they were written by.
// Out: one line of JSON per record, bytes and keys in hex, numbers as they come. No logical type is registered with avsc:
// what a service finds without knowing any is the long and the bytes that stand there.
"use strict";

const { readFileSync } = require("node:fs");
const { Kafka, logLevel } = require("kafkajs");
const { SchemaRegistry, SchemaType } = require("@kafkajs/confluent-schema-registry");

const asked = JSON.parse(readFileSync(0, "utf8"));

function fail(what, error) {
  console.error(what, error);
  process.exit(1);
}

function plain(value) {
  if (Buffer.isBuffer(value)) return { $bytes: value.toString("hex") };
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, plain(part)]));
}

async function main() {
  const kafka = new Kafka({
    brokers: [asked.bootstrapServers],
    logLevel: logLevel.ERROR,
    logCreator: () => ({ namespace, log }) => console.error(namespace, log.message, log.error ?? ""),
  });
  const registry = new SchemaRegistry({ host: asked.registryUrl });
  const consumer = kafka.consumer({ groupId: `read-${process.pid}-${Date.now()}`, maxWaitTimeInMs: 50 });
  consumer.on(consumer.events.CRASH, ({ payload }) => fail("the consumer crashed:", payload.error));

  let left = asked.count;
  let finish;
  const finished = new Promise((resolve) => (finish = resolve));

  async function eachMessage({ topic, partition, message }) {
    const options = {};
    if (asked.readerSchemas?.[topic]) {
      options[SchemaType.AVRO] = { readerSchema: JSON.parse(asked.readerSchemas[topic]) };
    }
    let value;
    try {
      value = await registry.decode(message.value, options);
    } catch (error) {
      fail(`${topic}, partition ${partition}, offset ${message.offset}:`, error);
    }
    const headers = Object.entries(message.headers).map(([name, content]) => [name, content.toString("hex")]);
    const record = {
      topic,
      partition,
      offset: Number(message.offset),
      key: message.key && message.key.toString("hex"),
      timestamp: Number(message.timestamp),
      schemaId: message.value.readUInt32BE(1),
      headers,
      value: plain(value),
    };
    console.log(JSON.stringify(record));
    left -= 1;
    if (left === 0) finish();
  }

  await consumer.connect();
  await consumer.subscribe({ topics: asked.topics, fromBeginning: true });
  await consumer.run({ eachMessage });
  await finished;
  await consumer.disconnect();
}

main().catch((error) => fail("not read:", error));
