/**
 * Configuration: collect settings from several sources, check them against a
 * schema, and read them by dotted paths.
 *
 * A ConfigBuilder gathers and never fails; `build` checks and may fail; a
 * Config is read through results; a ValidatedConfig is read directly.
 */

import { readFile } from "node:fs/promises";
import {
  create,
  failure,
  flatMap,
  flatMapPromise,
  fromAsyncTryCatch,
  isSuccess,
  match,
  type QiError,
  type Result,
  success,
  unwrapOr,
} from "@qi/base";
import { z } from "zod";

/** Settings as they were read: keys are strings, values are anything. */
export type ConfigData = Record<string, unknown>;

/** Where settings came from. */
export type ConfigSource = "object" | "json" | "yaml" | "toml" | "env";

/** How a source is read. */
export interface ConfigOptions {
  source: ConfigSource;
  envPrefix?: string;
  validate?: boolean;
  schema?: z.ZodType;
}

/** An error about settings. */
export type ConfigError = QiError & {
  readonly category: "CONFIGURATION";
  readonly context: {
    readonly source?: ConfigSource;
    readonly path?: string;
    readonly schema?: string;
  };
};

interface ConfigState {
  readonly data: ConfigData;
  readonly sources: ConfigSource[];
  readonly schema?: z.ZodType;
  readonly validated: boolean;
}

/** Reports a problem with the settings. */
export const configError = (message: string, context: ConfigError["context"] = {}): ConfigError =>
  create("CONFIG_ERROR", message, "CONFIGURATION", context) as ConfigError;

const isBranch = (value: unknown): value is ConfigData =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const mergeDeep = (under: ConfigData, over: ConfigData): ConfigData => {
  const merged: ConfigData = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    merged[key] = isBranch(below) && isBranch(value) ? mergeDeep(below, value) : value;
  }
  return merged;
};

const setAt = (data: ConfigData, [key, ...rest]: string[], value: unknown): ConfigData => {
  if (key === undefined) return data;
  if (rest.length === 0) return { ...data, [key]: value };
  const below = data[key];
  return { ...data, [key]: setAt(isBranch(below) ? below : {}, rest, value) };
};

const readAt = (data: ConfigData, path: string): Result<unknown, ConfigError> =>
  path.split(".").reduce<Result<unknown, ConfigError>>(
    (found, key) =>
      flatMap(
        (branch: unknown): Result<unknown, ConfigError> =>
          typeof branch === "object" && branch !== null && key in branch
            ? success((branch as ConfigData)[key])
            : failure(configError(`Configuration path not found: ${path}`, { path })),
        found,
      ),
    success(data),
  );

const parseWith = <T>(
  message: string,
  data: ConfigData,
  schema: z.ZodType<T>,
): Result<T, ConfigError> => {
  const outcome = schema.safeParse(data);
  if (outcome.success) return success(outcome.data);
  const errors = outcome.error.issues.map((issue) => ({
    path: issue.path.join("."),
    message: issue.message,
    code: issue.code,
  }));
  return failure(configError(message, { schema: schema.constructor.name, context: { errors } }));
};

/** Gathers settings step by step; every step returns a new builder. */
export class ConfigBuilder {
  private constructor(private readonly state: ConfigState) {}

  /** Starts from an object. */
  static fromObject(data: ConfigData): ConfigBuilder {
    return new ConfigBuilder({ data: { ...data }, sources: ["object"], validated: false });
  }

  /** Starts from a JSON file. */
  static async fromJsonFile(path: string): Promise<Result<ConfigBuilder, ConfigError>> {
    const loaded = await fromAsyncTryCatch(
      async () => JSON.parse(await readFile(path, "utf-8")) as ConfigData,
    );
    return match<ConfigData, QiError, Result<ConfigBuilder, ConfigError>>(
      (data) => success(new ConfigBuilder({ data, sources: ["json"], validated: false })),
      (reason) =>
        failure(
          configError(`Failed to load config from ${path}: ${String(reason.context["originalError"])}`, {
            source: "json",
            path,
          }),
        ),
      loaded,
    );
  }

  /** Starts from the environment; with a prefix, from the variables `PREFIX_…` alone. */
  static fromEnv(prefix = ""): ConfigBuilder {
    const head = prefix === "" ? "" : `${prefix}_`;
    const pairs = Object.entries(process.env)
      .filter(([name]) => name.startsWith(head))
      .map(([name, value]) => [name.slice(head.length).toLowerCase(), value]);
    const data: ConfigData = Object.fromEntries(pairs);
    return new ConfigBuilder({ data, sources: ["env"], validated: false });
  }

  /** Lays another builder's settings over these. */
  merge(other: ConfigBuilder): ConfigBuilder {
    return this.next({
      data: mergeDeep(this.state.data, other.state.data),
      sources: [...this.state.sources, ...other.state.sources],
      schema: this.state.schema ?? other.state.schema,
    });
  }

  /** Lays an object over these settings. */
  mergeObject(data: ConfigData): ConfigBuilder {
    return this.merge(ConfigBuilder.fromObject(data));
  }

  /** Sets one value by its dotted path. */
  set(path: string, value: unknown): ConfigBuilder {
    const keys = path.split(".");
    if (keys[keys.length - 1] === "") return this;
    const named = keys.filter((key) => key !== "");
    return this.next({ data: setAt(this.state.data, named, value) });
  }

  /** Names the schema that `build` checks against. */
  validateWith(schema: z.ZodType): ConfigBuilder {
    return this.next({ schema });
  }

  /** Replaces the settings by what a function makes of them. */
  transform<T>(fn: (data: ConfigData) => T): ConfigBuilder {
    return this.next({ data: fn(this.state.data) as ConfigData });
  }

  /** Keeps the top-level settings a predicate accepts. */
  filter(predicate: (key: string, value: unknown) => boolean): ConfigBuilder {
    const kept = Object.entries(this.state.data).filter(([key, value]) => predicate(key, value));
    return this.next({ data: Object.fromEntries(kept) });
  }

  /** Ends the gathering; with a schema, checks the settings first. */
  build(): Result<Config, ConfigError> {
    const { schema, data } = this.state;
    if (schema === undefined) return success(this.buildUnsafe());
    const outcome = schema.safeParse(data);
    return outcome.success
      ? success(new Config({ ...this.state, data: outcome.data as ConfigData, validated: true }))
      : failure(configError("Schema validation failed", { schema: schema.constructor.name }));
  }

  /** Ends the gathering and insists on a schema. */
  buildValidated(): Result<ValidatedConfig, ConfigError> {
    return flatMap(
      (config: Config): Result<ValidatedConfig, ConfigError> =>
        config.isValidated()
          ? success(new ValidatedConfig(config))
          : failure(
              configError("Configuration must be validated before safe build", {
                code: "VALIDATION_REQUIRED",
              }),
            ),
      this.build(),
    );
  }

  /** Ends the gathering without any check. */
  buildUnsafe(): Config {
    return new Config({ ...this.state, validated: false });
  }

  /** Copies the settings gathered so far. */
  getData(): ConfigData {
    return { ...this.state.data };
  }

  /** Lists the sources in the order they were added. */
  getSources(): ConfigSource[] {
    return [...this.state.sources];
  }

  private next(change: Partial<ConfigState>): ConfigBuilder {
    return new ConfigBuilder({ ...this.state, ...change, validated: false });
  }
}

/** Settings ready to be read; a missing path is a failure. */
export class Config {
  constructor(private readonly state: ConfigState) {}

  /** Reads one setting by its dotted path. */
  get<T = unknown>(path: string): Result<T, ConfigError> {
    return readAt(this.state.data, path) as Result<T, ConfigError>;
  }

  /** Reads one setting, or the default where it is missing. */
  getOr<T>(path: string, defaultValue: T): T {
    return unwrapOr(defaultValue, this.get<T>(path));
  }

  /** Tells whether a path leads to a setting. */
  has(path: string): boolean {
    return isSuccess(this.get(path));
  }

  /** Copies all settings. */
  getAll(): ConfigData {
    return { ...this.state.data };
  }

  /** Lists where the settings came from. */
  getSources(): ConfigSource[] {
    return [...this.state.sources];
  }

  /** Tells whether a schema has accepted these settings. */
  isValidated(): boolean {
    return this.state.validated;
  }

  /** Returns the schema, where there is one. */
  getSchema(): z.ZodType | undefined {
    return this.state.schema;
  }

  /** Starts a new builder from these settings. */
  toBuilder(): ConfigBuilder {
    return ConfigBuilder.fromObject(this.state.data);
  }

  /** Lays another configuration over this one. */
  merge(other: Config): Config {
    return this.toBuilder().merge(other.toBuilder()).buildUnsafe();
  }

  /** Renders the settings as indented JSON. */
  toJson(): string {
    return JSON.stringify(this.state.data, null, 2);
  }

  /** Copies all settings; another name for `getAll`. */
  toObject(): ConfigData {
    return this.getAll();
  }
}

/** Thrown by `ValidatedConfig.get` for a path its schema does not know. */
export class ConfigAccessError extends Error {
  override readonly name = "ConfigAccessError";
  /** The path that was asked for. */
  readonly path: string;

  constructor(message: string, path: string) {
    super(message);
    this.path = path;
  }
}

/** Settings a schema has accepted: they are read without results. */
export class ValidatedConfig {
  constructor(private readonly config: Config) {}

  /** Reads one setting; asking for an unknown path is a mistake in the program and throws. */
  get<T = unknown>(path: string): T {
    return match<T, ConfigError, T>(
      (value) => value,
      (reason) => {
        throw new ConfigAccessError(reason.message, path);
      },
      this.config.get<T>(path),
    );
  }

  /** Reads one setting, or undefined where it is missing. */
  getOptional<T = unknown>(path: string): T | undefined {
    return match<T, ConfigError, T | undefined>(
      (value) => value,
      () => undefined,
      this.config.get<T>(path),
    );
  }

  /** Reads one setting, or the default where it is missing. */
  getOr<T>(path: string, defaultValue: T): T {
    return this.config.getOr(path, defaultValue);
  }

  /** Tells whether a path leads to a setting. */
  has(path: string): boolean {
    return this.config.has(path);
  }

  /** Copies all settings. */
  getAll(): ConfigData {
    return this.config.getAll();
  }

  /** Lists where the settings came from. */
  getSources(): ConfigSource[] {
    return this.config.getSources();
  }

  /** Returns the schema that accepted the settings. */
  getSchema(): z.ZodType | undefined {
    return this.config.getSchema();
  }

  /** Returns the configuration that is read through results. */
  toConfig(): Config {
    return this.config;
  }

  /** Lays another validated configuration over this one. */
  merge(other: ValidatedConfig): ValidatedConfig {
    return new ValidatedConfig(this.config.merge(other.config));
  }

  /** Renders the settings as indented JSON. */
  toJson(): string {
    return this.config.toJson();
  }

  /** Copies all settings. */
  toObject(): ConfigData {
    return this.config.toObject();
  }
}

/** Makes a configuration from an object. */
export const fromObject = (data: ConfigData): Config =>
  ConfigBuilder.fromObject(data).buildUnsafe();

/** Makes a configuration from a JSON file. */
export const fromJsonFile = (path: string): Promise<Result<Config, ConfigError>> =>
  flatMapPromise((builder) => builder.build(), ConfigBuilder.fromJsonFile(path));

/** Makes a configuration from the environment. */
export const fromEnv = (prefix = ""): Config => ConfigBuilder.fromEnv(prefix).buildUnsafe();

/** Makes a configuration without settings. */
export const empty = (): Config => fromObject({});

/** Checks a configuration and returns it in the schema's type. */
export const validateConfig = <T>(config: Config, schema: z.ZodType<T>): Result<T, ConfigError> =>
  parseWith("Configuration validation failed", config.getAll(), schema);

/** Checks plain settings and returns them in the schema's type. */
export const safeParseConfig = <T>(
  data: ConfigData,
  schema: z.ZodType<T>,
): Result<T, ConfigError> => parseWith("Schema parsing failed", data, schema);

const LevelName = z.enum(["debug", "info", "warn", "error"]);
const Environment = z.enum(["development", "production", "test"]);

/** Where something listens; `port` is the usual one. */
const address = (port: number) => ({
  host: z.string().default("localhost"),
  port: z.coerce.number().default(port),
});

const Service = z.object({
  name: z.string(),
  version: z.string(),
  environment: Environment.default("development"),
  ...address(3000),
});
const Credentials = z.object({ name: z.string(), user: z.string(), password: z.string() });
const Logging = z.object({
  level: LevelName.default("info"),
  pretty: z.coerce.boolean().default(false),
});

/** A schema for the settings a common service needs. */
export const AppConfigSchema = z.object({
  app: Service,
  database: Credentials.extend({ ...address(5432), host: z.string() }).optional(),
  redis: z.object({ ...address(6379), password: z.string().optional() }).optional(),
  logging: Logging.optional(),
});

/** The settings {@link AppConfigSchema} describes. */
export type AppConfig = z.infer<typeof AppConfigSchema>;
