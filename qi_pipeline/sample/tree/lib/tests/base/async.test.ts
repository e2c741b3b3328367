import {
  collectAsync,
  failure,
  flatMapAsync,
  flatMapPromise,
  getError,
  isPromiseResult,
  mapAsync,
  mapPromise,
  matchAsync,
  matchPromise,
  type Result,
  sequenceAsync,
  success,
  validationError,
} from "@qi/base";
import { describe, expect, test } from "vitest";

const problem = validationError("bad input");
const good: Result<number> = success(4);
const bad: Result<number> = failure(problem);
const later = <T>(result: Result<T>): Promise<Result<T>> => Promise.resolve(result);
const describeValue = async (n: number): Promise<string> => `value ${n}`;
const describeError = async (error: { message: string }): Promise<string> => error.message;

describe("from a result", () => {
  test("flatMapAsync continues after a value", async () => {
    expect(await flatMapAsync(async (n) => success(n + 1), good)).toEqual(success(5));
  });

  test("flatMapAsync skips the step after a failure", async () => {
    expect(await flatMapAsync(async (n) => success(n + 1), bad)).toBe(bad);
  });

  test("mapAsync awaits the new value", async () => {
    expect(await mapAsync(describeValue, good)).toEqual(success("value 4"));
    expect(await mapAsync(describeValue, bad)).toBe(bad);
  });

  test("mapAsync turns a rejection into a failure", async () => {
    const result = await mapAsync(() => Promise.reject(new Error("boom")), good);
    expect(getError(result)).toMatchObject({
      code: "ASYNC_MAP_ERROR",
      message: "Async map operation failed: boom",
    });
  });

  test("matchAsync awaits the chosen branch", async () => {
    expect(await matchAsync(describeValue, describeError, good)).toBe("value 4");
    expect(await matchAsync(describeValue, describeError, bad)).toBe("bad input");
  });
});

describe("from the promise of a result", () => {
  test("flatMapPromise takes steps of both kinds", async () => {
    expect(await flatMapPromise((n) => success(n + 1), later(good))).toEqual(success(5));
    expect(await flatMapPromise(async (n) => success(n + 1), later(good))).toEqual(success(5));
    expect(await flatMapPromise((n) => success(n + 1), later(bad))).toBe(bad);
  });

  test("mapPromise takes functions of both kinds", async () => {
    expect(await mapPromise((n) => n + 1, later(good))).toEqual(success(5));
    expect(await mapPromise(describeValue, later(good))).toEqual(success("value 4"));
    expect(await mapPromise((n) => n + 1, later(bad))).toBe(bad);
  });

  test("mapPromise turns an exception into a failure", async () => {
    const explode = (): never => {
      throw new Error("boom");
    };
    expect(getError(await mapPromise(explode, later(good)))).toMatchObject({
      code: "ASYNC_MAP_PROMISE_ERROR",
      message: "Async promise map operation failed: boom",
    });
  });

  test("matchPromise awaits the chosen branch", async () => {
    expect(await matchPromise(describeValue, describeError, later(good))).toBe("value 4");
    expect(await matchPromise(describeValue, describeError, later(bad))).toBe("bad input");
  });
});

describe("many at once", () => {
  test("sequenceAsync keeps the order of its input", async () => {
    const slow = new Promise<Result<number>>((done) => setTimeout(() => done(success(1)), 5));
    expect(await sequenceAsync([slow, later(success(2))])).toEqual(success([1, 2]));
  });

  test("sequenceAsync ends with the first failure", async () => {
    expect(await sequenceAsync([later(good), later(bad), later(good)])).toBe(bad);
  });

  test("sequenceAsync of nothing is an empty list", async () => {
    expect(await sequenceAsync([])).toEqual(success([]));
  });

  test("collectAsync sorts values from errors", async () => {
    expect(await collectAsync([later(good), later(bad), later(good)])).toEqual({
      successes: [4, 4],
      failures: [problem],
    });
  });

  test("isPromiseResult tells promises from results", () => {
    expect(isPromiseResult(later(good))).toBe(true);
    expect(isPromiseResult(good)).toBe(false);
  });
});
