import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getError, isFailure, map, type Result, unwrap } from "@qi/base";
import {
  AppConfigSchema,
  Config,
  ConfigAccessError,
  ConfigBuilder,
  configError,
  empty,
  fromEnv,
  fromJsonFile,
  fromObject,
  safeParseConfig,
  ValidatedConfig,
  validateConfig,
} from "@qi/core";
import { afterEach, describe, expect, test, vi } from "vitest";
import { z } from "zod";

const Server = z.object({ host: z.string(), port: z.coerce.number() });
const file = async (text: string): Promise<string> => {
  const path = join(await mkdtemp(join(tmpdir(), "config-")), "settings.json");
  await writeFile(path, text);
  return path;
};

afterEach(() => vi.unstubAllEnvs());

describe("ConfigBuilder", () => {
  test("merges branches and replaces leaves and lists", () => {
    const merged = ConfigBuilder.fromObject({ a: { x: 1, y: [1, 2] }, b: 1 })
      .mergeObject({ a: { y: [3] }, c: null })
      .getData();
    expect(merged).toEqual({ a: { x: 1, y: [3] }, b: 1, c: null });
  });

  test("never changes the builder a step starts from", () => {
    const start = ConfigBuilder.fromObject({ a: { x: 1 } });
    start.set("a.x", 2).mergeObject({ b: 1 });
    expect(start.getData()).toEqual({ a: { x: 1 } });
  });

  test("sets nested values and makes the branches on the way", () => {
    const data = ConfigBuilder.fromObject({ a: 1 }).set("a.b.c", 2).getData();
    expect(data).toEqual({ a: { b: { c: 2 } } });
  });

  test("ignores a path without a last name", () => {
    expect(ConfigBuilder.fromObject({ a: 1 }).set("a.", 2).getData()).toEqual({ a: 1 });
  });

  test("filters and transforms top-level settings", () => {
    const builder = ConfigBuilder.fromObject({ a: 1, _b: 2 });
    expect(builder.filter((key) => !key.startsWith("_")).getData()).toEqual({ a: 1 });
    expect(builder.transform((data) => ({ n: Object.keys(data).length })).getData()).toEqual({
      n: 2,
    });
  });

  test("remembers the sources in order", () => {
    const builder = ConfigBuilder.fromObject({}).merge(ConfigBuilder.fromEnv("NO_SUCH_PREFIX"));
    expect(builder.getSources()).toEqual(["object", "env"]);
  });

  test("builds what the schema makes of the settings", () => {
    const config = unwrap(
      ConfigBuilder.fromObject({ host: "a", port: "80" }).validateWith(Server).build(),
    );
    expect(config.getAll()).toEqual({ host: "a", port: 80 });
    expect(config.isValidated()).toBe(true);
    expect(config.getSchema()).toBe(Server);
  });

  test("fails to build what the schema refuses", () => {
    const error = getError(ConfigBuilder.fromObject({}).validateWith(Server).build());
    expect(error).toMatchObject({
      code: "CONFIG_ERROR",
      category: "CONFIGURATION",
      message: "Schema validation failed",
    });
  });

  test("buildValidated insists on a schema", () => {
    expect(getError(ConfigBuilder.fromObject({}).buildValidated())?.context).toEqual({
      code: "VALIDATION_REQUIRED",
    });
  });

  test("buildUnsafe skips the schema", () => {
    const config = ConfigBuilder.fromObject({}).validateWith(Server).buildUnsafe();
    expect(config.isValidated()).toBe(false);
  });
});

describe("sources", () => {
  test("reads a JSON file", async () => {
    const config = unwrap(await fromJsonFile(await file('{"a":{"b":1}}')));
    expect(config.get("a.b")).toEqual({ tag: "success", value: 1 });
    expect(config.getSources()).toEqual(["json"]);
  });

  test("fails for a missing file and names it", async () => {
    const error = getError(await fromJsonFile("/no/such/file.json"));
    expect(error?.message).toContain("Failed to load config from /no/such/file.json");
    expect(error?.context).toEqual({ source: "json", path: "/no/such/file.json" });
  });

  test("fails for a file that is not JSON", async () => {
    expect(isFailure(await ConfigBuilder.fromJsonFile(await file("{")))).toBe(true);
  });

  test("reads variables with a prefix, which is cut off", () => {
    vi.stubEnv("SAMPLE_PORT", "80");
    vi.stubEnv("SAMPLER_PORT", "81");
    expect(fromEnv("SAMPLE").getAll()).toEqual({ port: "80" });
  });

  test("reads all variables without a prefix", () => {
    vi.stubEnv("SAMPLE_PORT", "80");
    expect(fromEnv().getOr("sample_port", "")).toBe("80");
  });

  test("empty has no settings", () => {
    expect(empty().getAll()).toEqual({});
  });
});

describe("Config", () => {
  const config = fromObject({ server: { port: 80, tls: null }, list: [1] });

  test("reads by dotted path", () => {
    expect(unwrap(config.get<number>("server.port"))).toBe(80);
  });

  test("tells a null setting from a missing one", () => {
    expect(config.has("server.tls")).toBe(true);
    expect(config.has("server.host")).toBe(false);
    expect(config.has("server.tls.key")).toBe(false);
  });

  test("names the missing path", () => {
    expect(getError(config.get("server.host"))).toEqual(
      configError("Configuration path not found: server.host", { path: "server.host" }),
    );
  });

  test("getOr falls back", () => {
    expect([config.getOr("server.port", 1), config.getOr("nothing", 1)]).toEqual([80, 1]);
  });

  test("merge lets the other one win", () => {
    expect(config.merge(fromObject({ server: { port: 1 } })).getOr("server.port", 0)).toBe(1);
  });

  test("round-trips through JSON and builders", () => {
    expect(JSON.parse(config.toJson())).toEqual(config.toObject());
    expect(config.toBuilder().buildUnsafe().getAll()).toEqual(config.getAll());
    expect(config).toBeInstanceOf(Config);
  });
});

describe("ValidatedConfig", () => {
  const built: Result<ValidatedConfig, unknown> = ConfigBuilder.fromObject({ host: "a", port: 1 })
    .validateWith(Server)
    .buildValidated();
  const config = unwrap(built);

  test("reads directly", () => {
    expect(config).toBeInstanceOf(ValidatedConfig);
    expect([config.get("host"), config.getOptional("nothing"), config.getOr("nothing", 2)]).toEqual(
      ["a", undefined, 2],
    );
  });

  test("throws an access error with the path", () => {
    expect(() => config.get("nothing")).toThrow(ConfigAccessError);
    expect(() => config.get("nothing")).toThrow(/not found: nothing/);
  });

  test("offers the views of a configuration", () => {
    expect(config.toObject()).toEqual(config.toConfig().getAll());
    expect(config.has("host")).toBe(true);
    expect(config.getSchema()).toBe(Server);
    expect(config.merge(config).toJson()).toBe(config.toJson());
  });
});

describe("schemas", () => {
  test("validateConfig returns typed settings", () => {
    const host = map((server) => server.host, validateConfig(fromObject({ host: "a", port: 1 }), Server));
    expect(unwrap(host)).toBe("a");
  });

  test("validateConfig lists the issues", () => {
    const error = getError(validateConfig(empty(), Server));
    expect(error?.message).toBe("Configuration validation failed");
    expect(JSON.stringify(error?.context)).toContain('"path":"host"');
  });

  test("safeParseConfig does the same for plain data", () => {
    expect(unwrap(safeParseConfig({ host: "a", port: "2" }, Server)).port).toBe(2);
    expect(getError(safeParseConfig({}, Server))?.message).toBe("Schema parsing failed");
  });

  test("the application schema fills in defaults", () => {
    const parsed = AppConfigSchema.parse({ app: { name: "a", version: "1" } });
    expect(parsed.app).toMatchObject({ port: 3000, host: "localhost" });
  });
});
