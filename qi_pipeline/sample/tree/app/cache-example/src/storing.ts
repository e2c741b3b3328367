/** Values kept in a cache, read back and forgotten. */

import {
  failure,
  flatMapPromise,
  map,
  mapPromise,
  match,
  matchPromise,
  type Result,
  success,
  unwrapOr,
} from "@qi/base";
import { type CacheError, type CacheStats, cacheError, type ICache } from "@qi/core";

/** Keeps a session in a cache for half an hour. */
export const keepSession = (
  cache: ICache,
  id: string,
  user: string,
): Promise<Result<void, CacheError>> => cache.set(`session:${id}`, user, 1800);

/** Reads the user of a session from a cache. */
export const sessionUser = (cache: ICache, id: string): Promise<Result<string, CacheError>> =>
  cache.get<string>(`session:${id}`);

/** Reads a counter from a cache or starts at zero. */
export const readCounter = async (cache: ICache, name: string): Promise<number> =>
  unwrapOr(0, await cache.get<number>(name));

/** Increments a counter in a cache and returns its new value. */
export const increment = async (cache: ICache, name: string): Promise<Result<number>> => {
  const next = unwrapOr(0, await cache.get<number>(name)) + 1;
  return mapPromise(() => next, cache.set(name, next));
};

/** Tells whether a cache knows a key. */
export const knows = async (cache: ICache, key: string): Promise<boolean> =>
  unwrapOr(false, await cache.has(key));

/** Ends a session and tells whether there was one. */
export const endSession = (cache: ICache, id: string): Promise<Result<boolean, CacheError>> =>
  cache.delete(`session:${id}`);

/** Removes a key and complains when it was not there. */
export const removeExisting = (cache: ICache, key: string): Promise<Result<void, CacheError>> =>
  flatMapPromise(
    (existed): Result<void, CacheError> =>
      existed
        ? success(undefined)
        : failure(cacheError(`Nothing to remove: ${key}`, { operation: "remove", key })),
    cache.remove(key),
  );

/** Lists the sessions a cache holds. */
export const sessionIds = (cache: ICache): Promise<Result<string[]>> =>
  mapPromise(
    (keys) => keys.map((key) => key.slice("session:".length)),
    cache.keys("session:*"),
  );

/** Forgets all keys that match a pattern and counts them. */
export const forgetMatching = (
  cache: ICache,
  pattern: string,
): Promise<Result<number, CacheError>> =>
  flatMapPromise((keys) => cache.mdelete(keys), cache.keys(pattern));

/** Stores several prices at once for five minutes. */
export const storePrices = (
  cache: ICache,
  prices: Record<string, number>,
): Promise<Result<void, CacheError>> => cache.mset(prices, 300);

/** Reads several prices at once and leaves out the unknown ones. */
export const readPrices = async (
  cache: ICache,
  articles: string[],
): Promise<Record<string, number>> => unwrapOr({}, await cache.mget<number>(articles));

/** Empties a cache and tells how full it was before. */
export const purge = (cache: ICache): Promise<Result<number, CacheError>> =>
  flatMapPromise(
    async (before) => map(() => before, await cache.clear()),
    cache.size(),
  );

/** Computes which share of reads a cache could answer. */
export const hitRate = ({ hits, misses }: CacheStats): number =>
  hits + misses === 0 ? 0 : hits / (hits + misses);

/** Describes how a cache has been doing in one line. */
export const cacheReport = (cache: ICache): string => {
  const { hits, misses, evictions, size } = cache.getStats();
  return `${size} entries, ${hits} hits, ${misses} misses, ${evictions} evictions`;
};

/** Moves a value from one key to another. */
export const moveKey = (
  cache: ICache,
  from: string,
  to: string,
): Promise<Result<boolean, CacheError>> =>
  flatMapPromise(
    (value) => flatMapPromise(() => cache.delete(from), cache.set(to, value)),
    cache.get(from),
  );

/** Reads a value and forgets it, so that it can be used once only. */
export const takeOnce = <T>(cache: ICache, key: string): Promise<Result<T, CacheError>> =>
  flatMapPromise(
    async (value: T) => map(() => value, await cache.delete(key)),
    cache.get<T>(key),
  );

/** Copies a value from a slow cache into a fast one on its first read. */
export const promote = <T>(
  fast: ICache,
  slow: ICache,
  key: string,
): Promise<Result<T, CacheError>> => fast.getOrSet<T>(key, () => slow.get<T>(key), 60);

/** Rejects keys that are too long for a shared cache. */
export const checkKey = (key: string): Result<string, CacheError> =>
  key.length <= 250
    ? success(key)
    : failure(cacheError("Key is too long", { operation: "set", key }));

/** Describes what a cache answered for a key. */
export const describeKey = (cache: ICache, key: string): Promise<string> =>
  matchPromise(
    async (value) => `${key}: ${JSON.stringify(value)}`,
    async (error) => `${key}: ${error.message}`,
    cache.get(key),
  );

/** Renders the outcome of a write. */
export const writeStatus = (outcome: Result<void, CacheError>): "stored" | "lost" =>
  match<void, CacheError, "stored" | "lost">(
    () => "stored",
    () => "lost",
    outcome,
  );
