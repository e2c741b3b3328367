// R4: standalone combinators, function first and Result last.
import * as base from "@qi/base";
import { collect, filter, flatMap, inspect, isSuccess, map, mapAsync, match, orElse, success, unwrapOr, validationError } from "@qi/base";
import { ConfigBuilder } from "@qi/core";
import type { Result } from "@qi/base";

declare const r: Result<number>;
declare const maybe: Result<number> | undefined;
declare const later: Promise<Result<number>>;
const double = (x: number): number => x * 2;
const combine = map;
const away = base.flatMap;

export const method = r.map(double); // expect: R4
export const created = success(1).map(double); // expect: R4
export const chained = maybe?.flatMap((x: number) => success(x)); // expect: R4
export const matched = r.match((x: number) => x, () => 0); // expect: R4
export const unwrapped = r.unwrap(); // expect: R4
export const asked = r.isSuccess(); // expect: R4
export const awaited = async () => (await later).unwrapOr(0); // expect: R4
export const quoted = r["map"](double); // expect: R4
export const turned = map(r, (x: number) => x); // expect: R4
export const named = map(r, double); // expect: R4
export const fallback = unwrapOr(r, 0); // expect: R4
export const namespaced = base.map(r, (x: number) => x); // expect: R4
export const aliased = combine(r, double); // expect: R4
export const awayTurned = away(r, (x: number) => success(x)); // expect: R4
export const sifted = filter(r, (x: number) => x > 1, validationError("no")); // expect: R4
export const inspected = inspect(r, (x: number) => console.log(x)); // expect: R4
export const handled = match(r, (x: number) => x, () => 0); // expect: R4
export const erased = (r as any).map(double); // expect: R4 R12

export const ofArray = [1, 2].map(double).filter((x) => x > 1); // look-alike
export const ofBuilder = ConfigBuilder.fromObject({}).build(); // look-alike
export const ofPromise = later.then((result) => result); // look-alike
export const ofStandalone = map(double, r); // look-alike
export const ofNamespace = base.map(double, r); // look-alike
export const ofAlias = combine(double, r); // look-alike
export const ofResults = unwrapOr(success(1), success(r)); // look-alike
export const ofResultsOfResults = flatMap((inner: Result<number>) => inner, success(r)); // look-alike
export const ofNamed = match(double, () => 0, r); // look-alike
export const ofOther = orElse(() => r, success(2)); // look-alike
export const ofList = [r, r].map((result) => map(double, result)).concat(collect(success(r))); // look-alike
export const ofShadow = (map: (a: unknown, g: () => number) => number) => map(r, () => 2); // look-alike
export const ofString = "a-b".match(/a/)?.map((text) => text); // look-alike
export const ofAsync = mapAsync(async (x: number) => x, r); // look-alike
export const ofGuard = [r].filter(isSuccess).length; // look-alike
export const ofClass = new (class { map(result: Result<number>, f: typeof double) { return map(f, result); } })().map(r, double); // look-alike
