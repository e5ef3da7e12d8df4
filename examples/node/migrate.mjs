// Applies the migrations that the store has not seen, in the order of their names. It ships with the release and runs
// in it: `node migrate.mjs`. An old release must still be able to read what a migration leaves.
import fs from 'node:fs';
import { load, save } from './store.mjs';

const folder = new URL('migrations/', import.meta.url);
const store = load();
for (const name of fs.readdirSync(folder).sort()) {
  if (store.applied.includes(name)) continue;
  const { up } = await import(new URL(name, folder));
  up(store);
  store.applied.push(name);
  save(store);
  console.log(`applied ${name}`);
}
