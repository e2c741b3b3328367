// R7: return failure, do not throw.
import * as base from "@qi/base";
import { failure, fromAsyncTryCatch, fromTryCatch, map, systemError, tryCatch, validationError } from "@qi/base";
import type { Result } from "@qi/base";

declare const r: Result<number>;
declare const log: (text: string) => void;
const fromSomething = (f: () => void): void => f();
const attempt = fromTryCatch;

export function declared(): number { throw new Error("x"); } // expect: R7
export const arrow = (): number => { throw new TypeError("x"); }; // expect: R7
export const text = (): number => { throw "text"; }; // expect: R7
export const later = async (): Promise<number> => { throw new Error("x"); }; // expect: R7
export const handler = fromTryCatch(() => 1, () => { throw new Error("x"); }); // expect: R7
export const mapped = map((x: number) => { if (x < 0) throw new Error("x"); return x; }, r); // expect: R7
export const passed = () => fromSomething(() => { throw new Error("x"); }); // expect: R7
export const qi = (): number => { throw validationError("x"); }; // expect: R7
export const shadowed = (fromTryCatch: (f: () => void) => void) => fromTryCatch(() => { throw new Error("x"); }); // expect: R7
export class Thrower {
  constructor(x: number) { if (x < 0) throw new Error("x"); } // expect: R7
  get(): number { throw new Error("x"); } // expect: R7
}
export function* generated(): Generator<number> { throw new Error("x"); } // expect: R7

const parse = (text: string): unknown => { if (text === "") throw new Error("empty"); return JSON.parse(text); }; // expect: R7
export const indirectly = fromTryCatch(() => parse("x")); // look-alike
function risky(): number { throw new Error("caught where it is passed"); } // look-alike
export const ofPassed = fromTryCatch(risky); // look-alike
export const ofCallback = fromTryCatch(() => { throw new Error("x"); }); // look-alike
export const ofAlias = attempt(() => { throw new Error("x"); }); // look-alike
export const ofOther = tryCatch(() => { throw new Error("x"); }); // look-alike
export const ofNamespace = base.fromTryCatch(() => { throw new Error("x"); }); // look-alike
export const ofAsync = fromAsyncTryCatch(async () => { throw new Error("x"); }); // look-alike
export const ofInner = fromTryCatch(() => { const f = () => { throw new Error("x"); }; return f(); }); // look-alike
export const ofBlock = fromTryCatch((() => { if (r) { throw new Error("x"); } })); // look-alike
export const ofFailure = (): Result<number> => failure(systemError("throw new Error")); // look-alike
export const ofError = (): Error => new Error("made, not thrown"); // look-alike
export const ofText = () => log("throw"); // look-alike
export function unwrap(): number { throw new Error("its own implementation"); } // look-alike
export class ValidatedConfig {
  get(): number { throw new Error("may"); } // look-alike
}
