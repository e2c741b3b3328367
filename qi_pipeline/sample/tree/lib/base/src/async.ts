/**
 * The same combinators for work that takes time: those named `…Async` start
 * from a result, those named `…Promise` from the promise of one.
 */

import { create, type QiError } from "./error.js";
import { fromAsyncTryCatch, isFailure, match, type Result, success } from "./result.js";

const rejection =
  (code: string, what: string) =>
  (thrown: unknown): QiError => {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    return create(code, `${what} failed: ${reason}`, "SYSTEM", { originalError: thrown });
  };

/** Continues with an asynchronous step that may fail itself. */
export const flatMapAsync = async <T, U, E>(
  fn: (value: T) => Promise<Result<U, E>>,
  result: Result<T, E>,
): Promise<Result<U, E>> => (isFailure(result) ? result : fn(result.value));

/** Applies an asynchronous function to the value; a rejection becomes a failure. */
export const mapAsync = async <T, U, E>(
  fn: (value: T) => Promise<U>,
  result: Result<T, E>,
): Promise<Result<U, E | QiError>> => {
  if (isFailure(result)) return result;
  const { value } = result;
  return fromAsyncTryCatch(() => fn(value), rejection("ASYNC_MAP_ERROR", "Async map operation"));
};

/** Eliminates a result with two asynchronous functions. */
export const matchAsync = async <T, E, R>(
  onSuccess: (value: T) => Promise<R>,
  onError: (error: E) => Promise<R>,
  result: Result<T, E>,
): Promise<R> => match(onSuccess, onError, result);

/** Continues the promise of a result with a step that may fail itself. */
export const flatMapPromise = async <T, U, E>(
  fn: (value: T) => Result<U, E> | Promise<Result<U, E>>,
  promiseResult: Promise<Result<T, E>>,
): Promise<Result<U, E>> => {
  const settled = await promiseResult;
  return isFailure(settled) ? settled : fn(settled.value);
};

/** Applies a function to the value of a promised result; what it throws becomes a failure. */
export const mapPromise = async <T, U, E>(
  fn: (value: T) => U | Promise<U>,
  promiseResult: Promise<Result<T, E>>,
): Promise<Result<U, E | QiError>> => {
  const settled = await promiseResult;
  if (isFailure(settled)) return settled;
  const { value } = settled;
  return fromAsyncTryCatch(
    async () => fn(value),
    rejection("ASYNC_MAP_PROMISE_ERROR", "Async promise map operation"),
  );
};

/** Eliminates a promised result with two asynchronous functions. */
export const matchPromise = async <T, E, R>(
  onSuccess: (value: T) => Promise<R>,
  onError: (error: E) => Promise<R>,
  promiseResult: Promise<Result<T, E>>,
): Promise<R> => match(onSuccess, onError, await promiseResult);

/** Gathers the values in order; the first failure met in that order ends it. */
export const sequenceAsync = async <T, E>(
  promises: Promise<Result<T, E>>[],
): Promise<Result<T[], E>> => {
  const values: T[] = [];
  for (const promise of promises) {
    const settled = await promise;
    if (isFailure(settled)) return settled;
    values.push(settled.value);
  }
  return success(values);
};

/** Waits for all and sorts the outcomes into values and errors. */
export const collectAsync = async <T, E>(
  promises: Promise<Result<T, E>>[],
): Promise<{ successes: T[]; failures: E[] }> => {
  const successes: T[] = [];
  const failures: E[] = [];
  for (const settled of await Promise.all(promises)) {
    match(
      (value) => void successes.push(value),
      (error) => void failures.push(error),
      settled,
    );
  }
  return { successes, failures };
};

/** Tells whether a value is the promise of a result. */
export const isPromiseResult = <T, E>(value: unknown): value is Promise<Result<T, E>> =>
  value instanceof Promise;
