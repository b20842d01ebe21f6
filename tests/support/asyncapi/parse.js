// Reads a document from stdin, prints the parser's diagnostics as JSON.
const { readFileSync } = require("node:fs");
const { AvroSchemaParser } = require("@asyncapi/avro-schema-parser");
const { Parser } = require("@asyncapi/parser");

const parser = new Parser();
parser.registerSchemaParser(AvroSchemaParser());
parser.parse(readFileSync(0, "utf8")).then(({ diagnostics }) => console.log(JSON.stringify(diagnostics)));
