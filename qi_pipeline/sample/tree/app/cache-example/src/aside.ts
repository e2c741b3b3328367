/** Values that are computed or fetched once and then remembered. */

import {
  failure,
  flatMapAsync,
  fromAsyncTryCatch,
  inspectErr,
  isSuccess,
  mapError,
  mapPromise,
  matchPromise,
  networkError,
  type Result,
  success,
  unwrapOr,
  validationError,
} from "@qi/base";
import { type CacheError, cacheAside, cacheError, type ICache, type Logger } from "@qi/core";

/** A loader of documents by their id. */
export type Load = (id: string) => Promise<string>;

/** Reads a document through a cache and loads it on the first demand. */
export const cachedDocument = (
  cache: ICache,
  load: Load,
  id: string,
): Promise<Result<string, CacheError>> => cacheAside(`document:${id}`, cache, () => load(id));

/** Reads exchange rates through a cache that keeps them for one minute. */
export const cachedRates = (
  cache: ICache,
  fetchRates: () => Promise<Record<string, number>>,
): Promise<Result<Record<string, number>, CacheError>> =>
  cacheAside("rates", cache, fetchRates, 60);

/** Converts an amount with cached exchange rates and keeps it as it is when they are missing. */
export const convert = async (
  cache: ICache,
  fetchRates: () => Promise<Record<string, number>>,
  currency: string,
  amount: number,
): Promise<number> => {
  const rates = unwrapOr<Record<string, number>, CacheError>(
    {},
    await cacheAside("rates", cache, fetchRates, 60),
  );
  return amount * (rates[currency] ?? 1);
};

/** Computes a value once and remembers it under a key. */
export const memoized = <T>(
  cache: ICache,
  key: string,
  compute: () => T,
): Promise<Result<T, CacheError>> => cache.getOrSet<T>(key, async () => success(compute()));

/** Remembers the outcome of a fallible computation, but not its failures. */
export const rememberSuccess = <T>(
  cache: ICache,
  key: string,
  compute: () => Promise<Result<T>>,
): Promise<Result<T, CacheError>> =>
  cache.getOrSet<T>(key, async () =>
    mapError((error) => cacheError(error.message, { operation: "compute", key }), await compute()),
  );

/** Turns a function of one text into one that remembers its answers. */
export const remembering =
  <T>(cache: ICache, prefix: string, fn: (input: string) => Promise<T>) =>
  (input: string): Promise<Result<T, CacheError>> =>
    cacheAside(`${prefix}:${input}`, cache, () => fn(input));

/** Loads a value afresh and puts it into the cache, whatever was there before. */
export const refresh = async (
  cache: ICache,
  load: Load,
  id: string,
): Promise<Result<void>> =>
  flatMapAsync(
    async (text: string): Promise<Result<void>> => cache.set(`document:${id}`, text),
    await fromAsyncTryCatch(
      () => load(id),
      () => networkError("Cannot refresh", { id }),
    ),
  );

/** Fills a cache with documents ahead of the first demand and counts them. */
export const warmUp = async (cache: ICache, load: Load, ids: readonly string[]): Promise<number> => {
  const outcomes = await Promise.all(ids.map((id) => cachedDocument(cache, load, id)));
  return outcomes.filter((outcome) => isSuccess(outcome)).length;
};

/** Saves a document first to its store and then to the cache. */
export const writeThrough = async (
  cache: ICache,
  save: (text: string) => Promise<Result<string>>,
  text: string,
): Promise<Result<void>> =>
  flatMapAsync(
    async (id: string): Promise<Result<void>> => cache.set(`document:${id}`, text),
    await save(text),
  );

/** Rejects an empty id before it asks the cache. */
export const checkedDocument = (cache: ICache, load: Load, id: string): Promise<Result<string>> =>
  flatMapAsync(
    async (checked: string): Promise<Result<string>> => cachedDocument(cache, load, checked),
    id === "" ? failure(validationError("Id is empty")) : success(id),
  );

/** Reads a document through a cache and logs when that fails. */
export const loggedDocument = async (
  cache: ICache,
  logger: Logger,
  load: Load,
  id: string,
): Promise<Result<string, CacheError>> =>
  inspectErr(
    (error) => logger.warn("Document unavailable", { id, reason: error.message }),
    await cachedDocument(cache, load, id),
  );

/** Serves a page from the cache or an apology in its place. */
export const servePage = (cache: ICache, load: Load, id: string): Promise<string> =>
  matchPromise(
    async (html) => html,
    async () => "<p>Please come back later.</p>",
    cachedDocument(cache, load, id),
  );

/** Measures a cached document in characters. */
export const documentLength = (
  cache: ICache,
  load: Load,
  id: string,
): Promise<Result<number>> =>
  mapPromise((text) => text.length, cachedDocument(cache, load, id));
