// R2: no .value or .error on a Result, even behind a guard.
import * as base from "@qi/base";
import { collect, create, failure, inspectErr, isFailure, isSuccess, map, match, success, unwrapOr } from "@qi/base";
import { createLogger } from "@qi/core";
import type { Failure, QiError, Result, Success } from "@qi/base";

declare const r: Result<number>;
declare const e: QiError;
declare const later: Promise<Result<number>>;
declare const all: readonly Result<string>[];
const key = "value";

export const guarded = isSuccess(r) ? r.value : 0; // expect: R2
export const failed = isFailure(r) ? r.error : e; // expect: R2
export const quoted = isSuccess(r) ? r["value"] : 0; // expect: R2
export const templated = isSuccess(r) ? r[`value`] : 0; // expect: R2
export const computed = isSuccess(r) ? r[key] : 0; // expect: R2
export const awaited = async () => { const x = await later; return isSuccess(x) ? 0 : x.error; }; // expect: R2
export const found = all.filter(isSuccess).map((item) => item.value); // expect: R2
export const namespaced = base.isSuccess(r) && r.value > 1; // expect: R2
export const half = (ok: Success<number>): number => ok.value; // expect: R2
export const other = (bad: Failure<string>): string => bad.error; // expect: R2
export const unguarded = r.value; // expect: R2
export const erased = (r as any).value; // expect: R2 R12
export const chained = (x?: Success<number>) => x?.value; // expect: R2
export const asserted = (r as Success<number>).value; // expect: R2
export const nested = map((inner) => (isFailure(inner) ? inner.error.message : ""), success(r)); // expect: R2
export const escaped = isSuccess(r) ? r["v\u{61}lue"] : 0; // expect: R2
export const contained = "value" in r ? 1 : 0; // expect: R2
export const containedError = ("error") in (r as object); // expect: R2
export class Holder {
  constructor(private readonly r: Success<number>) {}
  get(): number {
    return this.r.value; // expect: R2
  }
}

declare const input: HTMLInputElement;
declare const option: { value: number } | undefined;
const logger = { error: (text: string) => text, value: 1 };
const iterator = [1][Symbol.iterator]();
const settled: PromiseSettledResult<number> = { status: "fulfilled", value: 1 };
const state = { error: null as string | null, value: 0 };
export const ofInput = input.value; // look-alike
export const ofLogger = logger.error("x"); // look-alike
export const ofConsole = () => console.error("x"); // look-alike
export const ofRealLogger = match((log) => log.error("x"), () => undefined, createLogger({ level: "info" })); // look-alike
export const ofOption = option?.value; // look-alike
export const ofContained = "value" in state; // look-alike
export const ofLoop = () => { for (const name in state) console.log(name); }; // look-alike
export const ofIterator = iterator.next().value; // look-alike
export const ofSettled = settled.status === "fulfilled" ? settled.value : 0; // look-alike
export const ofState = [state.error, state.value, state["value"], state[key]]; // look-alike
export const ofMap = new Map([["value", 1]]).get("value"); // look-alike
export const ofEntries = Object.entries({ value: 1 }).map(([value, error]) => [value, error]); // look-alike
export const ofInspect = inspectErr((error) => console.error(error.message), r); // look-alike
export const ofFailure = failure(create("A", "m", "SYSTEM", { value: state.value })); // look-alike
export const ofDefault = unwrapOr({ value: 0 }, success({ value: 1 })).value; // look-alike
export const ofCollected = collect(success(success({ error: 1 }))); // look-alike
