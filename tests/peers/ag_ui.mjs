// Judges AG-UI events with the protocol's own schemas: one JSON event per line on stdin. Exits 1 naming every bad line.
import { createInterface } from "node:readline";
import { load } from "./peers.mjs";

const { EventSchemas } = load("@ag-ui/core/schemas");
const shapes = new Map(EventSchemas.options.map(({ shape }) => [shape.type.value, shape]));
let count = 0;
let bad = 0;
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() === "") continue;
  count += 1;
  try {
    const event = JSON.parse(line);
    const shape = shapes.get(event?.type);
    if (!shape) throw new Error(`there is no type ${event?.type}`);
    EventSchemas.parse(event);
    // The schemas let undeclared fields pass; the specification does not.
    const undeclared = Object.keys(event).filter((field) => !Object.hasOwn(shape, field));
    if (undeclared.length) throw new Error(`undeclared: ${undeclared}`);
  } catch (error) {
    bad += 1;
    console.error(`event ${count} is not AG-UI 1.0: ${line}\n${error.message}\n`);
  }
}
if (count === 0) console.error("no events came");
else console.log(`${count - bad} of ${count} events are AG-UI 1.0`);
process.exitCode = bad || !count ? 1 : 0;
