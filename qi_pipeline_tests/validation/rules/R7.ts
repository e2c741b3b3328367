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
export const late = fromTryCatch(async () => { throw new Error("x"); }); // expect: R7
export const returned = fromTryCatch(() => () => { throw new Error("x"); }); // expect: R7
export const timed = fromTryCatch(() => setTimeout(() => { throw new Error("x"); }, 1)); // expect: R7
export const stepwise = fromTryCatch(function* () { throw new Error("x"); }); // expect: R7
export const unwaited = fromTryCatch(() => [1].map(async () => { throw new Error("x"); })); // expect: R7
export const each = fromAsyncTryCatch(async () => { [1].forEach(async () => { throw new Error("x"); }); }); // expect: R7
const round = (): number => { throw new Error(String(square())); }; // expect: R7
const square = (): number => round();
function alsoAlone(): number { throw new Error("x"); } // expect: R7
export const both = [fromTryCatch(alsoAlone), alsoAlone()];
const tooLate = async (): Promise<number> => { throw new Error("x"); }; // expect: R7
export const lost = fromTryCatch(() => tooLate());
export function known(): number { throw new Error("x"); } // expect: R7
export const passedOn = fromTryCatch(known);
function listed(): number { throw new Error("x"); } // expect: R7
export const list = [fromTryCatch(listed), { listed }];
class Strict { constructor(x: number) { if (x < 0) throw new Error("x"); } } // expect: R7
export const strict = [fromTryCatch(() => new Strict(1)), new Strict(2)];
class Unused { constructor(x: number) { if (x < 0) throw new Error("x"); } } // expect: R7
export const unused = (Unused: new (x: number) => object) => fromTryCatch(() => new Unused(1));
class Held { constructor(x: number) { if (x < 0) throw new Error("x"); } } // expect: R7
export const held = fromTryCatch(() => { class Holder { value = new Held(-1); } return Holder; });
namespace Space { export class Listed { constructor(x: number) { if (x < 0) throw new Error("x"); } } export const tried = fromTryCatch(() => new Listed(1)); } // expect: R7
export const spaced = () => new Space.Listed(-1);
export const inner = () => { const unwrap = () => { throw new Error("x"); }; return unwrap; }; // expect: R7
export const Inner = () => { class ValidatedConfig { get() { throw new Error("x"); } } return ValidatedConfig; }; // expect: R7

const parse = (text: string): unknown => { if (text === "") throw new Error("empty"); return JSON.parse(text); }; // look-alike
const again = (n: number): number => { if (n > 9) throw new Error("x"); return again(n + 1); }; // look-alike
export const ofAgain = fromTryCatch(() => again(1));
const ping = (n: number): number => { if (n > 9) throw new Error("x"); return pong(n + 1); }; // look-alike
const pong = (n: number): number => ping(n + 1);
export const ofPing = fromTryCatch(() => pong(1));
const load = async (): Promise<number> => { throw new Error("x"); }; // look-alike
export const ofLoad = fromAsyncTryCatch(async () => { const x: ReturnType<typeof load> = load(); return x; });
async function typed<T>(x: T): Promise<T> { if (x) throw new Error("x"); return x; } // look-alike
export const ofTyped = fromAsyncTryCatch(async () => { await typed<number>(1); });
export const ofTogether = fromAsyncTryCatch(async () => Promise.all([1].map(async (x) => { if (x) throw new Error("x"); return x; }))); // look-alike
export const ofEach = fromTryCatch(() => [1].map((x) => { if (x) throw new Error("x"); return x; })); // look-alike
class Checked { constructor(x: number) { if (x < 0) throw new Error("x"); } } // look-alike
export const ofConstructor = fromTryCatch(() => new Checked(1));
export const ofCombined = fromTryCatch(() => map((x: number) => { if (x) throw new Error("x"); return x; }, r)); // look-alike
export const ofCalled = fromTryCatch(() => (() => { throw new Error("x"); })()); // look-alike
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
