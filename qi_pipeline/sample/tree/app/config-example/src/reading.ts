/** Settings read one by one, by dotted paths. */

import {
  configurationError,
  failure,
  filter,
  flatMap,
  fromTryCatch,
  map,
  mapError,
  match,
  orElse,
  type QiError,
  type Result,
  success,
  unwrapOr,
  withContext,
} from "@qi/base";
import {
  type Config,
  ConfigAccessError,
  type ConfigError,
  configError,
  type ValidatedConfig,
} from "@qi/core";

/** Reads the port a server listens on and fails when it is missing. */
export const portOf = (config: Config): Result<number, ConfigError> =>
  config.get<number>("server.port");

/** Reads the host of a server or falls back to localhost. */
export const hostOf = (config: Config): string => config.getOr("server.host", "localhost");

/** Tells whether debugging is configured at all. */
export const mentionsDebug = (config: Config): boolean => config.has("debug");

/** Joins host and port of a server to an address. */
export const addressOf = (config: Config): Result<string, ConfigError> =>
  flatMap(
    (host: string) => map((port) => `${host}:${port}`, config.get<number>("server.port")),
    config.get<string>("server.host"),
  );

/** Reads a port and rejects numbers outside the range of ports. */
export const checkedPort = (config: Config): Result<number, ConfigError> =>
  filter(
    (port) => port > 0 && port < 65536,
    configError("Port is out of range", { path: "server.port" }),
    config.get<number>("server.port"),
  );

/** Reads a list of allowed origins or falls back to none. */
export const originsOf = (config: Config): string[] =>
  unwrapOr([], config.get<string[]>("server.origins"));

/** Reads a setting under its new name or, failing that, under its old one. */
export const renamedSetting = <T>(
  current: string,
  former: string,
  config: Config,
): Result<T, ConfigError> => orElse(() => config.get<T>(former), config.get<T>(current));

/** Reads a setting and explains in the error which feature needs it. */
export const neededBy = <T>(feature: string, path: string, config: Config): Result<T> =>
  mapError((error: QiError) => withContext({ feature }, error), config.get<T>(path));

/** Reads a duration such as 30s or 5m from the settings as seconds. */
export const durationOf = (path: string, config: Config): Result<number> =>
  flatMap((text: string): Result<number> => {
    const found = /^(\d+)([smh])$/.exec(text);
    const factor = { s: 1, m: 60, h: 3600 }[found?.[2] ?? ""];
    return factor === undefined
      ? failure(configurationError(`Not a duration: ${text}`, { path }))
      : success(Number(found?.[1]) * factor);
  }, config.get<string>(path));

/** Lists those required paths that a configuration lacks. */
export const missingPaths = (paths: readonly string[], config: Config): string[] =>
  paths.filter((path) => !config.has(path));

/** Accepts a configuration that has all required paths and names the missing ones otherwise. */
export const requirePaths = (
  paths: readonly string[],
  config: Config,
): Result<Config, ConfigError> => {
  const missing = paths.filter((path) => !config.has(path));
  return missing.length === 0
    ? success(config)
    : failure(configError(`Missing settings: ${missing.join(", ")}`));
};

/** Masks passwords and tokens among the top-level settings. */
export const masked = (config: Config): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(config.getAll()).map(([key, value]) =>
      /password|token|secret/i.test(key) ? [key, "***"] : [key, value],
    ),
  );

/** Reads the name of the database, which the schema guarantees to be there. */
export const databaseName = (config: ValidatedConfig): string => config.get("database.name");

/** Reads an optional proxy from validated settings. */
export const proxyOf = (config: ValidatedConfig): string | undefined =>
  config.getOptional<string>("network.proxy");

/** Reads the number of workers from validated settings or falls back to one. */
export const workersOf = (config: ValidatedConfig): number => config.getOr("workers", 1);

/** Reads a path of validated settings and turns an access error into a failure. */
export const readValidated = <T>(path: string, config: ValidatedConfig): Result<T> =>
  fromTryCatch(
    () => config.get<T>(path),
    (thrown) =>
      thrown instanceof ConfigAccessError
        ? configurationError(`No setting ${thrown.path}`, { path: thrown.path })
        : configurationError(String(thrown)),
  );

/** Describes one setting in a line of text. */
export const describeSetting = (path: string, config: Config): string =>
  match(
    (value) => `${path} = ${JSON.stringify(value)}`,
    (error) => `${path}: ${error.message}`,
    config.get(path),
  );

/** Reads a flag that may be written as a boolean or as the text of one. */
export const flag = (path: string, config: Config): boolean =>
  match(
    (value) => value === true || value === "true",
    () => false,
    config.get(path),
  );

/** Compares two configurations by their settings. */
export const sameSettings = (left: Config, right: Config): boolean =>
  left.toJson() === right.toJson();
