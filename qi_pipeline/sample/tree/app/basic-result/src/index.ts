/** A first tour: make results, change them, and read them at the end. */

import { flatMap, inspect, inspectErr, map, type Result } from "@qi/base";
import { describe } from "./consuming.js";
import { divide, parseInteger } from "./creation.js";
import { within } from "./transforming.js";

/** Parses two numbers from text and divides the first by the second. */
export const ratio = (left: string, right: string): Result<number> =>
  flatMap((a) => flatMap((b) => divide(a, b), parseInteger(right)), parseInteger(left));

/** Parses a percentage from text and turns it into a fraction between 0 and 1. */
export const fraction = (text: string): Result<number> =>
  map((percent) => percent / 100, within(0, 100, parseInteger(text)));

/** Prints what the demo computes, values to the output and errors to the error stream. */
export const run = (inputs: readonly string[]): void => {
  for (const input of inputs) {
    const result = fraction(input);
    inspect((value) => console.log(`${input} is ${value}`), result);
    inspectErr((error) => console.error(error.message), result);
    console.log(describe(result));
  }
};
