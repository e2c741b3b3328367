import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getError, unwrap } from "@qi/base";
import {
  createFromEnv,
  createLogger,
  createRequestLogger,
  formatError,
  getLoggerEnvironmentConfig,
  type LogEntry,
  Logger,
  type LoggerConfig,
  type LogLevel,
  loggerDevelopmentConfig,
  loggerError,
  loggerProductionConfig,
  loggerTestConfig,
} from "@qi/core";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

const printed: string[] = [];
const line = (index = 0): Record<string, unknown> =>
  JSON.parse(printed[index] ?? "{}") as Record<string, unknown>;
const make = (config: Partial<LoggerConfig> = {}): Logger =>
  unwrap(createLogger({ level: "debug", ...config }));

beforeEach(() => {
  printed.length = 0;
  vi.spyOn(console, "log").mockImplementation((text: string) => void printed.push(text));
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

describe("lines", () => {
  test("are JSON with level, name, context and message", () => {
    make({ name: "shop" }).info("sold", { sku: "tea" });
    expect(line()).toMatchObject({ level: 30, name: "shop", sku: "tea", msg: "sold" });
  });

  test("are readable when pretty", () => {
    make({ pretty: true }).warn("low", { left: 1 });
    expect(printed[0]).toMatch(/^\d\d:\d\d:\d\d WARN low \{"left":1\}$/);
  });

  test("hide redacted fields", () => {
    make({ redact: ["password"] }).info("login", { user: "ada", password: "x" });
    expect(line()).toMatchObject({ user: "ada", password: "[Redacted]" });
  });

  test("show fields as their serializer renders them", () => {
    make({ serializers: { user: () => "someone" } }).info("login", { user: { name: "ada" } });
    expect(line()).toMatchObject({ user: "someone" });
  });

  test("hold the fields of an exception", () => {
    make().error("broken", new TypeError("wrong"), { id: 1 });
    expect(line()).toMatchObject({ level: 50, id: 1, error: { name: "TypeError", message: "wrong" } });
  });

  test("go through the hook where there is one", () => {
    make({ hooks: { logMethod: (_args, write) => (write as () => void)() } }).info("hooked");
    expect(line()["msg"]).toBe("hooked");
  });

  test("are appended to the destination", () => {
    const destination = join(mkdtempSync(join(tmpdir(), "log-")), "app.log");
    const logger = make({ destination });
    logger.info("one");
    logger.fatal("two");
    const levels = readFileSync(destination, "utf-8").trim().split("\n");
    expect(levels.map((text) => (JSON.parse(text) as { level: number }).level)).toEqual([30, 60]);
    expect(printed).toEqual([]);
  });
});

describe("levels", () => {
  const levels: LogLevel[] = ["debug", "info", "warn", "error", "fatal"];

  test.each(levels)("%s enables itself and all above", (level) => {
    const logger = make({ level });
    expect(levels.filter((l) => logger.isLevelEnabled(l))).toEqual(
      levels.slice(levels.indexOf(level)),
    );
  });

  test("below the level nothing is written", () => {
    make({ level: "warn" }).info("hush");
    expect(printed).toEqual([]);
  });

  test("can be changed, which listeners hear of", () => {
    const logger = make();
    const heard: LogLevel[] = [];
    logger.on("level", (level) => void heard.push(level));
    logger.setLevel("error");
    expect([logger.getLevel(), heard]).toEqual(["error", ["error"]]);
  });
});

describe("children", () => {
  test("add their context and those of their ancestors", () => {
    make().child({ service: "shop" }).child({ traceId: "t" }).info("sold", { sku: "tea" });
    expect(line()).toMatchObject({ service: "shop", traceId: "t", sku: "tea" });
  });

  test("share the listeners of their parent", () => {
    const logger = make();
    const heard: LogEntry[] = [];
    logger.on("log", (entry) => void heard.push(entry));
    logger.child({ traceId: "t" }).info("hello");
    expect(heard[0]).toMatchObject({ message: "hello", traceId: "t", level: "info" });
  });

  test("have a level of their own", () => {
    const logger = make();
    logger.child({}).setLevel("fatal");
    expect(logger.getLevel()).toBe("debug");
  });
});

describe("events", () => {
  test("stop after off and close, and once is once", () => {
    const logger = make();
    const heard: string[] = [];
    const listener = (entry: LogEntry): void => void heard.push(entry.message);
    logger.once("log", listener);
    logger.info("one");
    logger.info("two");
    logger.on("log", listener);
    logger.off("log", listener);
    logger.info("three");
    logger.on("log", listener);
    logger.close();
    logger.info("four");
    expect(heard).toEqual(["one"]);
  });

  test("report a line that cannot be written", () => {
    const logger = make({ destination: "/no/such/folder/app.log" });
    const codes: string[] = [];
    logger.info("nobody listens");
    logger.on("error", (error) => void codes.push(error.code));
    logger.info("lost");
    expect(codes).toEqual(["LOGGER_ERROR"]);
  });
});

describe("making loggers", () => {
  test("an unknown level is a failure", () => {
    const error = getError(createLogger({ level: "loud" as LogLevel }));
    expect(error).toMatchObject({ code: "LOGGER_ERROR", message: "Invalid log level: loud" });
  });

  test.each([
    ["production", loggerProductionConfig],
    ["test", loggerTestConfig],
    ["anything", loggerDevelopmentConfig],
  ])("NODE_ENV %s chooses its settings", (environment, config) => {
    vi.stubEnv("NODE_ENV", environment);
    vi.stubEnv("LOG_LEVEL", "");
    expect(getLoggerEnvironmentConfig()).toEqual(config);
  });

  test("LOG_LEVEL overrides the level", () => {
    vi.stubEnv("LOG_LEVEL", "error");
    expect(unwrap(createFromEnv()).getLevel()).toBe("error");
  });

  test("getConfig copies the settings and flush resolves", async () => {
    const logger = make({ name: "shop" });
    expect(logger.getConfig()).toEqual({ level: "debug", name: "shop" });
    await expect(logger.flush()).resolves.toBeUndefined();
    expect(logger).toBeInstanceOf(Logger);
  });
});

describe("helpers", () => {
  test("formatError includes the cause", () => {
    const error = new Error("outer", { cause: "inner" });
    expect(formatError(error)).toMatchObject({ name: "Error", message: "outer", cause: "inner" });
    expect(formatError(new Error("alone"))).not.toHaveProperty("cause");
  });

  test("loggerError carries its context", () => {
    expect(loggerError("lost", { operation: "log" }).context).toEqual({ operation: "log" });
  });

  test("request loggers choose the level by status", () => {
    const requests = createRequestLogger(make());
    requests.logRequest({ method: "GET", url: "/", headers: { "user-agent": "curl" } });
    requests.logResponse({ method: "GET", url: "/" }, { statusCode: 200 }, 3);
    requests.logResponse({ method: "GET", url: "/" }, { statusCode: 500 }, 3);
    requests.logError(new Error("boom"), { url: "/" });
    expect(printed.map((_, index) => line(index)["level"])).toEqual([30, 30, 50, 50]);
    expect(line()["userAgent"]).toBe("curl");
  });
});
