/** Errors for every category, made by the factory that fits. */

import {
  authenticationError,
  authorizationError,
  businessError,
  concurrencyError,
  configurationError,
  create,
  createError,
  type ErrorCategory,
  failure,
  fromException,
  fromString,
  isErrorCategory,
  loggerError,
  networkError,
  type QiError,
  type Result,
  resourceError,
  success,
  systemError,
  timeoutError,
  validationError,
} from "@qi/base";

/** Rejects a password that is shorter than twelve characters. */
export const checkPassword = (password: string): Result<string> =>
  password.length >= 12
    ? success(password)
    : failure(validationError("Password is too short", { minimum: 12 }));

/** Reports an HTTP status of 500 and above as a network failure. */
export const checkStatus = (status: number, url: string): Result<number> =>
  status < 500 ? success(status) : failure(networkError(`Server error ${status}`, { status, url }));

/** Reports a full disk as a system failure. */
export const checkDisk = (freeBytes: number, neededBytes: number): Result<number> =>
  freeBytes >= neededBytes
    ? success(freeBytes - neededBytes)
    : failure(systemError("Not enough disk space", { freeBytes, neededBytes }));

/** An account and what it holds, in cents. */
export interface Account {
  readonly id: string;
  readonly balance: number;
}

/** Withdraws an amount from an account and rejects an overdraft as a business failure. */
export const withdraw = (amount: number, account: Account): Result<Account> =>
  amount <= account.balance
    ? success({ ...account, balance: account.balance - amount })
    : failure(businessError("Insufficient funds", { account: account.id, amount }));

/** Accepts a bearer token and rejects every other authorization header. */
export const readBearer = (header: string): Result<string> =>
  header.startsWith("Bearer ")
    ? success(header.slice("Bearer ".length))
    : failure(authenticationError("Expected a bearer token"));

/** Lets a user act only with the role that the action needs. */
export const requireRole = (role: string, roles: readonly string[]): Result<string> =>
  roles.includes(role)
    ? success(role)
    : failure(authorizationError(`Role ${role} is required`, { roles }));

/** Reads a port from settings and reports a bad one as a configuration failure. */
export const readPort = (settings: Record<string, unknown>): Result<number> => {
  const port = Number(settings["port"]);
  return Number.isInteger(port) && port > 0 && port < 65536
    ? success(port)
    : failure(configurationError("Setting `port` is not a port", { port: settings["port"] }));
};

/** Reports an operation that took longer than its budget as a timeout. */
export const withinBudget = (elapsedMs: number, budgetMs: number): Result<number> =>
  elapsedMs <= budgetMs
    ? success(budgetMs - elapsedMs)
    : failure(timeoutError("Time budget exceeded", { elapsedMs, budgetMs }));

/** Takes a connection from a pool and reports an empty pool as a resource failure. */
export const takeConnection = <T>(pool: T[]): Result<T> => {
  const connection = pool.pop();
  return connection === undefined
    ? failure(resourceError("Connection pool is exhausted"))
    : success(connection);
};

/** A record that carries its version. */
export interface Versioned {
  readonly id: string;
  readonly version: number;
}

/** Updates a record only when nobody else has changed it meanwhile. */
export const updateVersion = (expected: number, record: Versioned): Result<Versioned> =>
  record.version === expected
    ? success({ ...record, version: expected + 1 })
    : failure(concurrencyError("Record was changed by someone else", { id: record.id, expected }));

/** Reports a log line that exceeds the limit of its transport as a logger failure. */
export const checkLine = (line: string, limit: number): Result<string> =>
  line.length <= limit
    ? success(line)
    : failure(loggerError("Log line is too long", { length: line.length, limit }));

/** Makes an error with a code of one's own from its four parts. */
export const quotaExceeded = (used: number, limit: number): QiError =>
  create("QUOTA_EXCEEDED", `Used ${used} of ${limit} requests`, "RESOURCE", { used, limit });

/** Makes an error with a code of one's own from named options. */
export const orderClosed = (orderId: string): QiError =>
  createError({
    code: "ORDER_CLOSED",
    message: `Order ${orderId} is closed`,
    category: "BUSINESS",
    context: { orderId },
  });

/** Makes an error for an unknown customer from named options without context. */
export const customerUnknown = (): QiError =>
  createError({ code: "CUSTOMER_UNKNOWN", message: "No such customer", category: "VALIDATION" });

/** Turns whatever a driver threw into a network error. */
export const driverError = (thrown: unknown): QiError => fromException(thrown, "NETWORK");

/** Turns an exception from the runtime into a system error. */
export const runtimeError = (thrown: unknown): QiError => fromException(thrown);

/** Makes a business error from a bare message. */
export const refusal = (message: string): QiError => fromString(message, "BUSINESS");

/** Makes a system error from a bare message. */
export const defect = (message: string): QiError => fromString(message);

/** Parses the name of an error category and rejects unknown names. */
export const parseCategory = (text: string): Result<ErrorCategory> =>
  isErrorCategory(text)
    ? success(text)
    : failure(validationError(`Unknown category: ${text}`, { text }));
