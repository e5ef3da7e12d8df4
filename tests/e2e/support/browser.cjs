// A headless Chromium, driven over its debugging pipe: each line of standard input is a JSON list, a word and what it
// needs, and is answered by one line of JSON. Keeps what each page asked for and everything that went wrong there; judges
// nothing. Ends, with Chromium, when its input does.
'use strict';

const { spawn } = require('child_process');
const readline = require('readline');

const [dir] = process.argv.slice(2);
// How long a page may need; a machine under load is slow.
const PATIENCE = 30_000;
const quiet = ['background-networking', 'component-update', 'default-apps', 'extensions', 'sync', 'gpu', 'dev-shm-usage'];
const chromium = spawn('chromium', [
  '--headless=new',
  '--no-sandbox',
  '--no-first-run',
  '--no-proxy-server',
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
  `--user-data-dir=${dir}`,
  '--remote-debugging-pipe',
  ...quiet.map(name => `--disable-${name}`),
], { stdio: ['ignore', 'ignore', 'inherit', 'pipe', 'pipe'], env: { ...process.env, HOME: dir } });
const [to, from] = chromium.stdio.slice(3);
const calls = new Map();
const pages = new Map();
let number = 0;

function call(method, params, sessionId) {
  number += 1;
  to.write(`${JSON.stringify({ id: number, method, params, sessionId })}\0`);
  return new Promise((resolve, reject) => calls.set(number, { resolve, reject }));
}

let rest = '';
from.setEncoding('utf8').on('data', text => {
  const parts = (rest + text).split('\0');
  rest = parts.pop();
  parts.map(part => JSON.parse(part)).forEach(heard);
});

function heard({ id, result, error, method, params, sessionId }) {
  if (id) {
    const { resolve, reject } = calls.get(id);
    calls.delete(id);
    return error ? reject(new Error(error.message)) : resolve(result);
  }
  const page = [...pages.values()].find(one => one.sessionId === sessionId);
  if (page && events[method]) events[method](page, params);
}

const events = {
  'Network.requestWillBeSent': (page, { requestId, request }) => page.asked.set(requestId, request.url),
  'Network.responseReceived': (page, { response }) => response.status < 400 || page.wrong.push(`${response.status}: ${response.url}`),
  'Network.loadingFailed': (page, { requestId, errorText, canceled }) =>
    canceled || page.wrong.push(`${errorText}: ${page.asked.get(requestId)}`),
  'Runtime.exceptionThrown': (page, { exceptionDetails }) => page.wrong.push(`thrown: ${JSON.stringify(exceptionDetails)}`),
  'Runtime.consoleAPICalled': (page, { type, args }) =>
    ['error', 'warning', 'assert'].includes(type) && page.wrong.push(`console.${type}: ${JSON.stringify(args)}`),
  'Log.entryAdded': (page, { entry }) => entry.level === 'error' && page.wrong.push(`log: ${entry.text} ${entry.url || ''}`),
};

// Asks the page until it answers yes: it may be on its way to another document, which forgets every question.
async function until(page, what, expression) {
  const end = Date.now() + PATIENCE;
  let last = '';
  while (Date.now() < end) {
    try {
      const { result, exceptionDetails } = await call('Runtime.evaluate', { expression, returnByValue: true }, page.sessionId);
      if (result.value === true) return true;
      last = JSON.stringify(exceptionDetails || result.value);
    } catch (error) {
      last = error.message;
    }
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  throw new Error(`${what}: ${last}; wrong: ${page.wrong.join('; ')}`);
}

const element = selector => `document.querySelector(${JSON.stringify(selector)})`;

const words = {
  async open(name, url) {
    const { targetId } = await call('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true });
    const page = { sessionId, asked: new Map(), wrong: [] };
    pages.set(name, page);
    for (const domain of ['Network', 'Runtime', 'Log', 'Page']) await call(`${domain}.enable`, {}, sessionId);
    await call('Page.navigate', { url }, sessionId);
    return until(page, `${url} is loaded`, 'document.readyState === "complete" && location.protocol === "http:"');
  },
  // Until it has an effect: before it is hydrated a button has none.
  press(name, selector, before) {
    const pressed = `(() => { const it = ${element(selector)}; if (it.textContent !== ${JSON.stringify(before)}) return true; it.click(); return it.textContent; })()`;
    return until(pages.get(name), `${selector} does something`, pressed);
  },
  click(name, selector) {
    return until(pages.get(name), `${selector} is there`, `${element(selector)}.click() === undefined`);
  },
  reads(name, selector, text) {
    const same = `(() => { const it = ${element(selector)}; const found = it && it.textContent; return found === ${JSON.stringify(text)} || found; })()`;
    return until(pages.get(name), `${selector} reads ${text}`, same);
  },
  asked: name => [...pages.get(name).asked.values()],
  wrong: name => pages.get(name).wrong,
};

const lines = readline.createInterface({ input: process.stdin });
let last = Promise.resolve();
lines.on('line', line => {
  const [word, ...more] = JSON.parse(line);
  last = last.then(() => words[word](...more)).then(
    value => console.log(JSON.stringify({ value })),
    error => console.log(JSON.stringify({ error: error.message })),
  );
});
lines.on('close', () => chromium.kill('SIGKILL'));
chromium.on('exit', () => process.exit(0));
