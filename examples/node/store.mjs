// The data: a JSON file in a folder that outlives every release. An app would have a database in its place.
import fs from 'node:fs';

const FILE = 'data/store.json';

export function load() {
  try {
    return JSON.parse(fs.readFileSync(FILE, 'utf8'));
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    return { applied: [] };
  }
}

// Written beside and renamed, so that nobody ever reads half of it.
export function save(store) {
  fs.mkdirSync('data', { recursive: true });
  fs.writeFileSync(`${FILE}.new`, JSON.stringify(store));
  fs.renameSync(`${FILE}.new`, FILE);
}

export const applied = () => load().applied;
