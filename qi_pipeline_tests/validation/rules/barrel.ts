// What relative.ts imports; in order throughout.
export * as base from "../../../lib/base/src/index.js";
export { failure as fail, map, match as fold } from "../../../lib/base/src/result.js";
export type { Result as Outcome } from "../../../lib/base/src/result.js";
