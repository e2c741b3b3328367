/** Errors for people, for logs and for the wire. */

import {
  ErrorCategories,
  type ErrorCategory,
  errorToString,
  getCategory,
  getRetryStrategy,
  inspectErr,
  isErrorCategory,
  mapError,
  match,
  type QiError,
  type Result,
  toStructuredData,
  withContext,
} from "@qi/base";

/** Renders an error as one line together with its category. */
export const summarize = (error: QiError): string =>
  `${getCategory(error).toLowerCase()}: ${errorToString(error)}`;

/** Renders an error as a line of JSON for a log file. */
export const toLogLine = (error: QiError): string => JSON.stringify(toStructuredData(error));

/** Renders an error as the body of an HTTP problem reply. */
export const toProblem = (error: QiError): Record<string, unknown> => ({
  title: errorToString(error),
  detail: toStructuredData(error),
});

/** Adds the id of the request to an error. */
export const forRequest = (requestId: string, error: QiError): QiError =>
  withContext({ requestId }, error);

/** Adds the name of the operation to the error of a result. */
export const during = <T>(operation: string, result: Result<T>): Result<T> =>
  mapError((error) => withContext({ operation }, error), result);

/** Chooses the HTTP status that fits the category of an error. */
export const statusOf = (error: QiError): number => {
  const known: Partial<Record<ErrorCategory, number>> = {
    VALIDATION: 400,
    AUTHENTICATION: 401,
    AUTHORIZATION: 403,
    CONCURRENCY: 409,
    BUSINESS: 422,
    RESOURCE: 503,
    TIMEOUT: 504,
  };
  return known[getCategory(error)] ?? 500;
};

/** Tells whether an error may go away when the operation is tried again. */
export const isTransient = (error: QiError): boolean =>
  getRetryStrategy(getCategory(error)).strategy !== "never";

/** Explains why an error is or is not worth another attempt. */
export const explainRetry = (error: QiError): string => {
  const advice = getRetryStrategy(error.category);
  return `${advice.strategy}: ${advice.description}`;
};

/** Lists the categories that are worth another attempt. */
export const transientCategories = (): ErrorCategory[] =>
  ErrorCategories.filter((category) => getRetryStrategy(category).strategy !== "never");

/** Keeps only those names of a list that are error categories. */
export const knownCategories = (names: readonly string[]): ErrorCategory[] =>
  names.filter((name) => isErrorCategory(name));

/** Counts errors by their category. */
export const countByCategory = (errors: readonly QiError[]): Record<string, number> =>
  errors.reduce<Record<string, number>>((counts, error) => {
    const category = getCategory(error);
    return { ...counts, [category]: (counts[category] ?? 0) + 1 };
  }, {});

/** Starts a table with a zero for every error category. */
export const emptyCounts = (): Record<string, number> =>
  Object.fromEntries(ErrorCategories.map((category) => [category, 0]));

/** Hands the error of a result to a reporter and passes the result on. */
export const reported = <T>(report: (line: string) => void, result: Result<T>): Result<T> =>
  inspectErr((error) => report(errorToString(error)), result);

/** Greets a known user or tells a stranger what went wrong. */
export const welcome = (user: Result<{ name: string }>): string =>
  match(
    ({ name }) => `Welcome back, ${name}`,
    (error) => `Please sign in (${errorToString(error)})`,
    user,
  );

/** Reports every outcome of a list as one line of text. */
export const transcript = (results: readonly Result<string>[]): string =>
  results
    .map((result) =>
      match(
        (text) => `+ ${text}`,
        (error) => `- ${errorToString(error)}`,
        result,
      ),
    )
    .join("\n");
