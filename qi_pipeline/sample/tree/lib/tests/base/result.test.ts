import {
  andThen,
  collect,
  Err,
  failure,
  filter,
  flatMap,
  fromAsyncTryCatch,
  fromEither,
  fromMaybe,
  fromTryCatch,
  getError,
  getValue,
  inspect,
  inspectErr,
  isFailure,
  isSuccess,
  map,
  mapError,
  match,
  Ok,
  orElse,
  type Result,
  success,
  systemError,
  tryCatch,
  unwrap,
  unwrapOr,
  validationError,
} from "@qi/base";
import { describe, expect, test } from "vitest";

const problem = validationError("bad input");
const good: Result<number> = success(4);
const bad: Result<number> = failure(problem);

describe("constructors", () => {
  test("success is plain data", () => {
    expect(success(1)).toEqual({ tag: "success", value: 1 });
  });

  test("failure is plain data", () => {
    expect(failure("no")).toEqual({ tag: "failure", error: "no" });
  });

  test("the short aliases are the same functions", () => {
    expect(Ok).toBe(success);
    expect(Err).toBe(failure);
    expect(tryCatch).toBe(fromTryCatch);
  });

  test("fromTryCatch keeps what the operation returns", () => {
    expect(fromTryCatch(() => 7)).toEqual(success(7));
  });

  test("fromTryCatch describes what was thrown", () => {
    const thrown = new Error("boom");
    const error = getError(
      fromTryCatch(() => {
        throw thrown;
      }),
    );
    expect(error).toMatchObject({ code: "EXCEPTION", message: "boom", category: "SYSTEM" });
    expect(error?.context["originalError"]).toBe(thrown);
  });

  test("fromTryCatch asks the handler it was given", () => {
    const result = fromTryCatch(
      () => JSON.parse("{") as unknown,
      () => problem,
    );
    expect(result).toEqual(bad);
  });

  test("fromTryCatch copes with thrown values that are no errors", () => {
    const error = getError(
      fromTryCatch(() => {
        throw "text";
      }),
    );
    expect(error?.message).toBe("text");
  });

  test("fromAsyncTryCatch awaits a value", async () => {
    expect(await fromAsyncTryCatch(async () => 7)).toEqual(success(7));
  });

  test("fromAsyncTryCatch has a code of its own for rejections", async () => {
    const result = await fromAsyncTryCatch(() => Promise.reject(new Error("late")));
    expect(getError(result)).toMatchObject({ code: "ASYNC_EXCEPTION", message: "late" });
  });

  test("fromAsyncTryCatch asks the handler it was given", async () => {
    const result = await fromAsyncTryCatch(
      () => Promise.reject(new Error("late")),
      () => problem,
    );
    expect(result).toEqual(bad);
  });

  test.each([null, undefined])("fromMaybe takes %s for missing", (value) => {
    expect(fromMaybe(value, problem)).toEqual(bad);
  });

  test.each([0, "", false])("fromMaybe takes %j for a value", (value) => {
    expect(fromMaybe<unknown>(value, problem)).toEqual(success(value));
  });

  test("fromEither reads right as success and left as failure", () => {
    expect(fromEither<string, number>({ tag: "right", value: 1 })).toEqual(success(1));
    expect(fromEither<string, number>({ tag: "left", value: "no" })).toEqual(failure("no"));
  });
});

describe("questions", () => {
  test("isSuccess and isFailure are opposites", () => {
    expect([isSuccess(good), isFailure(good)]).toEqual([true, false]);
    expect([isSuccess(bad), isFailure(bad)]).toEqual([false, true]);
  });

  test("getValue and getError answer null for the other half", () => {
    expect([getValue(good), getError(good)]).toEqual([4, null]);
    expect([getValue(bad), getError(bad)]).toEqual([null, problem]);
  });
});

describe("combinators", () => {
  const increment = (n: number): number => n + 1;
  const double = (n: number): number => n * 2;
  const half = (n: number): Result<number> => (n % 2 === 0 ? success(n / 2) : failure(problem));

  test("map keeps identity and composition", () => {
    expect(map((n) => n, good)).toEqual(good);
    expect(map((n) => double(increment(n)), good)).toEqual(map(double, map(increment, good)));
  });

  test("map leaves a failure untouched", () => {
    expect(map(increment, bad)).toBe(bad);
  });

  test("mapError changes errors only", () => {
    expect(mapError((error) => error.code, bad)).toEqual(failure("VALIDATION_ERROR"));
    expect(mapError((error) => error.code, good)).toBe(good);
  });

  test("flatMap obeys the monad laws", () => {
    expect(flatMap(half, success(4))).toEqual(half(4));
    expect(flatMap((n: number): Result<number> => success(n), good)).toEqual(good);
    expect(flatMap(half, flatMap(half, good))).toEqual(flatMap((n) => flatMap(half, half(n)), good));
  });

  test("flatMap does not call the step after a failure", () => {
    const called: number[] = [];
    flatMap((n): Result<number> => {
      called.push(n);
      return success(n);
    }, bad);
    expect(called).toEqual([]);
  });

  test("andThen does what flatMap does", () => {
    expect(andThen(half, good)).toEqual(flatMap(half, good));
    expect(andThen(half, bad)).toBe(bad);
  });

  test("inspect sees values and passes the result on", () => {
    const seen: number[] = [];
    expect(inspect((n) => void seen.push(n), good)).toBe(good);
    inspect((n) => void seen.push(n), bad);
    expect(seen).toEqual([4]);
  });

  test("inspectErr sees errors and passes the result on", () => {
    const seen: string[] = [];
    expect(inspectErr((error) => void seen.push(error.code), bad)).toBe(bad);
    inspectErr((error) => void seen.push(error.code), good);
    expect(seen).toEqual(["VALIDATION_ERROR"]);
  });

  test("collect removes one level", () => {
    expect(collect(success(good))).toBe(good);
    expect(collect(success(bad))).toBe(bad);
    expect(collect<number, unknown>(failure(problem))).toEqual(bad);
  });

  test("filter keeps a value the predicate accepts", () => {
    expect(filter((n) => n > 3, systemError("small"), good)).toBe(good);
  });

  test("filter replaces a value the predicate refuses", () => {
    const small = systemError("small");
    expect(filter((n) => n > 5, small, good)).toEqual(failure(small));
  });

  test("filter leaves an earlier failure untouched", () => {
    expect(filter(() => false, systemError("small"), bad)).toBe(bad);
  });

  test("orElse replaces failures only", () => {
    expect(orElse(() => success(0), bad)).toEqual(success(0));
    expect(orElse(() => success(0), good)).toBe(good);
  });
});

describe("ends", () => {
  test("unwrap takes the value out", () => {
    expect(unwrap(good)).toBe(4);
  });

  test("unwrap throws for a failure and shows its error", () => {
    expect(() => unwrap(bad)).toThrow(/unwrap on failure.*bad input/);
  });

  test("unwrapOr falls back", () => {
    expect([unwrapOr(0, good), unwrapOr(0, bad)]).toEqual([4, 0]);
  });

  test("match chooses the branch by position", () => {
    const describeIt = (result: Result<number>): string =>
      match(
        (n) => `value ${n}`,
        (error) => error.message,
        result,
      );
    expect([describeIt(good), describeIt(bad)]).toEqual(["value 4", "bad input"]);
  });
});
