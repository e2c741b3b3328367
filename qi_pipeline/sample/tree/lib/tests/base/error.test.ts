import {
  authenticationError,
  authorizationError,
  businessError,
  concurrencyError,
  configurationError,
  create,
  createError,
  ErrorCategories,
  type ErrorCategory,
  errorToString,
  fromException,
  fromString,
  getCategory,
  getRetryStrategy,
  isErrorCategory,
  loggerError,
  networkError,
  resourceError,
  systemError,
  timeoutError,
  toStructuredData,
  validationError,
  withContext,
} from "@qi/base";
import { describe, expect, test } from "vitest";

describe("factories", () => {
  test.each([
    [validationError, "VALIDATION_ERROR", "VALIDATION"],
    [networkError, "NETWORK_ERROR", "NETWORK"],
    [systemError, "SYSTEM_ERROR", "SYSTEM"],
    [businessError, "BUSINESS_ERROR", "BUSINESS"],
    [authenticationError, "AUTH_ERROR", "AUTHENTICATION"],
    [authorizationError, "AUTHZ_ERROR", "AUTHORIZATION"],
    [configurationError, "CONFIG_ERROR", "CONFIGURATION"],
    [timeoutError, "TIMEOUT_ERROR", "TIMEOUT"],
    [resourceError, "RESOURCE_ERROR", "RESOURCE"],
    [concurrencyError, "CONCURRENCY_ERROR", "CONCURRENCY"],
    [loggerError, "LOGGER_ERROR", "LOGGER"],
  ] as const)("%o has a code and a category of its own", (factory, code, category) => {
    expect(factory("oops")).toEqual({ code, message: "oops", category, context: {} });
    expect(factory("oops", { id: 1 }).context).toEqual({ id: 1 });
  });

  test("create takes its parts by position", () => {
    expect(create("C", "m", "BUSINESS", { a: 1 })).toEqual({
      code: "C",
      message: "m",
      category: "BUSINESS",
      context: { a: 1 },
    });
  });

  test("createError takes its parts by name and needs no context", () => {
    const options = { code: "C", message: "m", category: "BUSINESS" } as const;
    expect(createError(options)).toEqual(create("C", "m", "BUSINESS"));
    expect(createError({ ...options, context: { a: 1 } }).context).toEqual({ a: 1 });
  });

  test("fromException keeps name and stack of an exception", () => {
    const thrown = new TypeError("wrong");
    expect(fromException(thrown)).toEqual(
      create("EXCEPTION", "wrong", "SYSTEM", { name: "TypeError", stack: thrown.stack }),
    );
  });

  test("fromException copes with values that are no exceptions", () => {
    expect(fromException(42, "NETWORK")).toEqual(
      create("UNKNOWN_EXCEPTION", "42", "NETWORK", { originalValue: 42 }),
    );
  });

  test("fromString assumes a system error", () => {
    expect(fromString("oops")).toEqual(create("ERROR", "oops", "SYSTEM"));
    expect(fromString("oops", "BUSINESS").category).toBe("BUSINESS");
  });
});

describe("categories", () => {
  test("there are eleven", () => {
    expect(new Set(ErrorCategories).size).toBe(11);
  });

  test("isErrorCategory knows categories from codes", () => {
    expect(isErrorCategory("NETWORK")).toBe(true);
    expect(isErrorCategory("NETWORK_ERROR")).toBe(false);
    expect(isErrorCategory("toString")).toBe(false);
  });

  test("getCategory reads the category", () => {
    expect(getCategory(timeoutError("late"))).toBe("TIMEOUT");
  });

  const strategies: Record<ErrorCategory, string> = {
    VALIDATION: "never",
    NETWORK: "exponential_backoff",
    SYSTEM: "linear_backoff",
    BUSINESS: "never",
    AUTHENTICATION: "never",
    AUTHORIZATION: "never",
    CONFIGURATION: "never",
    TIMEOUT: "exponential_backoff",
    RESOURCE: "linear_backoff",
    CONCURRENCY: "linear_backoff",
    LOGGER: "never",
  };

  test.each(ErrorCategories)("%s has its retry strategy", (category) => {
    const { strategy, description } = getRetryStrategy(category);
    expect(strategy).toBe(strategies[category]);
    expect(description).not.toBe("");
  });
});

describe("views", () => {
  const error = networkError("down", { host: "a" });

  test("errorToString shows code and message", () => {
    expect(errorToString(error)).toBe("[NETWORK_ERROR] down");
  });

  test("toStructuredData has all four parts", () => {
    expect(toStructuredData(error)).toEqual({ ...error });
  });

  test("withContext adds and overrides without changing the original", () => {
    expect(withContext({ host: "b", port: 1 }, error).context).toEqual({ host: "b", port: 1 });
    expect(error.context).toEqual({ host: "a" });
  });
});
