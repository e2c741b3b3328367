// R6: async composition through the async helpers.
import * as base from "@qi/base";
import { andThen, flatMap, flatMapAsync, fromAsyncTryCatch, inspect, map, mapAsync, mapPromise, match, matchPromise, success, unwrapOr } from "@qi/base";
import { matchAsync as settle } from "@qi/base";
import type { QiError, Result } from "@qi/base";

declare const r: Result<number>;
declare const later: Promise<Result<number>>;
const wait = async (x: number): Promise<number> => x;
const fetchIt = (x: number) => Promise.resolve(x);
async function load(x: number): Promise<Result<number>> { return success(x); }
const apply = map;
const service = { load, wait };

export const mapped = map(async (x: number) => x, r); // expect: R6
export const flat = flatMap(async (x: number) => success(x), r); // expect: R6
export const next = andThen(async (x: number) => success(x), r); // expect: R6
export const named = map(wait, r); // expect: R6
export const declared = flatMap(load, r); // expect: R6
export const plain = map((x: number) => Promise.resolve(x), r); // expect: R6
export const returning = map(fetchIt, r); // expect: R6
export const member = map(service.wait, r); // expect: R6
export const matched = match(async (x: number) => x, async () => 0, r); // expect: R6
export const second = match(() => 0, async (e: QiError) => e.message, r); // expect: R6
export const effect = inspect(async (x: number) => console.log(x), r); // expect: R6
export const namespaced = base.map(async (x: number) => x, r); // expect: R6
export const aliased = apply(async (x: number) => x, r); // expect: R6
export const expression = map(async function (x: number) { return x; }, r); // expect: R6
export const awaited = async () => map(async (x: number) => x, await later); // expect: R6
export const sometimes = map((x: number) => (x > 1 ? Promise.resolve(x) : x), r); // expect: R6
let loose = map;
export const throughLet = loose(async (x: number) => x, r); // expect: R6
const operations = { map, chain: flatMap };
export const throughObject = operations.map(async (x: number) => x, r); // expect: R6
export const throughPair = operations.chain(load, r); // expect: R6
export const byDefault = (use = map) => use(async (x: number) => x, r); // expect: R6

const others = { map: (f: () => Promise<number>) => f() };
let changed: Function = map;
changed = mapAsync;
export const ofHidden = (map: (f: () => Promise<number>) => number) => { const own = { map }; return own.map(async () => 1); }; // look-alike
export const ofOthers = others.map(async () => 1); // look-alike
export const ofChanged = changed(async (x: number) => x, r); // look-alike
export const ofEither = map((x: number) => (x > 1 ? "x" : x), r); // look-alike
export const ofMap = mapAsync(async (x: number) => x, r); // look-alike
export const ofFlat = flatMapAsync(load, r); // look-alike
export const ofPromise = mapPromise(async (x: number) => x, later); // look-alike
export const ofMatch = matchPromise(async (x: number) => x, async () => 0, later); // look-alike
export const ofAliased = settle(async (x: number) => x, async () => 0, r); // look-alike
export const ofArray = Promise.all([1, 2].map(async (x) => x)); // look-alike
export const ofTry = fromAsyncTryCatch(async () => 1); // look-alike
export const ofSync = async () => map((x: number) => x, await later); // look-alike
export const ofShadow = (map: (f: () => Promise<number>) => number) => map(async () => 1); // look-alike
export const ofDefault = unwrapOr(async () => 1, success(async () => 2)); // look-alike
export const ofThen = later.then(async (x) => x); // look-alike
export const ofInner = map((x: number) => { const f = async () => x; return f.name; }, r); // look-alike
export const ofHolder = map((x: number) => ({ later: Promise.resolve(x) }), r); // look-alike
export const matchAsync = (f: (x: number) => Promise<number>) => match(f, async () => 0, r); // look-alike
