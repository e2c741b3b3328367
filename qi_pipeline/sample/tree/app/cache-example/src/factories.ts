/** Functions that make loggers, caches and the things built on them. */

import { flatMap, map, mapError, match, type QiError, type Result, systemError } from "@qi/base";
import {
  type CacheConfig,
  type CacheError,
  type Config,
  type ConfigError,
  createCache,
  createFromEnv,
  createLogger,
  createMemoryCache,
  fromObject,
  getLoggerEnvironmentConfig,
  type ICache,
  type Logger,
  type LoggerConfig,
  type LoggerError,
  type LogLevel,
  loggerDevelopmentConfig,
  loggerProductionConfig,
  loggerTestConfig,
  type MemoryCache,
} from "@qi/core";

/** Makes the logger of a module. */
export const moduleLogger = (name: string): Result<Logger, LoggerError> =>
  createLogger({ level: "info", name });

/** Makes a talkative logger for a developer's terminal. */
export const developmentLogger = (): Result<Logger, LoggerError> =>
  createLogger(loggerDevelopmentConfig);

/** Makes a logger for production that hides passwords and tokens. */
export const productionLogger = (name: string): Result<Logger, LoggerError> =>
  createLogger({ ...loggerProductionConfig, name });

/** Makes a logger that stays silent in tests. */
export const silentLogger = (): Result<Logger, LoggerError> => createLogger(loggerTestConfig);

/** Makes the logger the environment asks for and gives it a name. */
export const namedEnvironmentLogger = (name: string): Result<Logger, LoggerError> =>
  createLogger({ ...getLoggerEnvironmentConfig(), name });

/** Makes a logger from the environment that speaks for one component. */
export const componentLogger = (component: string): Result<Logger, LoggerError> =>
  map((logger) => logger.child({ component }), createFromEnv());

/** Makes a logger that appends to a file. */
export const fileLogger = (path: string, level: LogLevel): Result<Logger, LoggerError> =>
  createLogger({ level, destination: path });

/** Makes a cache for sessions, which live for half an hour. */
export const sessionCache = (): MemoryCache =>
  createMemoryCache({ name: "sessions", defaultTtl: 1800 });

/** Makes a small cache that forgets what was not used for longest. */
export const smallCache = (maxSize: number): MemoryCache =>
  createMemoryCache({ name: "small", maxSize });

/** Makes a cache of the given kind. */
export const cacheFor = (config: CacheConfig): Result<ICache, CacheError> => createCache(config);

/** Makes a cache of the given kind or one in memory where that kind is not to be had. */
export const cacheOrMemory = (config: CacheConfig): ICache =>
  match<ICache, CacheError, ICache>(
    (cache) => cache,
    () => createMemoryCache({ maxSize: config.maxSize }),
    createCache(config),
  );

/** Makes a cache whose size is read from the settings. */
export const configuredCache = (config: Config): Result<ICache, ConfigError | CacheError> =>
  flatMap(
    (maxSize: number): Result<ICache, ConfigError | CacheError> =>
      createCache({ backend: "memory", maxSize }),
    config.get<number>("cache.maxSize"),
  );

/** Makes a logger whose level is read from the settings. */
export const configuredLogger = (config: Config): Result<Logger, LoggerError> =>
  createLogger({ level: config.getOr<LogLevel>("logging.level", "info") });

/** Makes the settings of a logger for one tenant. */
export const tenantLogging = (tenant: string): LoggerConfig => ({
  level: "info",
  name: `tenant-${tenant}`,
  redact: ["password"],
});

/** Makes the default settings of a service. */
export const defaultSettings = (service: string): Config =>
  fromObject({ app: { name: service }, cache: { maxSize: 100 }, logging: { level: "info" } });

/** What a service needs to run. */
export interface Toolbox {
  readonly logger: Logger;
  readonly cache: ICache;
}

/** Makes the logger and the cache of a service or tells which of them failed. */
export const createToolbox = (name: string): Result<Toolbox> =>
  flatMap(
    (logger: Logger): Result<Toolbox> =>
      map((cache) => ({ logger, cache }), createCache({ backend: "memory", name })),
    createLogger({ level: "info", name }),
  );

/** Makes the tools of a service and explains a failure as a system error. */
export const startToolbox = (name: string): Result<Toolbox> =>
  mapError(
    (error: QiError) => systemError("Service cannot start", { name, reason: error.message }),
    createToolbox(name),
  );

/** Makes a counter that keeps its state in a cache of its own. */
export const createCounter = (): { next: () => Promise<number>; cache: MemoryCache } => {
  const cache = createMemoryCache({ name: "counter" });
  let count = 0;
  const next = async (): Promise<number> => {
    count += 1;
    await cache.set("count", count);
    return count;
  };
  return { next, cache };
};

/** Makes an id generator that counts up from a start. */
export const createSequence = (prefix: string, start = 1): (() => string) => {
  let next = start;
  return () => `${prefix}-${next++}`;
};
