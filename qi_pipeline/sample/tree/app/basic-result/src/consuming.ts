/** Ways to leave a result: a default, a branch for each half, a question. */

import {
  errorToString,
  getError,
  getValue,
  isFailure,
  isSuccess,
  map,
  match,
  type QiError,
  type Result,
  unwrap,
  unwrapOr,
} from "@qi/base";

/** Takes the number out of a result or falls back to zero. */
export const orZero = (result: Result<number>): number => unwrapOr(0, result);

/** Takes the list out of a result or falls back to an empty list. */
export const orNothing = <T>(result: Result<T[]>): T[] => unwrapOr([], result);

/** Describes a result in one line for a terminal. */
export const describe = (result: Result<unknown>): string =>
  match(
    (value) => `ok: ${JSON.stringify(value)}`,
    (error) => `failed: ${errorToString(error)}`,
    result,
  );

/** Chooses the exit code of a program by the outcome of its work. */
export const exitCode = (result: Result<unknown>): number =>
  match(
    () => 0,
    () => 1,
    result,
  );

/** An answer as an HTTP handler sends it. */
export interface Reply {
  readonly status: number;
  readonly body: string;
}

/** Turns a result into an HTTP reply with status 200 or 400. */
export const toReply = (result: Result<unknown>): Reply =>
  match<unknown, QiError, Reply>(
    (value) => ({ status: 200, body: JSON.stringify(value) }),
    (error) => ({ status: 400, body: JSON.stringify({ error: error.message }) }),
    result,
  );

/** Counts how many results of a list hold a value. */
export const countSuccesses = (results: readonly Result<unknown>[]): number =>
  results.filter((result) => isSuccess(result)).length;

/** Tells whether any result of a list holds an error. */
export const anyFailed = (results: readonly Result<unknown>[]): boolean =>
  results.some((result) => isFailure(result));

/** Reads the value for code that works with null instead of results. */
export const toNullable = <T>(result: Result<T>): T | null => getValue(result);

/** Reads the message of the error, or null where there is none. */
export const failureMessage = (result: Result<unknown>): string | null =>
  getError(result)?.message ?? null;

/** Lists the codes of all errors among some results. */
export const errorCodes = (results: readonly Result<unknown>[]): string[] =>
  results.map((result) => getError(result)?.code).filter((code) => code !== undefined);

/** Gathers the values of those results that have one. */
export const values = <T>(results: readonly Result<T>[]): T[] =>
  results.flatMap((result) =>
    match<T, QiError, T[]>(
      (value) => [value],
      () => [],
      result,
    ),
  );

/** Splits results into their values and their errors in one pass. */
export const partition = <T>(results: readonly Result<T>[]): { good: T[]; bad: QiError[] } => {
  const good: T[] = [];
  const bad: QiError[] = [];
  for (const result of results) {
    match(
      (value) => void good.push(value),
      (error) => void bad.push(error),
      result,
    );
  }
  return { good, bad };
};

/** Takes a value out at the start of a program, where a failure has to end it. */
export const required = <T>(result: Result<T>): T => unwrap(result);

/** Measures the text in a result, taking a failure for length zero. */
export const lengthOf = (text: Result<string>): number =>
  unwrapOr(
    0,
    map((t) => t.length, text),
  );

/** Takes the number out of a result after asking whether there is one. */
export const legacyScore = (result: Result<number>): number =>
  isSuccess(result) ? result.value : -1;

/** Renders a result by comparing its tag. */
export const legacyLabel = (result: Result<string>): string =>
  result.tag === "success" ? "ok" : "failed";
