/** Many pieces of work at once. */

import {
  businessError,
  collectAsync,
  failure,
  flatMapPromise,
  fromAsyncTryCatch,
  getRetryStrategy,
  isPromiseResult,
  map,
  mapPromise,
  matchPromise,
  type QiError,
  type Result,
  sequenceAsync,
  success,
  systemError,
} from "@qi/base";

/** Loads several documents and fails with the first that cannot be loaded. */
export const loadAll = (
  load: (id: string) => Promise<Result<string>>,
  ids: readonly string[],
): Promise<Result<string[]>> => sequenceAsync(ids.map((id) => load(id)));

/** Adds up numbers that arrive asynchronously and fails when one of them does. */
export const sumAll = (numbers: Promise<Result<number>>[]): Promise<Result<number>> =>
  mapPromise((all) => all.reduce((sum, n) => sum + n, 0), sequenceAsync(numbers));

/** Loads two values at the same time and combines them. */
export const both = async <A, B, C>(
  combine: (a: A, b: B) => C,
  left: Promise<Result<A>>,
  right: Promise<Result<B>>,
): Promise<Result<C>> => {
  const [a, b] = await Promise.all([left, right]);
  return flatMapPromise((x) => map((y) => combine(x, y), b), Promise.resolve(a));
};

/** What became of a batch. */
export interface Tally {
  readonly done: number;
  readonly failed: number;
}

/** Runs a batch to its end and counts what worked and what did not. */
export const tally = async <T>(work: Promise<Result<T>>[]): Promise<Tally> => {
  const { successes, failures } = await collectAsync(work);
  return { done: successes.length, failed: failures.length };
};

/** Runs a batch and keeps the values of those pieces that worked. */
export const bestEffort = async <T>(work: Promise<Result<T>>[]): Promise<T[]> => {
  const { successes } = await collectAsync(work);
  return successes;
};

/** Runs a batch and fails when more pieces fail than are tolerated. */
export const tolerate = async <T>(
  limit: number,
  work: Promise<Result<T>>[],
): Promise<Result<T[]>> => {
  const { successes, failures } = await collectAsync(work);
  return failures.length <= limit
    ? success(successes)
    : failure(businessError("Too many pieces failed", { failed: failures.length, limit }));
};

/** Applies a fallible function to items one at a time, in their order. */
export const eachInTurn = <A, B>(
  fn: (item: A) => Promise<Result<B>>,
  items: readonly A[],
): Promise<Result<B[]>> =>
  items.reduce<Promise<Result<B[]>>>(
    (work, item) =>
      flatMapPromise((done) => mapPromise((next) => [...done, next], fn(item)), work),
    Promise.resolve(success([])),
  );

/** Repeats asynchronous work while its error is worth another attempt. */
export const retryAsync = <T>(
  attempts: number,
  work: () => Promise<Result<T>>,
): Promise<Result<T>> =>
  matchPromise<T, QiError, Result<T>>(
    async (value) => success(value),
    async (error) =>
      attempts > 1 && getRetryStrategy(error.category).strategy !== "never"
        ? retryAsync(attempts - 1, work)
        : failure(error),
    work(),
  );

/** Waits for a value that may or may not be the promise of a result. */
export const settle = async <T>(value: Result<T> | Promise<Result<T>>): Promise<Result<T>> =>
  isPromiseResult<T, QiError>(value) ? await value : value;

/** Tells which entries of a mixed list are still being worked on. */
export const pending = (entries: readonly unknown[]): number =>
  entries.filter((entry) => isPromiseResult(entry)).length;

/** Reads an asynchronous source to its end and captures an interruption. */
export const drain = <T>(source: AsyncIterable<T>): Promise<Result<T[]>> =>
  fromAsyncTryCatch(
    async () => {
      const items: T[] = [];
      for await (const item of source) items.push(item);
      return items;
    },
    (thrown) => systemError(`Source broke off: ${String(thrown)}`),
  );

/** Cuts a list into pieces and handles one piece after the other. */
export const inChunks = <A, B>(
  size: number,
  handle: (chunk: A[]) => Promise<Result<B>>,
  items: readonly A[],
): Promise<Result<B[]>> => {
  const count = Math.ceil(items.length / size);
  const chunks = Array.from({ length: count }, (_, i) => items.slice(i * size, (i + 1) * size));
  return eachInTurn(handle, chunks);
};
