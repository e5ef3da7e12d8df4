// Prints what a PM2 ecosystem file exports, as one line of JSON after a mark; run by the local node, FILE as its
// argument. The file may print, throw or be an ES module; it is only read, and nothing is started.
'use strict';

const file = process.argv[2];
const say = value => process.stdout.write('\n@ecosystem ' + JSON.stringify(value) + '\n', () => process.exit(0));
const fail = error => {
  process.stderr.write(String((error && error.message) || error).split('\n')[0] + '\n');
  process.exit(1);
};

(async () => {
  let value;
  try {
    value = require(file);
  } catch (error) {
    if (error.code !== 'ERR_REQUIRE_ESM' && !(error instanceof SyntaxError)) throw error;
    value = await import(require('url').pathToFileURL(file).href);
  }
  say(value && value.default ? value.default : value);
})().catch(fail);
