// A server of its own. Without `output` and `adapter` the same pages become a static site.
import node from '@astrojs/node';
import { defineConfig } from 'astro/config';

export default defineConfig({
  output: 'server',
  adapter: node({ mode: 'standalone' }),
  build: { inlineStylesheets: 'never' },
  // All packages become part of the build, so that no node_modules ship with it.
  vite: { ssr: { noExternal: true } },
});
