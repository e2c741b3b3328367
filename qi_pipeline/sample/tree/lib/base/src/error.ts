/**
 * Errors as data: a code for programs, a message for people, a category that
 * decides whether trying again makes sense, and free-form context.
 */

/** The kinds of trouble an operation can meet. */
export type ErrorCategory =
  | "VALIDATION"
  | "NETWORK"
  | "SYSTEM"
  | "BUSINESS"
  | "AUTHENTICATION"
  | "AUTHORIZATION"
  | "CONFIGURATION"
  | "TIMEOUT"
  | "RESOURCE"
  | "CONCURRENCY"
  | "LOGGER";

/** The one error shape every package of this workspace speaks. */
export interface QiError {
  readonly code: string;
  readonly message: string;
  readonly category: ErrorCategory;
  readonly context: Record<string, unknown>;
}

/** What a caller may do about an error of some category. */
export interface RetryStrategy {
  readonly strategy: "never" | "exponential_backoff" | "linear_backoff";
  readonly description: string;
}

/** Named arguments for {@link createError}. */
export interface ErrorOptions {
  readonly code: string;
  readonly message: string;
  readonly category: ErrorCategory;
  readonly context?: Record<string, unknown>;
}

type Context = Record<string, unknown>;

const retryStrategies: Readonly<Record<ErrorCategory, RetryStrategy>> = {
  VALIDATION: { strategy: "never", description: "The input stays wrong until someone changes it" },
  NETWORK: { strategy: "exponential_backoff", description: "The remote side may recover" },
  SYSTEM: { strategy: "linear_backoff", description: "The machine may free what is missing" },
  BUSINESS: { strategy: "never", description: "A domain rule forbids the operation" },
  AUTHENTICATION: { strategy: "never", description: "The caller has to identify itself first" },
  AUTHORIZATION: { strategy: "never", description: "The caller lacks the permission" },
  CONFIGURATION: { strategy: "never", description: "The settings have to be corrected" },
  TIMEOUT: { strategy: "exponential_backoff", description: "The answer came too late" },
  RESOURCE: { strategy: "linear_backoff", description: "Something limited has run out" },
  CONCURRENCY: { strategy: "linear_backoff", description: "Someone else was faster" },
  LOGGER: { strategy: "never", description: "The log itself is out of order" },
};

/** All categories, in the order of their declaration. */
export const ErrorCategories: ReadonlyArray<ErrorCategory> = Object.keys(
  retryStrategies,
) as ErrorCategory[];

/** Tells whether a string names an error category. */
export const isErrorCategory = (value: string): value is ErrorCategory =>
  Object.hasOwn(retryStrategies, value);

/** Builds an error from its four parts. */
export const create = (
  code: string,
  message: string,
  category: ErrorCategory,
  context: Context = {},
): QiError => ({ code, message, category, context });

/** Builds an error from an options object. */
export const createError = (options: ErrorOptions): QiError => {
  const { code, message, category, context = {} } = options;
  return create(code, message, category, context);
};

/** Turns whatever was thrown into an error. */
export const fromException = (exception: unknown, category: ErrorCategory = "SYSTEM"): QiError =>
  exception instanceof Error
    ? create("EXCEPTION", exception.message, category, {
        name: exception.name,
        stack: exception.stack,
      })
    : create("UNKNOWN_EXCEPTION", String(exception), category, { originalValue: exception });

/** Builds an error from a bare message. */
export const fromString = (message: string, category: ErrorCategory = "SYSTEM"): QiError =>
  create("ERROR", message, category);

/** Renders an error as one line for people. */
export const errorToString = ({ code, message }: QiError): string => `[${code}] ${message}`;

/** Reads the category of an error. */
export const getCategory = ({ category }: QiError): ErrorCategory => category;

/** Copies an error into a plain object, for logs and wire formats. */
export const toStructuredData = (error: QiError): Record<string, unknown> => {
  const { code, message, category, context } = error;
  return { code, message, category, context };
};

/** Adds context to an error; a key given here wins over one already there. */
export const withContext = (context: Context, error: QiError): QiError => ({
  ...error,
  context: Object.assign({}, error.context, context),
});

/** Looks up how an error of this category should be retried. */
export const getRetryStrategy = (category: ErrorCategory): RetryStrategy =>
  retryStrategies[category];

/** Reports input that breaks a constraint. */
export const validationError = (message: string, context: Context = {}): QiError =>
  create("VALIDATION_ERROR", message, "VALIDATION", context);

/** Reports a failed exchange with another machine. */
export const networkError = (message: string, context: Context = {}): QiError =>
  create("NETWORK_ERROR", message, "NETWORK", context);

/** Reports a failure of the machine or runtime. */
export const systemError = (message: string, context: Context = {}): QiError =>
  create("SYSTEM_ERROR", message, "SYSTEM", context);

/** Reports a broken domain rule. */
export const businessError = (message: string, context: Context = {}): QiError =>
  create("BUSINESS_ERROR", message, "BUSINESS", context);

/** Reports a caller that is not who it claims to be. */
export const authenticationError = (message: string, context: Context = {}): QiError =>
  create("AUTH_ERROR", message, "AUTHENTICATION", context);

/** Reports a caller that lacks a permission. */
export const authorizationError = (message: string, context: Context = {}): QiError =>
  create("AUTHZ_ERROR", message, "AUTHORIZATION", context);

/** Reports settings that cannot be used. */
export const configurationError = (message: string, context: Context = {}): QiError =>
  create("CONFIG_ERROR", message, "CONFIGURATION", context);

/** Reports an answer that did not come in time. */
export const timeoutError = (message: string, context: Context = {}): QiError =>
  create("TIMEOUT_ERROR", message, "TIMEOUT", context);

/** Reports something limited that has run out. */
export const resourceError = (message: string, context: Context = {}): QiError =>
  create("RESOURCE_ERROR", message, "RESOURCE", context);

/** Reports a conflict with work done at the same time. */
export const concurrencyError = (message: string, context: Context = {}): QiError =>
  create("CONCURRENCY_ERROR", message, "CONCURRENCY", context);

/** Reports a failure of logging itself. */
export const loggerError = (message: string, context: Context = {}): QiError =>
  create("LOGGER_ERROR", message, "LOGGER", context);
