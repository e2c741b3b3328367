/**
 * Structured logging: one JSON line per entry (or one readable line), written
 * to standard output or appended to a file. A logger that cannot write reports
 * that through its `error` event and never disturbs its caller.
 */

import { EventEmitter } from "node:events";
import { appendFileSync } from "node:fs";
import {
  create,
  failure,
  fromTryCatch,
  inspectErr,
  mapError,
  type QiError,
  type Result,
} from "@qi/base";

/** How grave an entry is, from chatter to the end of the program. */
export type LogLevel = "debug" | "info" | "warn" | "error" | "fatal";

/** One entry as listeners see it. */
export interface LogEntry {
  readonly level: LogLevel;
  readonly message: string;
  readonly timestamp: Date;
  readonly context?: Record<string, unknown>;
  readonly error?: Error;
  readonly traceId?: string;
  readonly spanId?: string;
}

/** What a logger is made from. */
export interface LoggerConfig {
  readonly level: LogLevel;
  readonly name?: string;
  readonly pretty?: boolean;
  readonly destination?: string;
  readonly redact?: string[];
  readonly serializers?: Record<string, (obj: unknown) => unknown>;
  readonly hooks?: {
    logMethod?: (inputArgs: unknown[], method: unknown) => void;
  };
}

/** Facts that belong to an entry besides its message. */
export type LoggerContext = Record<string, unknown>;

/** What a logger tells its listeners. */
export interface LoggerEvents {
  log: (entry: LogEntry) => void;
  error: (error: LoggerError) => void;
  level: (level: LogLevel) => void;
}

/** An error about logging. */
export type LoggerError = QiError & {
  readonly category: "LOGGER";
  readonly context: {
    readonly operation?: string;
    readonly level?: LogLevel;
    readonly logger?: string;
  };
};

// The numbers of pino and bunyan, so that their viewers can read the lines.
const severity: Readonly<Record<LogLevel, number>> = {
  debug: 20,
  info: 30,
  warn: 40,
  error: 50,
  fatal: 60,
};

/** Reports a failure of logging. */
export const loggerError = (message: string, context: LoggerError["context"] = {}): LoggerError =>
  create("LOGGER_ERROR", message, "LOGGER", context) as LoggerError;

/** Writes entries of its level and above. */
export class Logger {
  private readonly events: EventEmitter;
  private readonly config: LoggerConfig;
  private readonly bindings: LoggerContext;
  private level: LogLevel;

  constructor(config: LoggerConfig, bindings: LoggerContext = {}, events?: EventEmitter) {
    this.config = { ...config };
    this.bindings = bindings;
    this.events = events ?? new EventEmitter();
    this.level = config.level;
  }

  /** Makes a logger that adds this context to each of its entries. */
  child(context: LoggerContext): Logger {
    const child = new Logger(this.config, { ...this.bindings, ...context }, this.events);
    child.level = this.level;
    return child;
  }

  debug(message: string, context?: LoggerContext): void {
    this.log("debug", message, context);
  }

  info(message: string, context?: LoggerContext): void {
    this.log("info", message, context);
  }

  warn(message: string, context?: LoggerContext): void {
    this.log("warn", message, context);
  }

  error(message: string, error?: Error, context?: LoggerContext): void {
    this.log("error", message, { ...context, error });
  }

  fatal(message: string, error?: Error, context?: LoggerContext): void {
    this.log("fatal", message, { ...context, error });
  }

  /** Tells whether entries of this level are written. */
  isLevelEnabled(level: LogLevel): boolean {
    return severity[level] >= severity[this.level];
  }

  getLevel(): LogLevel {
    return this.level;
  }

  setLevel(level: LogLevel): void {
    this.level = level;
    this.events.emit("level", level);
  }

  getConfig(): LoggerConfig {
    return { ...this.config };
  }

  on<K extends keyof LoggerEvents>(event: K, listener: LoggerEvents[K]): void {
    this.events.on(event, listener);
  }

  once<K extends keyof LoggerEvents>(event: K, listener: LoggerEvents[K]): void {
    this.events.once(event, listener);
  }

  off<K extends keyof LoggerEvents>(event: K, listener: LoggerEvents[K]): void {
    this.events.off(event, listener);
  }

  /** Waits until everything is written; lines are written at once, so there is nothing to wait for. */
  async flush(): Promise<void> {
    await Promise.resolve();
  }

  /** Lets go of all listeners. */
  close(): void {
    this.events.removeAllListeners();
  }

  private log(level: LogLevel, message: string, context?: LoggerContext): void {
    if (!this.isLevelEnabled(level)) return;
    const merged: LoggerContext = { ...this.bindings, ...context };
    const entry: LogEntry = {
      level,
      message,
      timestamp: new Date(),
      context: merged,
      error: merged.error as Error,
      traceId: merged.traceId as string,
      spanId: merged.spanId as string,
    };
    inspectErr(
      (reason) => this.report(reason, level),
      fromTryCatch(() => this.write(entry, merged)),
    );
  }

  private write(entry: LogEntry, context: LoggerContext): void {
    const emit = (): void => this.append(this.render(entry, this.present(context)));
    const hook = this.config.hooks?.logMethod;
    if (hook === undefined) emit();
    else hook([context, entry.message], emit);
    this.events.emit("log", entry);
  }

  private present(context: LoggerContext): LoggerContext {
    const { redact = [], serializers = {} } = this.config;
    const shown = Object.entries(context)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => {
        if (redact.includes(key)) return [key, "[Redacted]"];
        const serialize = serializers[key];
        if (serialize !== undefined) return [key, serialize(value)];
        return [key, value instanceof Error ? formatError(value) : value];
      });
    return Object.fromEntries(shown);
  }

  private render(entry: LogEntry, context: LoggerContext): string {
    const { name, pretty } = this.config;
    if (pretty) {
      const clock = entry.timestamp.toISOString().slice(11, 19);
      const facts = Object.keys(context).length === 0 ? "" : ` ${JSON.stringify(context)}`;
      return `${clock} ${entry.level.toUpperCase()} ${entry.message}${facts}`;
    }
    return JSON.stringify({
      level: severity[entry.level],
      time: entry.timestamp.getTime(),
      ...(name === undefined ? {} : { name }),
      ...context,
      msg: entry.message,
    });
  }

  private append(line: string): void {
    if (this.config.destination === undefined) console.log(line);
    else appendFileSync(this.config.destination, `${line}\n`);
  }

  private report(reason: QiError, level: LogLevel): void {
    // An `error` event without a listener would be thrown at the caller.
    if (this.events.listenerCount("error") === 0) return;
    const context = { operation: "log", level };
    this.events.emit("error", loggerError(`Failed to log message: ${reason.message}`, context));
  }
}

/** Makes a logger; an unknown level is a failure. */
export const createLogger = (config: LoggerConfig): Result<Logger, LoggerError> => {
  if (!Object.hasOwn(severity, config.level)) {
    const context = { operation: "create", level: config.level };
    return failure(loggerError(`Invalid log level: ${String(config.level)}`, context));
  }
  return mapError(
    (reason) =>
      loggerError(`Failed to create logger: ${reason.message}`, { operation: "create" }),
    fromTryCatch(() => new Logger(config)),
  );
};

/** Makes the logger that NODE_ENV and LOG_LEVEL ask for. */
export const createFromEnv = (): Result<Logger, LoggerError> =>
  createLogger(getEnvironmentConfig());

/** Turns an exception into fields a log can hold. */
export const formatError = (error: Error): Record<string, unknown> => ({
  name: error.name,
  message: error.message,
  stack: error.stack,
  ...(error.cause ? { cause: error.cause } : {}),
});

/** Makes functions that log the life of an HTTP request. */
export const createRequestLogger = (logger: Logger) => ({
  logRequest: (
    req: { method?: string; url?: string; headers?: Record<string, string> },
    context?: LoggerContext,
  ): void => {
    const { method, url, headers } = req;
    logger.info("Request received", { method, url, userAgent: headers?.["user-agent"], ...context });
  },

  logResponse: (
    req: { method?: string; url?: string },
    res: { statusCode?: number },
    duration: number,
    context?: LoggerContext,
  ): void => {
    const { statusCode } = res;
    const facts = { method: req.method, url: req.url, statusCode, duration, ...context };
    if ((statusCode ?? 200) < 400) logger.info("Request completed", facts);
    else logger.error("Request completed", undefined, facts);
  },

  logError: (
    error: Error,
    req?: { method?: string; url?: string },
    context?: LoggerContext,
  ): void => {
    const facts = { method: req?.method, url: req?.url, ...formatError(error), ...context };
    logger.error("Request error", error, facts);
  },
});

/** Settings for a developer's terminal. */
export const developmentConfig: LoggerConfig = { level: "debug", name: "qicore-dev", pretty: true };

/** Settings for a service in production. */
export const productionConfig: LoggerConfig = {
  level: "warn",
  name: "qicore-prod",
  pretty: false,
  redact: ["password", "token", "secret", "key", "authorization"],
};

/** Settings for test runs. */
export const testConfig: LoggerConfig = { level: "fatal", name: "qicore-test", pretty: false };

/** Chooses the settings by NODE_ENV; LOG_LEVEL overrides the level. */
export const getEnvironmentConfig = (): LoggerConfig => {
  const byEnvironment: Record<string, LoggerConfig> = {
    production: productionConfig,
    test: testConfig,
  };
  const chosen = byEnvironment[process.env.NODE_ENV ?? ""] ?? developmentConfig;
  const level = process.env.LOG_LEVEL;
  return level ? { ...chosen, level: level as LogLevel } : chosen;
};
