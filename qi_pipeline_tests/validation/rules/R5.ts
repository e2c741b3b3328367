// R5: match takes its handlers by position.
import * as base from "@qi/base";
import { map, match, matchAsync, matchPromise, success } from "@qi/base";
import type { QiError, Result } from "@qi/base";

declare const r: Result<number>;
declare const later: Promise<Result<number>>;
const onOk = (x: number): string => String(x);
const onErr = (e: QiError): string => e.message;
const handlers = { success: onOk, failure: onErr };
const fold = match;
const success2 = onOk;
const failure = onErr;

export const object = match({ success: onOk, failure: onErr }, r); // expect: R5
export const shorthand = match({ success2, failure }, r); // expect: R5
export const tuple = match({ ok: (x: number) => x, err: () => 0 }, r); // expect: R5
export const cast = base.match({ success: 1 } as never, r); // expect: R5
export const variable = match(handlers, r); // expect: R5
export const aliased = fold({ success: onOk, failure: onErr }, r); // expect: R5
export const asynchronous = matchAsync({ success: onOk, failure: onErr }, r); // expect: R5
export const promised = matchPromise({ success: onOk, failure: onErr }, later); // expect: R5
export const alone = match({ success: onOk, failure: onErr }); // expect: R5
export const spread = match({ ...handlers }, r); // expect: R5
export const nested = map((x: number) => match({ success: onOk, failure: onErr }, success(x)), r); // expect: R5

const table = { match: (of: object) => of, success: onOk };
export const ofPositional = match(onOk, onErr, r); // look-alike
export const ofInline = match((x) => ({ success: x }), () => ({ success: 0 }), r); // look-alike
export const ofMembers = match(handlers.success, handlers.failure, r); // look-alike
export const ofAlias = fold(onOk, onErr, r); // look-alike
export const ofShadow = (match: (of: object) => number) => match({ success: 1, failure: 2 }); // look-alike
export const ofMethod = table.match({ success: 1, failure: 2 }); // look-alike
export const ofString = "a".match({ [Symbol.match]: () => ["a"] as RegExpMatchArray }); // look-alike
export const ofMap = map((x: number) => ({ success: x }), r); // look-alike
export const ofAsync = matchAsync(async (x: number) => x, async () => 0, r); // look-alike
export const ofFunctionWithMembers = match(Object.assign(onOk, { failure: 1 }), onErr, r); // look-alike
export const ofGeneric = <F extends (x: number) => string>(f: F) => match(f, onErr, r); // look-alike
