import { defineConfig } from 'vitest/config';

// Journeys of a person through the real page, against the real server. The Rust test `proof_browser` starts both.
// It names one file at a time.
const file = process.env['ADJUTANT_E2E_FILE'] ?? '*';

export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: [`${file}.e2e.ts`],
    environment: 'node',
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // As long as a journey waits for anything else.
    expect: { poll: { timeout: 10_000 } },
    reporters: ['verbose'],
  },
});
