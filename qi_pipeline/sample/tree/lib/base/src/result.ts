/**
 * The outcome of an operation as a value: either what was asked for or why it
 * could not be had. A result is plain data; everything done with it is done by
 * the functions below, which take the result as their last argument.
 */

import { create, type QiError } from "./error.js";

/** Either a value or the error that took its place. */
export type Result<T, E = QiError> =
  | { readonly tag: "success"; readonly value: T }
  | { readonly tag: "failure"; readonly error: E };

/** The successful half of a result. */
export type Success<T> = { readonly tag: "success"; readonly value: T };

/** The failed half of a result. */
export type Failure<E> = { readonly tag: "failure"; readonly error: E };

/** Wraps a value as a successful result. */
export const success = <T>(value: T): Result<T, never> => ({ tag: "success", value });

/** Wraps an error as a failed result. */
export const failure = <E>(error: E): Result<never, E> => ({ tag: "failure", error });

const describe = (thrown: unknown, code: string): QiError => {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return create(code, message, "SYSTEM", { originalError: thrown });
};

/** Runs a function that may throw and captures the outcome. */
export const fromTryCatch = <T>(
  operation: () => T,
  errorHandler?: (error: unknown) => QiError,
): Result<T, QiError> => {
  try {
    return success(operation());
  } catch (thrown) {
    return failure(errorHandler?.(thrown) ?? describe(thrown, "EXCEPTION"));
  }
};

/** Runs a function whose promise may reject and captures the outcome. */
export const fromAsyncTryCatch = async <T>(
  operation: () => Promise<T>,
  errorHandler?: (error: unknown) => QiError,
): Promise<Result<T, QiError>> => {
  try {
    return success(await operation());
  } catch (thrown) {
    return failure(errorHandler?.(thrown) ?? describe(thrown, "ASYNC_EXCEPTION"));
  }
};

/** Treats null and undefined as the given error. */
export const fromMaybe = <T>(
  value: T | null | undefined,
  errorIfNull: QiError,
): Result<T, QiError> =>
  value === null || value === undefined ? failure(errorIfNull) : success(value);

/** Reads an either: right is success, left is failure. */
export const fromEither = <L, R>(
  either: { tag: "left"; value: L } | { tag: "right"; value: R },
): Result<R, L> => (either.tag === "left" ? failure(either.value) : success(either.value));

/** Tells whether a result holds a value. */
export const isSuccess = <T, E>(result: Result<T, E>): result is Success<T> =>
  result.tag === "success";

/** Tells whether a result holds an error. */
export const isFailure = <T, E>(result: Result<T, E>): result is Failure<E> =>
  result.tag === "failure";

/** Eliminates a result: one function for each of its halves. */
export const match = <T, E, R>(
  onSuccess: (value: T) => R,
  onError: (error: E) => R,
  result: Result<T, E>,
): R => (isSuccess(result) ? onSuccess(result.value) : onError(result.error));

/** Reads the value, or null where there is none. */
export const getValue = <T, E>(result: Result<T, E>): T | null =>
  isSuccess(result) ? result.value : null;

/** Reads the error, or null where there is none. */
export const getError = <T, E>(result: Result<T, E>): E | null =>
  isFailure(result) ? result.error : null;

/** Applies a function to the value and leaves errors alone. */
export const map = <T, U, E>(fn: (value: T) => U, result: Result<T, E>): Result<U, E> =>
  isFailure(result) ? result : success(fn(result.value));

/** Applies a function to the error and leaves values alone. */
export const mapError = <T, E, F>(fn: (error: E) => F, result: Result<T, E>): Result<T, F> =>
  isSuccess(result) ? result : failure(fn(result.error));

/** Continues with a step that may fail itself. */
export const flatMap = <T, U, E>(
  fn: (value: T) => Result<U, E>,
  result: Result<T, E>,
): Result<U, E> => (isFailure(result) ? result : fn(result.value));

/** Continues with a step that may fail itself; another name for {@link flatMap}. */
export const andThen = <T, U, E>(
  fn: (value: T) => Result<U, E>,
  result: Result<T, E>,
): Result<U, E> => flatMap(fn, result);

/** Shows the value to a function and passes the result on. */
export const inspect = <T, E>(fn: (value: T) => void, result: Result<T, E>): Result<T, E> => {
  if (isSuccess(result)) fn(result.value);
  return result;
};

/** Shows the error to a function and passes the result on. */
export const inspectErr = <T, E>(fn: (error: E) => void, result: Result<T, E>): Result<T, E> => {
  if (isFailure(result)) fn(result.error);
  return result;
};

/** Removes one level from a result inside a result. */
export const collect = <T, E>(result: Result<Result<T, E>, E>): Result<T, E> =>
  flatMap((inner: Result<T, E>) => inner, result);

/** Keeps a value only where the predicate holds. */
export const filter = <T, E>(
  predicate: (value: T) => boolean,
  errorIfFalse: E,
  result: Result<T, E>,
): Result<T, E> =>
  isFailure(result) || predicate(result.value) ? result : failure(errorIfFalse);

/** Tries something else where there is an error. */
export const orElse = <T, E, F>(
  alternative: (error: E) => Result<T, F>,
  result: Result<T, E>,
): Result<T, F> => (isSuccess(result) ? result : alternative(result.error));

/** Takes the value out and throws where there is none: for tests and program starts only. */
export const unwrap = <T, E>(result: Result<T, E>): T => {
  if (isSuccess(result)) return result.value;
  throw new Error(`Called unwrap on failure: ${JSON.stringify(result.error)}`);
};

/** Takes the value out, or the default where there is none. */
export const unwrapOr = <T, E>(defaultValue: T, result: Result<T, E>): T =>
  isSuccess(result) ? result.value : defaultValue;
