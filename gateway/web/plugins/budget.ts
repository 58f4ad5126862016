// What the page may weigh: the build ends with an error where it is more. kB of gzip, as UI.md has them.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import type { Plugin, Rollup } from 'vite';

/** JS and CSS before Today can be used. */
const FIRST_LOAD = 100;
const LAZY_CHUNK = 60;
const DEPENDENCIES = 8;
const FIRST_PAGE = 'Today';

export function budget(): Plugin {
  return {
    name: 'budget',
    apply: 'build',
    generateBundle(_, bundle) {
      const weigh = (name: string) => {
        const file = bundle[name] ?? this.error(`${name} is not there to be weighed`);
        return gzipSync(file.type === 'chunk' ? file.code : file.source).length / 1000;
      };
      const chunks = Object.values(bundle).filter((file) => file.type === 'chunk');
      const first = new Set<string>();
      const load = (what: string, is: (chunk: Rollup.OutputChunk) => boolean) => {
        const chunk = chunks.find(is) ?? this.error(`${what} is not there to be weighed`);
        if (first.has(chunk.fileName)) return;
        first.add(chunk.fileName);
        for (const css of chunk.viteMetadata?.importedCss ?? []) first.add(css);
        for (const name of chunk.imports) load(name, ({ fileName }) => fileName === name);
      };
      load('the entry', ({ isEntry }) => isEntry);
      load(FIRST_PAGE, ({ name }) => name === FIRST_PAGE);
      const total = [...first].reduce((sum, name) => sum + weigh(name), 0);
      this.info(`first load ${total.toFixed(1)} kB of ${FIRST_LOAD}, gzip`);
      if (total > FIRST_LOAD) this.error(`the first load is ${total.toFixed(1)} kB, more than ${FIRST_LOAD}`);
      for (const { fileName } of chunks.filter((chunk) => !first.has(chunk.fileName))) {
        if (weigh(fileName) > LAZY_CHUNK)
          this.error(`${fileName} is ${weigh(fileName).toFixed(1)} kB, more than ${LAZY_CHUNK}`);
      }
      const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: object };
      const count = Object.keys(manifest.dependencies).length;
      if (count > DEPENDENCIES) this.error(`${count} dependencies at run time, more than ${DEPENDENCIES}`);
    },
  };
}
