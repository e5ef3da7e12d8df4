// A migration's program: `up` adds what this release needs to the shared database, once; `down` takes it away again.
// Both may run twice. A file stands for the database here.
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";

const file = "data/schema.json";
const applied = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : [];
const name = "001-visits";
const wanted = process.argv[2] === "down" ? applied.filter((one) => one !== name) : [...new Set([...applied, name])];
writeFileSync(`${file}.part`, JSON.stringify(wanted));
renameSync(`${file}.part`, file);
console.log(`schema: ${wanted.join(", ") || "empty"}`);
