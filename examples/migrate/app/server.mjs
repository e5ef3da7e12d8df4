// Answers with the schema it finds.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

createServer((_, response) => response.end(readFileSync("data/schema.json"))).listen(process.env.PORT, "127.0.0.1");
