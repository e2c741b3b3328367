import { failure, getError, isFailure, success, unwrap, unwrapOr } from "@qi/base";
import {
  type CacheBackend,
  cacheAside,
  cacheError,
  createCache,
  createMemoryCache,
  MemoryCache,
} from "@qi/core";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

const seconds = (count: number): void => void vi.advanceTimersByTime(count * 1000);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("reading and writing", () => {
  test("a value comes back", async () => {
    const cache = createMemoryCache({});
    await cache.set("k", { n: 1 });
    expect(unwrap(await cache.get("k"))).toEqual({ n: 1 });
  });

  test("a miss is a failure that names the key", async () => {
    expect(getError(await createMemoryCache({}).get("k"))).toEqual(
      cacheError("Cache miss for key: k", { operation: "get", key: "k", backend: "memory" }),
    );
  });

  test("a stored undefined is no miss", async () => {
    const cache = createMemoryCache({});
    await cache.set("k", undefined);
    expect(await cache.get("k")).toEqual(success(undefined));
  });

  test("delete and remove tell whether there was something", async () => {
    const cache = createMemoryCache({});
    await cache.mset({ a: 1, b: 2 });
    expect(await cache.delete("a")).toEqual(success(true));
    expect(await cache.delete("a")).toEqual(success(false));
    expect(await cache.remove("b")).toEqual(success(true));
  });

  test("has and exists do not count as reads", async () => {
    const cache = createMemoryCache({});
    await cache.set("k", 1);
    expect([await cache.has("k"), await cache.exists("x")]).toEqual([success(true), success(false)]);
    expect(cache.getStats()).toMatchObject({ hits: 0, misses: 0 });
  });

  test("clear forgets everything", async () => {
    const cache = createMemoryCache({});
    await cache.mset({ a: 1, b: 2 });
    await cache.clear();
    expect(await cache.size()).toEqual(success(0));
    expect(cache.getStats().evictions).toBe(2);
  });

  test("keys understand patterns", async () => {
    const cache = createMemoryCache({});
    await cache.mset({ "user:1": 1, "user:22": 2, page: 3 });
    expect(unwrap(await cache.keys())).toHaveLength(3);
    expect(unwrap(await cache.keys("user:*"))).toEqual(["user:1", "user:22"]);
  });

  test("mget leaves out what is missing", async () => {
    const cache = createMemoryCache({});
    await cache.set("a", 1);
    expect(await cache.mget(["a", "b"])).toEqual(success({ a: 1 }));
  });

  test("mdelete counts what existed", async () => {
    const cache = createMemoryCache({});
    await cache.mset({ a: 1, b: 2 });
    expect(await cache.mdelete(["a", "b", "c"])).toEqual(success(2));
  });

  test("close empties the cache", async () => {
    const cache = createMemoryCache({});
    await cache.set("a", 1);
    await cache.close();
    expect(await cache.has("a")).toEqual(success(false));
  });
});

describe("expiry", () => {
  test("a value lives as long as it was given", async () => {
    const cache = createMemoryCache({});
    await cache.set("k", 1, 10);
    seconds(9);
    expect(unwrapOr(0, await cache.get<number>("k"))).toBe(1);
    seconds(2);
    expect(getError(await cache.get("k"))?.message).toBe("Cache key expired: k");
    expect(cache.getStats()).toMatchObject({ evictions: 1, misses: 0, size: 0 });
  });

  test("the default applies where no other time is given", async () => {
    const cache = createMemoryCache({ defaultTtl: 1 });
    await cache.set("short", 1);
    await cache.set("long", 1, 10);
    seconds(2);
    expect([await cache.has("short"), await cache.has("long")]).toEqual([
      success(false),
      success(true),
    ]);
  });

  test("size does not count what has expired", async () => {
    const cache = createMemoryCache({});
    await cache.set("a", 1, 1);
    await cache.set("b", 1);
    seconds(2);
    expect(await cache.size()).toEqual(success(1));
  });
});

describe("limits and counters", () => {
  test("the least recently used entry goes first", async () => {
    const cache = createMemoryCache({ maxSize: 2 });
    await cache.mset({ a: 1, b: 2 });
    await cache.get("a");
    await cache.set("c", 3);
    expect([await cache.has("a"), await cache.has("b"), await cache.has("c")]).toEqual([
      success(true),
      success(false),
      success(true),
    ]);
  });

  test("overwriting a value evicts nothing", async () => {
    const cache = createMemoryCache({ maxSize: 2 });
    await cache.mset({ a: 1, b: 2 });
    await cache.set("a", 3);
    expect(cache.getStats()).toMatchObject({ size: 2, evictions: 0 });
  });

  test("everything is counted", async () => {
    const cache = createMemoryCache({ maxSize: 5 });
    await cache.set("a", 1);
    await cache.get("a");
    await cache.get("b");
    await cache.delete("a");
    expect(cache.getStats()).toEqual({
      hits: 1,
      misses: 1,
      sets: 1,
      deletes: 1,
      evictions: 0,
      size: 0,
      maxSize: 5,
    });
  });
});

describe("getOrSet and cacheAside", () => {
  test("the factory runs once", async () => {
    const cache = createMemoryCache({});
    const factory = vi.fn(async () => success(1));
    await cache.getOrSet("k", factory);
    expect(await cache.getOrSet("k", factory)).toEqual(success(1));
    expect(factory).toHaveBeenCalledTimes(1);
  });

  test("a failing factory leaves nothing behind", async () => {
    const cache = createMemoryCache({});
    const error = cacheError("no");
    expect(await cache.getOrSet("k", async () => failure(error))).toEqual(failure(error));
    expect(await cache.has("k")).toEqual(success(false));
  });

  test("the loader runs once and its value expires", async () => {
    const cache = createMemoryCache({});
    const loader = vi.fn(async () => "text");
    await cacheAside("k", cache, loader, 10);
    await cacheAside("k", cache, loader, 10);
    expect(loader).toHaveBeenCalledTimes(1);
    seconds(11);
    await cacheAside("k", cache, loader, 10);
    expect(loader).toHaveBeenCalledTimes(2);
  });

  test("a loader that throws is a failure", async () => {
    const loader = (): Promise<string> => Promise.reject(new Error("down"));
    const error = getError(await cacheAside("k", createMemoryCache({}), loader));
    expect(error?.message).toContain("Cache-aside loader failed:");
    expect(error?.context).toEqual({ operation: "cache-aside", key: "k" });
  });
});

describe("createCache", () => {
  test("makes a cache in memory", () => {
    expect(unwrap(createCache({ backend: "memory" }))).toBeInstanceOf(MemoryCache);
  });

  test.each(["redis", "disk"])("backend %s is a failure", (backend) => {
    const result = createCache({ backend: backend as CacheBackend });
    expect(isFailure(result)).toBe(true);
    expect(getError(result)?.message).toBe(`Unsupported cache backend: ${backend}`);
  });
});
