// R12: no any.
import { success } from "@qi/base";
import type { Result } from "@qi/base";

export const parameter = (x: any) => x; // expect: R12
export const argument: Record<string, any> = {}; // expect: R12
export const cast = JSON.parse("1") as any; // expect: R12
export const list: any[] = []; // expect: R12
export const result = (r: Result<any>) => r; // expect: R12
export const failing = (r: Result<number, any>) => r; // expect: R12
export const generic = success<any>(1); // expect: R12
export type Bound<T extends any[]> = T; // expect: R12
export interface Holder { held: any } // expect: R12
export function returned(): any { return 1; } // expect: R12
export const angle = <any>1; // expect: R12
export const rest = (...all: any) => all; // expect: R12
export type Union = { a: Promise<any> } | number; // expect: R12

export const any = 1; // look-alike
export const text: string = "any"; // look-alike
export const checked = (x: unknown) => typeof x === "string"; // look-alike
export const member = { any: 1 }.any; // look-alike
export const method = { any: (x: unknown) => x }.any(1); // look-alike
export type Anything = unknown; // look-alike
export type ofKey = { readonly any: string }; // look-alike
export const raced = Promise.any([Promise.resolve(1)]); // look-alike
export const never = (x: never): unknown => x; // look-alike
export const shown = `${any} as any`; // look-alike
export const company = (many: number): number => many; // look-alike
