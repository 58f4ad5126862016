// Builds src/worker.ts to /sw.js, with the list of all scripts, styles and fonts, those of pages that are loaded later
// too, which it keeps for offline from the start, and a version made of them.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';
import { transformWithOxc } from 'vite';

const source = fileURLToPath(new URL('../src/worker.ts', import.meta.url));

export function worker(): Plugin {
  return {
    name: 'adjutant-worker',
    apply: 'build',
    async generateBundle(_options, bundle) {
      const hash = createHash('sha256');
      const shell = ['/'];
      for (const [name, file] of Object.entries(bundle).sort(([one], [other]) => (one < other ? -1 : 1))) {
        hash.update(name).update(file.type === 'chunk' ? file.code : file.source);
        if (/\.(js|css|woff2)$/.test(name)) shell.push(`/${name}`);
      }
      const { code } = await transformWithOxc(readFileSync(source, 'utf8'), source, {});
      const version = hash.update(code).digest('hex').slice(0, 16);
      const head = `const VERSION=${JSON.stringify(version)};const SHELL=${JSON.stringify(shell)};\n`;
      this.emitFile({ type: 'asset', fileName: 'sw.js', source: head + code });
    },
  };
}
