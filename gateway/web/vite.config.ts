import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';
import { budget } from './plugins/budget.ts';
import { worker } from './plugins/worker.ts';

// `npx vite` serves the page with live reload and passes the rest on to a server that runs: ADJUTANT_URL says where.
const server = process.env['ADJUTANT_URL'] ?? 'http://127.0.0.1:8080';

// The server knows its own page by Host and Origin.
const passOn = { target: server, changeOrigin: true, headers: { origin: server } };
const proxy = { '/api': passOn, '/ws': { ...passOn, ws: true } };

export default defineConfig({
  plugins: [svelte(), worker(), budget()],
  build: {
    target: 'es2023',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      output: {
        entryFileNames: 'assets/[name]-[hash].js',
        // A new version of the page does not bring the reader of Markdown again.
        codeSplitting: { groups: [{ name: 'markdown', test: /node_modules.(marked|dompurify|remend)/ }] },
      },
    },
  },
  server: { proxy },
  preview: { proxy },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
