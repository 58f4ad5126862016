// Finds what ./install put into .peers (or $ADJUTANT_PEERS_DIR), wherever the script that asks lies.
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const folder = process.env.ADJUTANT_PEERS_DIR ?? fileURLToPath(new URL("../../.peers", import.meta.url));

/** The package, as `require` gives it. */
export const load = createRequire(join(resolve(folder), "package.json"));

/** The path of a file inside an installed package. */
export const peer = (file) => join(resolve(folder), "node_modules", file);
