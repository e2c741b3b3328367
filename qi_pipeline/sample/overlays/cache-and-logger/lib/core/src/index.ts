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
