/** Everything `@qi/core` offers. */

export type { AppConfig, ConfigData, ConfigError, ConfigOptions, ConfigSource } from "./config.js";
export {
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
} from "./config.js";

export type {
  LogEntry,
  LoggerConfig,
  LoggerContext,
  LoggerError,
  LoggerEvents,
  LogLevel,
} from "./logger.js";
export {
  createFromEnv,
  createLogger,
  createRequestLogger,
  formatError,
  developmentConfig as loggerDevelopmentConfig,
  getEnvironmentConfig as getLoggerEnvironmentConfig,
  Logger,
  loggerError,
  productionConfig as loggerProductionConfig,
  testConfig as loggerTestConfig,
} from "./logger.js";

export type {
  CacheBackend,
  CacheConfig,
  CacheEntry,
  CacheError,
  CacheEvents,
  CacheStats,
  ICache,
} from "./cache.js";
export { cacheAside, cacheError, createCache, createMemoryCache, MemoryCache } from "./cache.js";
