/** Ways to change what a result holds without taking it out. */

import {
  andThen,
  collect,
  failure,
  filter,
  flatMap,
  inspect,
  inspectErr,
  map,
  mapError,
  orElse,
  type QiError,
  type Result,
  success,
  validationError,
  withContext,
} from "@qi/base";

/** Doubles the number in a result. */
export const double = (result: Result<number>): Result<number> => map((n) => n * 2, result);

/** Turns a result of a name into a result of a greeting. */
export const greet = (name: Result<string>): Result<string> => map((n) => `Hello, ${n}!`, name);

/** Trims the text in a result and rejects text that is blank. */
export const trimmed = (text: Result<string>): Result<string> =>
  filter(
    (t) => t.length > 0,
    validationError("Text is blank"),
    map((t) => t.trim(), text),
  );

/** Keeps a number only when it lies within the given bounds. */
export const within = (low: number, high: number, result: Result<number>): Result<number> =>
  filter(
    (n) => n >= low && n <= high,
    validationError("Number is out of range", { low, high }),
    result,
  );

/** Takes the square root of the number in a result and rejects negative numbers. */
export const squareRoot = (result: Result<number>): Result<number> =>
  flatMap(
    (n) =>
      n < 0 ? failure(validationError("Number is negative", { n })) : success(Math.sqrt(n)),
    result,
  );

/** Reads one field of the object in a result and fails when the field is missing. */
export const field = (name: string, record: Result<Record<string, unknown>>): Result<unknown> =>
  flatMap(
    (fields) =>
      name in fields ? success(fields[name]) : failure(validationError(`Missing field: ${name}`)),
    record,
  );

/** Narrows an unknown value in a result to a string. */
export const asText = (result: Result<unknown>): Result<string> =>
  andThen(
    (value): Result<string> =>
      typeof value === "string" ? success(value) : failure(validationError("Not a string")),
    result,
  );

/** Narrows an unknown value in a result to a finite number. */
export const asNumber = (result: Result<unknown>): Result<number> =>
  andThen(
    (value): Result<number> =>
      typeof value === "number" && Number.isFinite(value)
        ? success(value)
        : failure(validationError("Not a finite number")),
    result,
  );

/** Names the step that failed in the context of the error. */
export const at = <T>(step: string, result: Result<T>): Result<T> =>
  mapError((error) => withContext({ step }, error), result);

/** Replaces any error by one message that is safe to show to a visitor. */
export const forVisitors = <T>(result: Result<T>): Result<T, string> =>
  mapError(() => "Something went wrong, please try again", result);

/** Replaces a failure by a fixed fallback value while staying inside the result. */
export const recoverWith = <T>(fallback: T, result: Result<T>): Result<T> =>
  orElse(() => success(fallback), result);

/** Records every value that passes through a pipeline without changing the result. */
export const recording = <T>(seen: T[], result: Result<T>): Result<T> =>
  inspect((value) => void seen.push(value), result);

/** Records every error that passes through a pipeline without changing the result. */
export const recordingErrors = <T>(seen: QiError[], result: Result<T>): Result<T> =>
  inspectErr((error) => void seen.push(error), result);

/** Removes the outer layer of a result that holds another result. */
export const flatten = <T>(nested: Result<Result<T>>): Result<T> => collect(nested);

/** Adds the numbers of two results and keeps the first error. */
export const add = (left: Result<number>, right: Result<number>): Result<number> =>
  flatMap((a) => map((b) => a + b, right), left);

/** Pairs the values of two results and keeps the first error. */
export const pair = <A, B>(left: Result<A>, right: Result<B>): Result<[A, B]> =>
  flatMap((a) => map((b): [A, B] => [a, b], right), left);

/** Turns a list of results into a result of a list and stops at the first error. */
export const sequence = <T>(results: readonly Result<T>[]): Result<T[]> =>
  results.reduce<Result<T[]>>(
    (gathered, next) => flatMap((items) => map((item) => [...items, item], next), gathered),
    success([]),
  );

/** Applies a fallible function to every item and stops at the first error. */
export const traverse = <A, B>(fn: (item: A) => Result<B>, items: readonly A[]): Result<B[]> =>
  items.reduce<Result<B[]>>(
    (gathered, item) => flatMap((done) => map((next) => [...done, next], fn(item)), gathered),
    success([]),
  );

/** Runs a value through a list of fallible steps, each fed by the one before. */
export const pipeline = <T>(steps: readonly ((value: T) => Result<T>)[], start: T): Result<T> =>
  steps.reduce<Result<T>>((result, step) => andThen(step, result), success(start));
