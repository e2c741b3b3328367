// R3: no destructuring of a Result, parameters included.
import { isSuccess, match, success, unwrapOr } from "@qi/base";
import type { ErrorCategory, QiError, Result, Success } from "@qi/base";

declare const r: Result<number>;
declare const e: QiError;
declare const later: Promise<Result<number>>;
declare const all: readonly Result<string>[];
declare const wrapped: { readonly result: Result<number>; readonly pair: [Result<number>, number] };

const { tag } = r; // expect: R3
const { tag: renamed } = success(1); // expect: R3
const { ...rest } = r; // expect: R3
const { result: { tag: nested } } = wrapped; // expect: R3
const { pair: [{ tag: inArray }] } = wrapped; // expect: R3
const [{ tag: first }] = [r] as const; // expect: R3
export const parameter = ({ tag }: Result<number>) => tag; // expect: R3
export function declared({ tag }: Result<number>) { return tag; } // expect: R3
export const contextual = all.map(({ tag }) => tag); // expect: R3
export const awaited = async () => { const { tag } = await later; return tag; }; // expect: R3
export const narrowed = (x: Success<number>) => { const { value } = x; return value; }; // expect: R3
export const guarded = () => { if (isSuccess(r)) { const { value } = r; return value; } return 0; }; // expect: R3
export const looped = () => { for (const { tag } of all) console.log(tag); }; // expect: R3
export const assigned = () => { let tag = ""; ({ tag } = r); return tag; }; // expect: R3
export const defaulted = ({ tag }: Result<number> = r) => tag; // expect: R3
export const then = later.then(({ tag }) => tag); // expect: R3
export const loopedInto = () => { let tag = ""; for ({ tag } of all) console.log(tag); return tag; }; // expect: R3
export const nestedInto = () => { let tag = ""; ({ result: { tag } } = wrapped); return tag; }; // expect: R3
export const pairInto = () => { let tag = ""; ({ pair: [{ tag }] } = { pair: [r] }); return tag; }; // expect: R3
export const listInto = () => { let tag: string | undefined; [{ tag } = r] = all; return tag; }; // expect: R3
export const widened = () => { const { tag }: { tag: string } = r; return tag; }; // expect: R3
export const widenedParameter = ({ tag }: { tag: string } = r) => tag; // expect: R3
export class Holder {
  read({ tag }: Result<number>): string { return tag; } // expect: R3
}

interface Element2 { readonly tag: string; readonly value: number }
declare const element: Element2;
const state = { error: "", value: 1 };
const { tag: ofElement, value: ofValue } = element; // look-alike
const { value, error } = state; // look-alike
const { result } = wrapped; // look-alike
const { pair: [whole] } = wrapped; // look-alike
export const ofParameter = ({ tag }: Element2) => tag; // look-alike
export const ofError = ({ code, category }: QiError): ErrorCategory | string => code + category; // look-alike
export const ofHandler = match(({ tag }) => tag, ({ message }) => message, success(element)); // look-alike
export const ofDefault = () => { const { tag } = unwrapOr(element, success(element)); return tag; }; // look-alike
export const ofIterator = () => { const { value, done } = [1][Symbol.iterator]().next(); return [value, done]; }; // look-alike
export const ofSettled = async () => { for (const { status } of await Promise.allSettled([later])) console.log(status); }; // look-alike
export const ofPromise = () => { const { then } = later; return then; }; // look-alike
export const ofLoop = () => { for (const { tag } of [element]) console.log(tag); }; // look-alike
export const ofLoopInto = () => { let tag = ""; for ({ tag } of [element]) console.log(tag); return tag; }; // look-alike
export const ofNestedInto = () => { let x: unknown; ({ result: x } = wrapped); return x; }; // look-alike
export const ofWidened = () => { const { tag }: { tag: string } = element; return tag; }; // look-alike
export const ofArray = () => { const [one] = all; return one; }; // look-alike
export const ofLiteral = { tag, renamed, rest, nested, inArray, first, ofElement, ofValue, value, error, result, whole, e }; // look-alike
