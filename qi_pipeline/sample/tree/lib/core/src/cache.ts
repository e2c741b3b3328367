/**
 * Caching: a store in memory with expiry, a size limit and counters. A miss is
 * a failure, so that a stored `undefined` or `null` is told apart from nothing.
 */

import { EventEmitter } from "node:events";
import {
  create,
  failure,
  flatMapAsync,
  fromAsyncTryCatch,
  isSuccess,
  map,
  mapError,
  match,
  type QiError,
  type Result,
  success,
} from "@qi/base";

/** Where entries are kept. */
export type CacheBackend = "memory" | "redis";

/** One stored value and its history. */
export interface CacheEntry<T = unknown> {
  readonly value: T;
  readonly createdAt: Date;
  readonly expiresAt?: Date;
  readonly accessCount: number;
  readonly lastAccessed: Date;
}

/** What a cache is made from; times to live are seconds. */
export interface CacheConfig {
  readonly backend: CacheBackend;
  readonly maxSize?: number;
  readonly defaultTtl?: number;
  readonly redis?: Record<string, unknown>;
  readonly name?: string;
}

/** Counters since the cache was made. */
export interface CacheStats {
  readonly hits: number;
  readonly misses: number;
  readonly sets: number;
  readonly deletes: number;
  readonly evictions: number;
  readonly size: number;
  readonly maxSize?: number;
}

/** What a cache tells its listeners. */
export interface CacheEvents {
  hit: (key: string, value: unknown) => void;
  miss: (key: string) => void;
  set: (key: string, value: unknown, ttl?: number) => void;
  delete: (key: string) => void;
  evict: (key: string, reason: "lru" | "ttl" | "manual") => void;
  error: (error: CacheError) => void;
  connect: () => void;
  disconnect: () => void;
}

/** An error about caching. */
export type CacheError = QiError & {
  readonly category: "RESOURCE";
  readonly context: {
    readonly operation?: string;
    readonly key?: string;
    readonly backend?: CacheBackend;
    readonly cache?: string;
  };
};

/** Reports a failure of caching; a miss is one too. */
export const cacheError = (message: string, context: CacheError["context"] = {}): CacheError =>
  create("CACHE_ERROR", message, "RESOURCE", context) as CacheError;

/** What every cache can do. */
export interface ICache {
  get<T>(key: string): Promise<Result<T, CacheError>>;
  set<T>(key: string, value: T, ttl?: number): Promise<Result<void, CacheError>>;
  delete(key: string): Promise<Result<boolean, CacheError>>;
  has(key: string): Promise<Result<boolean, CacheError>>;
  remove(key: string): Promise<Result<boolean, CacheError>>;
  clear(): Promise<Result<void, CacheError>>;
  size(): Promise<Result<number, CacheError>>;
  keys(pattern?: string): Promise<Result<string[], CacheError>>;
  mget<T>(keys: string[]): Promise<Result<Record<string, T>, CacheError>>;
  mset<T>(entries: Record<string, T>, ttl?: number): Promise<Result<void, CacheError>>;
  mdelete(keys: string[]): Promise<Result<number, CacheError>>;
  getOrSet<T>(
    key: string,
    factory: () => Promise<Result<T, CacheError>>,
    ttl?: number,
  ): Promise<Result<T, CacheError>>;
  getStats(): CacheStats;
  close(): Promise<void>;
}

type Counters = { -readonly [K in keyof CacheStats]: CacheStats[K] };

/** Keeps entries in memory and forgets the least recently used ones first. */
export class MemoryCache implements ICache {
  // A Map iterates in insertion order; re-inserting on every access keeps the
  // least recently used key in front.
  private readonly entries = new Map<string, CacheEntry>();
  private readonly events = new EventEmitter();
  private readonly config: CacheConfig;
  private readonly counters: Counters;

  constructor(config: CacheConfig) {
    this.config = { ...config };
    this.counters = {
      hits: 0,
      misses: 0,
      sets: 0,
      deletes: 0,
      evictions: 0,
      size: 0,
      maxSize: config.maxSize,
    };
  }

  async get<T>(key: string): Promise<Result<T, CacheError>> {
    const context = { operation: "get", key, backend: "memory" } as const;
    const entry = this.entries.get(key);
    if (entry === undefined) {
      this.counters.misses += 1;
      this.events.emit("miss", key);
      return failure(cacheError(`Cache miss for key: ${key}`, context));
    }
    if (isExpired(entry)) {
      this.drop(key);
      this.counters.evictions += 1;
      this.events.emit("evict", key, "ttl");
      return failure(cacheError(`Cache key expired: ${key}`, context));
    }
    const accessCount = entry.accessCount + 1;
    this.keep(key, { ...entry, accessCount, lastAccessed: new Date() });
    this.counters.hits += 1;
    this.events.emit("hit", key, entry.value);
    return success(entry.value as T);
  }

  async set<T>(key: string, value: T, ttl?: number): Promise<Result<void, CacheError>> {
    const now = new Date();
    const seconds = ttl ?? this.config.defaultTtl;
    const expiresAt = seconds ? new Date(now.getTime() + seconds * 1000) : undefined;
    this.keep(key, { value, createdAt: now, expiresAt, accessCount: 0, lastAccessed: now });
    this.evictOverflow();
    this.counters.sets += 1;
    this.events.emit("set", key, value, ttl);
    return success(undefined);
  }

  async delete(key: string): Promise<Result<boolean, CacheError>> {
    const existed = this.drop(key);
    if (existed) {
      this.counters.deletes += 1;
      this.events.emit("delete", key);
    }
    return success(existed);
  }

  async has(key: string): Promise<Result<boolean, CacheError>> {
    const entry = this.entries.get(key);
    if (entry === undefined) return success(false);
    if (!isExpired(entry)) return success(true);
    this.drop(key);
    return success(false);
  }

  /** Another name for `has`. */
  async exists(key: string): Promise<Result<boolean, CacheError>> {
    return this.has(key);
  }

  /** Another name for `delete`. */
  async remove(key: string): Promise<Result<boolean, CacheError>> {
    return this.delete(key);
  }

  async clear(): Promise<Result<void, CacheError>> {
    this.counters.evictions += this.counters.size;
    this.entries.clear();
    this.counters.size = 0;
    return success(undefined);
  }

  async size(): Promise<Result<number, CacheError>> {
    for (const [key, entry] of [...this.entries]) {
      if (isExpired(entry)) this.drop(key);
    }
    return success(this.counters.size);
  }

  /** Lists the keys; in a pattern `*` stands for any text and `?` for one character. */
  async keys(pattern?: string): Promise<Result<string[], CacheError>> {
    const all = [...this.entries.keys()];
    if (!pattern) return success(all);
    const expression = new RegExp(pattern.replaceAll("*", ".*").replaceAll("?", "."));
    return success(all.filter((key) => expression.test(key)));
  }

  /** Reads several keys; what is missing is missing in the answer. */
  async mget<T>(keys: string[]): Promise<Result<Record<string, T>, CacheError>> {
    const found: Record<string, T> = {};
    for (const key of keys) {
      map(
        (value) => {
          found[key] = value;
        },
        await this.get<T>(key),
      );
    }
    return success(found);
  }

  async mset<T>(entries: Record<string, T>, ttl?: number): Promise<Result<void, CacheError>> {
    for (const [key, value] of Object.entries(entries)) {
      await this.set(key, value, ttl);
    }
    return success(undefined);
  }

  /** Deletes several keys and counts those that existed. */
  async mdelete(keys: string[]): Promise<Result<number, CacheError>> {
    let deleted = 0;
    for (const key of keys) {
      match(
        (existed) => {
          if (existed) deleted += 1;
        },
        () => undefined,
        await this.delete(key),
      );
    }
    return success(deleted);
  }

  /** Reads a key, or makes its value and keeps it. */
  async getOrSet<T>(
    key: string,
    factory: () => Promise<Result<T, CacheError>>,
    ttl?: number,
  ): Promise<Result<T, CacheError>> {
    const cached = await this.get<T>(key);
    if (isSuccess(cached)) return cached;
    return flatMapAsync(
      async (value: T) => map(() => value, await this.set(key, value, ttl)),
      await factory(),
    );
  }

  getStats(): CacheStats {
    return { ...this.counters };
  }

  async close(): Promise<void> {
    this.entries.clear();
    this.events.removeAllListeners();
  }

  private keep(key: string, entry: CacheEntry): void {
    if (!this.entries.delete(key)) this.counters.size += 1;
    this.entries.set(key, entry);
  }

  private drop(key: string): boolean {
    const existed = this.entries.delete(key);
    if (existed) this.counters.size -= 1;
    return existed;
  }

  private evictOverflow(): void {
    const limit = this.config.maxSize;
    const [oldest] = this.entries.keys();
    if (!limit || this.counters.size <= limit || oldest === undefined) return;
    this.drop(oldest);
    this.counters.evictions += 1;
    this.events.emit("evict", oldest, "lru");
  }
}

const isExpired = (entry: CacheEntry): boolean =>
  entry.expiresAt !== undefined && entry.expiresAt < new Date();

/** Makes a cache; this build knows memory only, every other backend is a failure. */
export const createCache = (config: CacheConfig): Result<ICache, CacheError> => {
  if (config.backend === "memory") return success(new MemoryCache(config));
  const context = { backend: config.backend, operation: "create" };
  return failure(cacheError(`Unsupported cache backend: ${config.backend}`, context));
};

/** Makes a cache in memory, which cannot fail. */
export const createMemoryCache = (config: Omit<CacheConfig, "backend">): MemoryCache =>
  new MemoryCache({ ...config, backend: "memory" });

/** Reads a key, or loads its value and keeps it; a loader that throws is a failure. */
export const cacheAside = async <T>(
  key: string,
  cache: ICache,
  loader: () => Promise<T>,
  ttl?: number,
): Promise<Result<T, CacheError>> => {
  const cached = await cache.get<T>(key);
  if (isSuccess(cached)) return cached;
  const loaded = await fromAsyncTryCatch(async () => {
    const value = await loader();
    await cache.set(key, value, ttl);
    return value;
  });
  return mapError(
    (reason) =>
      cacheError(`Cache-aside loader failed: ${String(reason.context["originalError"])}`, {
        operation: "cache-aside",
        key,
      }),
    loaded,
  );
};
