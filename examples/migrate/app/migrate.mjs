// A migration's program: `up` adds what is missing to the shared database and notes for which release; `down` takes away
// only what this release added: what an earlier one brought is in use. Both may run twice. A file stands for the database.
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";

const file = "data/schema.json";
const release = process.env.SHIPIT_RELEASE;
const schema = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
for (const name of ["001-visits"]) {
  if (process.argv[2] === "down" && schema[name] === release) delete schema[name];
  else if (process.argv[2] === "up") schema[name] ??= release;
}
writeFileSync(`${file}.part`, JSON.stringify(schema));
renameSync(`${file}.part`, file);
console.log(`schema: ${Object.keys(schema).join(", ") || "empty"}`);
