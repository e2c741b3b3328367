// R1: no tag comparison, switch or ternary on a Result.
import * as base from "@qi/base";
import { isFailure, isSuccess, map, match, success, unwrapOr } from "@qi/base";
import type { Failure, Result, Success } from "@qi/base";

declare const r: Result<number>;
declare const maybe: Result<number> | undefined;
declare const later: Promise<Result<number>>;
declare const all: readonly Result<string>[];
type Outcome = Readonly<Result<number>>;
const key = "tag";

export const compared = r.tag === "success"; // expect: R1
export const reversed = "failure" !== r.tag; // expect: R1
export const quoted = r["tag"] === "failure"; // expect: R1
export const templated = r[`tag`]; // expect: R1
export const computed = r[key]; // expect: R1
export const chained = maybe?.tag; // expect: R1
export const chosen = r.tag === "success" ? 1 : 0; // expect: R1
export const cast = (success(1) as Result<number>).tag; // expect: R1
export const asserted = maybe!.tag; // expect: R1
export const mapped = map((x: number) => x, r).tag; // expect: R1
export const namespaced = base.success(1).tag; // expect: R1
export const awaited = async () => (await later).tag; // expect: R1
export const counted = all.filter((item) => item.tag === "success").length; // expect: R1
export const aliased = (outcome: Outcome): string => outcome.tag; // expect: R1
export const generic = <R extends Result<number>>(result: R): string => result.tag; // expect: R1
export const half = (ok: Success<number>, bad: Failure<string>) => ok.tag + bad["tag"]; // expect: R1
export const untyped = (r as never as { tag: string }).tag; // expect: R11
export const erased = (r as any).tag; // expect: R1 R12
export const escaped = r["\x74ag"] === "success"; // expect: R1
export const narrow = (r as { tag: string }).tag; // expect: R11
export const contained = "tag" in r; // expect: R1
export const either2 = (member: "tag" | "value", x: Success<number>) => x[member]; // expect: R1 R2
export class Holder {
  constructor(private readonly r: Result<number>) {}
  isOk(): boolean {
    return this.r.tag === "success"; // expect: R1
  }
}
export function switched(): number {
  switch (r.tag) { // expect: R1
    case "success":
      return 1;
    default:
      return 0;
  }
}
export const inferred = () => {
  const result = success("text");
  if (result.tag === "success") return 1; // expect: R1
  return 0;
};

interface Element2 { readonly tag: string; readonly value: number }
declare const element: Element2;
type Shape = { tag: "circle"; value: number } | { tag: "square"; error: string };
declare const shape: Shape;
type Option<T> = { tag: "some"; value: T } | { tag: "none" };
declare const option: Option<number>;
declare const either: { tag: "left"; value: string } | { tag: "right"; value: number };
const htmlTags = { tag: "div" };
export const ofElement = element.tag === "div"; // look-alike
export const ofShape = shape.tag === "circle" ? shape.value : 0; // look-alike
export const ofOption = option.tag === "some" ? option.value : 0; // look-alike
export const ofEither = either.tag === "left"; // look-alike
export const ofContained = "tag" in element && "\x74ag" in htmlTags; // look-alike
export const ofEscaped = element["t\x61g"]; // look-alike
export const ofMembers = (member: "tag" | "value") => element[member]; // look-alike
export const ofText = htmlTags.tag === "success"; // look-alike
export const ofQuoted = element["tag"]; // look-alike
export const ofKey = element[key]; // look-alike
export const ofBuilt = { tag: "success", value: 1 } satisfies Result<number>; // look-alike
export const ofGuard = isSuccess(r) || isFailure(r); // look-alike
export const ofMatch = match(() => "tag", () => "tag", r); // look-alike
export const ofDefault = unwrapOr({ tag: "a" }, success({ tag: "b" })).tag; // look-alike
export const ofMapped = map((x: Element2) => x.tag, success(element)); // look-alike
export const ofMap = new Map([["tag", 1]]).get("tag"); // look-alike
export const ofArray = ["tag"].map((tag) => tag); // look-alike
