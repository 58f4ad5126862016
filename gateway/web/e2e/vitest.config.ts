import { defineConfig } from 'vitest/config';

// Journeys of a person through the real page, against the real server. The Rust test `proof_browser` starts both.
// The figures are no journeys: they are taken alone, on a quiet machine.
const figures = '**/figures.e2e.ts';
const isFigures = process.env['ADJUTANT_E2E_FIGURES'] === '1';

export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: [isFigures ? figures : '**/*.e2e.ts'],
    exclude: isFigures ? [] : [figures],
    environment: 'node',
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // As long as a journey waits for anything else.
    expect: { poll: { timeout: 10_000 } },
    reporters: ['verbose'],
  },
});
