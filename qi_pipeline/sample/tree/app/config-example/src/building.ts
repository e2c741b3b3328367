/** Settings gathered from several places, the later ones winning. */

import { flatMap, flatMapPromise, map, mapPromise, match, type Result } from "@qi/base";
import {
  type Config,
  ConfigBuilder,
  type ConfigData,
  type ConfigError,
  empty,
  fromEnv,
  fromJsonFile,
  fromObject,
  type ValidatedConfig,
} from "@qi/core";
import { z } from "zod";

/** Makes a configuration from the defaults of a web server. */
export const serverDefaults = (): Config =>
  fromObject({ server: { host: "localhost", port: 3000 }, debug: false });

/** Makes a configuration without any settings. */
export const blank = (): Config => empty();

/** Reads the settings of a service from variables that start with its name. */
export const serviceEnvironment = (service: string): Config => fromEnv(service.toUpperCase());

/** Loads settings from a JSON file. */
export const loadSettings = (path: string): Promise<Result<Config, ConfigError>> =>
  fromJsonFile(path);

/** Lays overrides over defaults and builds the outcome. */
export const layered = (
  defaults: ConfigData,
  overrides: ConfigData,
): Result<Config, ConfigError> =>
  ConfigBuilder.fromObject(defaults).mergeObject(overrides).build();

/** Lays the environment over a file and builds the outcome. */
export const fileThenEnvironment = (
  path: string,
  prefix: string,
): Promise<Result<Config, ConfigError>> =>
  flatMapPromise(
    (builder) => builder.merge(ConfigBuilder.fromEnv(prefix)).build(),
    ConfigBuilder.fromJsonFile(path),
  );

/** Lays one file over another and builds the outcome. */
export const twoFiles = (
  base: string,
  override: string,
): Promise<Result<Config, ConfigError>> =>
  flatMapPromise(
    (below) =>
      flatMapPromise(
        (above) => below.merge(above).build(),
        ConfigBuilder.fromJsonFile(override),
      ),
    ConfigBuilder.fromJsonFile(base),
  );

/** Sets one value by its path and leaves the other settings as they are. */
export const withPort = (port: number, data: ConfigData): Result<Config, ConfigError> =>
  ConfigBuilder.fromObject(data).set("server.port", port).build();

/** Drops settings whose names start with an underscore. */
export const publicOnly = (data: ConfigData): Result<Config, ConfigError> =>
  ConfigBuilder.fromObject(data)
    .filter((key) => !key.startsWith("_"))
    .build();

/** Drops settings without a value. */
export const compact = (data: ConfigData): ConfigData =>
  ConfigBuilder.fromObject(data)
    .filter((_key, value) => value !== undefined && value !== null)
    .getData();

/** Turns the names of all top-level settings into lower case. */
export const lowerCased = (data: ConfigData): ConfigData =>
  ConfigBuilder.fromObject(data)
    .transform((all) =>
      Object.fromEntries(Object.entries(all).map(([key, value]) => [key.toLowerCase(), value])),
    )
    .getData();

/** Builds settings only when they satisfy a schema. */
export const checkedServer = (data: ConfigData): Result<Config, ConfigError> =>
  ConfigBuilder.fromObject(data)
    .validateWith(z.object({ host: z.string(), port: z.number().int().positive() }))
    .build();

/** Builds settings for direct reading, which a schema must have accepted. */
export const validatedServer = (data: ConfigData): Result<ValidatedConfig, ConfigError> =>
  ConfigBuilder.fromObject(data)
    .validateWith(z.object({ host: z.string(), port: z.coerce.number() }))
    .buildValidated();

/** Loads a file and builds it against a schema for direct reading. */
export const loadValidated = (
  path: string,
  schema: z.ZodType,
): Promise<Result<ValidatedConfig, ConfigError>> =>
  flatMapPromise(
    (builder) => builder.validateWith(schema).buildValidated(),
    ConfigBuilder.fromJsonFile(path),
  );

/** Lists where the settings of a file and the environment came from. */
export const provenance = (path: string): Promise<Result<string[]>> =>
  mapPromise(
    (builder) => builder.merge(ConfigBuilder.fromEnv("APP")).getSources(),
    ConfigBuilder.fromJsonFile(path),
  );

/** Lays the settings of a tenant over those of the platform. */
export const forTenant = (platform: Config, tenant: Config): Config => platform.merge(tenant);

/** Turns a configuration back into a builder and switches debugging on. */
export const debugging = (config: Config): Result<Config, ConfigError> =>
  config.toBuilder().set("debug", true).build();

/** Renders settings as JSON for a support request. */
export const exported = (data: ConfigData): Result<string, ConfigError> =>
  map((config) => config.toJson(), ConfigBuilder.fromObject(data).build());

/** Builds settings and describes the outcome in one line. */
export const buildReport = (builder: ConfigBuilder): string =>
  match(
    (config) => `built from ${config.getSources().join(" and ")}`,
    (error) => `not built: ${error.message}`,
    builder.build(),
  );

/** Builds settings and reads one of them at once. */
export const buildAndRead = (path: string, builder: ConfigBuilder): Result<string, ConfigError> =>
  flatMap((config: Config) => config.get<string>(path), builder.build());
