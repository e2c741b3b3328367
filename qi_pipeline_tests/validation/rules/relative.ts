// Names that come by path, through another file or from the library's own files, mean the same.
import { base, fail, fold, map as transform } from "./barrel.js";
import type { Outcome } from "./barrel.js";
import { create } from "../../../lib/base/src/error.js";
import { Err, flatMap, fromTryCatch } from "../../../lib/base/src/index.js";
import * as results from "../../../lib/base/src/result.js";
import { createLogger } from "../../../lib/core/src/logger.js";

declare const r: Outcome<number>;

export const tag = r.tag; // expect: R1
export const value = (x: results.Success<number>) => x.value; // expect: R2
const { tag: taken } = r; // expect: R3
export const turned = transform(r, (x: number) => x); // expect: R4
export const namespaced = results.map(r, (x: number) => x); // expect: R4
export const renamespaced = base.map(r, (x: number) => x); // expect: R4
export const handlers = fold({ success: 1, failure: 2 }, r); // expect: R5
export const later = flatMap(async (x: number) => results.success(x), r); // expect: R6
export const category = create("A", "m", "PARSE"); // expect: R9
export const text = fail("x"); // expect: R10
export const aliased = Err("x"); // expect: R10
export const logger = createLogger({ level: "info" }).info("x"); // expect: R11

export const ofTransform = transform((x: number) => x, r); // look-alike
export const ofFold = fold((x: number) => x, () => 0, r); // look-alike
export const ofThrow = fromTryCatch(() => { throw new Error("x"); }); // look-alike
export const ofFailure = fail(create("A", "m", "SYSTEM")); // look-alike
export const ofShadow = (create: (a: string, b: string, c: string) => string) => create("A", "m", "PARSE"); // look-alike
export const ofTaken = taken; // look-alike
