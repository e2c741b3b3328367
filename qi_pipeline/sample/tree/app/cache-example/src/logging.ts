/** Log lines at the right level, with the facts that belong to them. */

import {
  errorToString,
  getCategory,
  inspect,
  inspectErr,
  match,
  matchPromise,
  type QiError,
  type Result,
  toStructuredData,
} from "@qi/base";
import {
  createFromEnv,
  createLogger,
  createRequestLogger,
  formatError,
  getLoggerEnvironmentConfig,
  type Logger,
  type LoggerError,
  type LogLevel,
  loggerError,
  loggerProductionConfig,
  loggerTestConfig,
} from "@qi/core";

/** Announces the start of a service with a logger made for it. */
export const announce = (service: string): void =>
  match(
    (logger) => logger.info("Service started", { service }),
    (error) => console.error(errorToString(error)),
    createLogger({ level: "info", name: service }),
  );

/** Logs the environment's opinion on how loud to be. */
export const announceLevel = (): void =>
  match(
    (logger) => logger.info("Logging", { level: logger.getLevel() }),
    (error) => console.error(errorToString(error)),
    createFromEnv(),
  );

/** Describes which logger a configuration would make. */
export const loggerReport = (level: LogLevel): string =>
  match(
    (logger) => `logs ${logger.getLevel()} and above`,
    (error) => errorToString(error),
    createLogger({ ...loggerProductionConfig, level }),
  );

/** Adds the id of a request to everything a logger writes. */
export const forRequest = (logger: Logger, requestId: string): Logger =>
  logger.child({ requestId });

/** Adds the trace of a distributed request to everything a logger writes. */
export const forTrace = (logger: Logger, traceId: string, spanId: string): Logger =>
  logger.child({ traceId, spanId });

/** Logs the error of a result and passes the result on. */
export const logFailure = <T>(logger: Logger, operation: string, result: Result<T>): Result<T> =>
  inspectErr(
    (error) => logger.error(operation, undefined, toStructuredData(error)),
    result,
  );

/** Logs the value of a result for debugging and passes the result on. */
export const logValue = <T>(logger: Logger, label: string, result: Result<T>): Result<T> =>
  inspect((value) => logger.debug(label, { value }), result);

/** Logs an outcome at the level that fits it. */
export const logOutcome = (logger: Logger, operation: string, result: Result<unknown>): void =>
  match(
    () => logger.info(`${operation} succeeded`),
    (error) => logger.warn(`${operation} failed`, { code: error.code }),
    result,
  );

/** Logs the outcome of asynchronous work once it is known. */
export const logWhenDone = (
  logger: Logger,
  operation: string,
  work: Promise<Result<unknown>>,
): Promise<void> =>
  matchPromise<unknown, QiError, void>(
    async () => logger.info(`${operation} done`),
    async (error) => logger.error(`${operation} failed`, undefined, { code: error.code }),
    work,
  );

/** Chooses the level at which an error of some category is logged. */
export const levelFor = (error: QiError): LogLevel => {
  const category = getCategory(error);
  if (category === "VALIDATION" || category === "BUSINESS") return "info";
  return category === "SYSTEM" || category === "RESOURCE" ? "fatal" : "warn";
};

/** Logs an exception with its name, message and stack. */
export const logException = (logger: Logger, exception: Error): void =>
  logger.error("Unhandled exception", exception, formatError(exception));

/** Logs that the program has to end. */
export const logFatal = (logger: Logger, exception: Error): void =>
  logger.fatal("Cannot continue", exception, { pid: process.pid });

/** Computes the facts of a debug line only when that line would be written. */
export const debugLazily = (logger: Logger, facts: () => Record<string, unknown>): void => {
  if (logger.isLevelEnabled("debug")) logger.debug("Details", facts());
};

/** Makes a logger speak more softly until some work is done. */
export const quietly = async <T>(logger: Logger, work: () => Promise<T>): Promise<T> => {
  const level = logger.getLevel();
  logger.setLevel("error");
  const outcome = await work();
  logger.setLevel(level);
  return outcome;
};

/** Logs how long some work took. */
export const timed = async <T>(
  logger: Logger,
  label: string,
  work: () => Promise<Result<T>>,
): Promise<Result<T>> => {
  const started = Date.now();
  const result = await work();
  logger.info(label, { milliseconds: Date.now() - started });
  return result;
};

/** Writes everything down and lets go of a logger at the end of a program. */
export const shutDown = async (logger: Logger): Promise<void> => {
  logger.info("Shutting down");
  await logger.flush();
  logger.close();
};

/** Logs the beginning and the end of a request. */
export const logExchange = (logger: Logger, url: string, statusCode: number): void => {
  const requests = createRequestLogger(logger);
  requests.logRequest({ method: "GET", url });
  requests.logResponse({ method: "GET", url }, { statusCode }, 12);
};

/** Logs what happened to a request that broke off. */
export const logBrokenRequest = (logger: Logger, url: string, cause: Error): void =>
  createRequestLogger(logger).logError(cause, { method: "GET", url });

/** Collects the messages of a logger's entries, as tests like to do. */
export const captured = (logger: Logger): string[] => {
  const messages: string[] = [];
  logger.on("log", (entry) => void messages.push(entry.message));
  return messages;
};

/** Tells how loud the environment wants the log to be. */
export const environmentLevel = (): LogLevel => getLoggerEnvironmentConfig().level;

/** Reports a log file that cannot be written. */
export const cannotWrite = (path: string): LoggerError =>
  loggerError(`Cannot write ${path}`, { operation: "write", logger: path });

/** Runs work with a logger that only speaks about fatal trouble. */
export const withTestLogger = <T>(fallback: T, work: (logger: Logger) => T): T =>
  match(
    (logger) => work(logger),
    () => fallback,
    createLogger(loggerTestConfig),
  );
