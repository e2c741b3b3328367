/** Settings checked against schemas. */

import { flatMap, map, match, type Result, unwrapOr } from "@qi/base";
import {
  type AppConfig,
  AppConfigSchema,
  type Config,
  ConfigBuilder,
  type ConfigData,
  type ConfigError,
  fromEnv,
  fromObject,
  safeParseConfig,
  validateConfig,
} from "@qi/core";
import { z } from "zod";

/** Describes the settings of a mail server. */
export const MailSchema = z.object({
  host: z.string().min(1),
  port: z.coerce.number().int().default(25),
  secure: z.coerce.boolean().default(false),
});

/** The settings of a mail server. */
export type MailSettings = z.infer<typeof MailSchema>;

/** Parses plain settings of a mail server into their type. */
export const parseMail = (data: ConfigData): Result<MailSettings, ConfigError> =>
  safeParseConfig(data, MailSchema as z.ZodType<MailSettings>);

/** Checks the settings of a service against the common application schema. */
export const parseApp = (config: Config): Result<AppConfig, ConfigError> =>
  validateConfig(config, AppConfigSchema as z.ZodType<AppConfig>);

/** Describes the limits of a rate limiter. */
export const LimitSchema = z.object({ perMinute: z.number().int().positive() });

/** Reads the limit of a rate limiter or falls back to sixty per minute. */
export const perMinute = (config: Config): number =>
  unwrapOr(
    60,
    map((limits) => limits.perMinute, validateConfig(config, LimitSchema)),
  );

/** Describes where a database is and who may use it. */
export const DatabaseSchema = z.object({
  host: z.string(),
  port: z.coerce.number(),
  user: z.string(),
});

/** Builds a connection string from checked database settings. */
export const connectionString = (data: ConfigData): Result<string, ConfigError> =>
  map(
    ({ host, port, user }) => `postgres://${user}@${host}:${port}`,
    safeParseConfig(data, z.object({ host: z.string(), port: z.number(), user: z.string() })),
  );

/** Reads database settings from variables that start with DB and checks them. */
export const databaseFromEnvironment = (): Result<Config, ConfigError> =>
  ConfigBuilder.fromEnv("DB").validateWith(DatabaseSchema).build();

/** Tells whether settings satisfy a schema. */
export const satisfies = (data: ConfigData, schema: z.ZodType): boolean =>
  match(
    () => true,
    () => false,
    safeParseConfig(data, schema),
  );

/** Picks the settings of one section and checks that section alone. */
export const section = <T>(
  name: string,
  schema: z.ZodType<T>,
  config: Config,
): Result<T, ConfigError> =>
  flatMap(
    (data: ConfigData) => safeParseConfig(data, schema),
    config.get<ConfigData>(name),
  );

/** Checks the environment of a container for what it must define. */
export const containerSettings = (): Result<{ hostname: string }, ConfigError> =>
  validateConfig(fromEnv("CONTAINER"), z.object({ hostname: z.string() }));

/** Explains in one line why settings are not acceptable. */
export const complaint = (data: ConfigData, schema: z.ZodType): string =>
  match(
    () => "settings are fine",
    (error) => JSON.stringify(error.context),
    validateConfig(fromObject(data), schema),
  );
