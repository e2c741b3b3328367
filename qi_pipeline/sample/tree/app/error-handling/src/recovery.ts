/** What to do about an error: fall back, translate, or try again. */

import {
  businessError,
  failure,
  filter,
  flatMap,
  fromTryCatch,
  getCategory,
  getRetryStrategy,
  isFailure,
  map,
  mapError,
  orElse,
  type QiError,
  type Result,
  success,
  systemError,
  unwrapOr,
  validationError,
} from "@qi/base";

/** Tries a second source when the first one fails. */
export const firstOf = <T>(primary: Result<T>, secondary: () => Result<T>): Result<T> =>
  orElse(() => secondary(), primary);

/** Falls back to a default only for errors of the given category. */
export const recoverFrom = <T>(
  category: QiError["category"],
  fallback: T,
  result: Result<T>,
): Result<T> =>
  orElse(
    (error) => (getCategory(error) === category ? success(fallback) : failure(error)),
    result,
  );

/** Tries a list of sources in turn and keeps the first value found. */
export const firstAvailable = <T>(sources: readonly (() => Result<T>)[]): Result<T> =>
  sources.reduce<Result<T>>(
    (found, source) => orElse(() => source(), found),
    failure(systemError("No source is available")),
  );

/** Hides the details of a system error behind a business error. */
export const hideInternals = <T>(result: Result<T>): Result<T> =>
  mapError(
    (error) =>
      getCategory(error) === "SYSTEM" ? businessError("The service is unavailable") : error,
    result,
  );

/** Repeats an operation at once while its error may be transient and attempts are left. */
export const retry = <T>(attempts: number, operation: () => Result<T>): Result<T> =>
  orElse(
    (error) =>
      attempts > 1 && getRetryStrategy(error.category).strategy !== "never"
        ? retry(attempts - 1, operation)
        : failure(error),
    operation(),
  );

/** Computes how many milliseconds to wait before the given attempt. */
export const backoffDelay = (error: QiError, attempt: number): number => {
  const { strategy } = getRetryStrategy(getCategory(error));
  if (strategy === "never") return 0;
  return strategy === "linear_backoff" ? attempt * 100 : 2 ** attempt * 100;
};

/** Runs clean-up code whatever the outcome of the work was. */
export const withCleanup = <T>(cleanup: () => void, work: () => Result<T>): Result<T> => {
  const result = work();
  cleanup();
  return result;
};

/** Guards a function of another library so that its exceptions become failures. */
export const guarded =
  <A, B>(fn: (input: A) => B): ((input: A) => Result<B>) =>
  (input) =>
    fromTryCatch(() => fn(input));

/** Keeps a list only when it has the expected length. */
export const exactly = <T>(count: number, items: Result<T[]>): Result<T[]> =>
  filter((list) => list.length === count, validationError(`Expected ${count} items`), items);

/** Validates several rules against one value and reports the first that is broken. */
export const obeys = <T>(
  rules: readonly { message: string; holds: (value: T) => boolean }[],
  value: T,
): Result<T> =>
  rules.reduce<Result<T>>(
    (result, { message, holds }) => filter(holds, validationError(message), result),
    success(value),
  );

/** Validates several rules against one value and reports all that are broken. */
export const obeysAll = <T>(
  rules: readonly { message: string; holds: (value: T) => boolean }[],
  value: T,
): Result<T> => {
  const broken = rules.filter(({ holds }) => !holds(value)).map(({ message }) => message);
  return broken.length === 0
    ? success(value)
    : failure(validationError("Rules are broken", { broken }));
};

/** Shares a sum among a number of people and explains why that is impossible. */
export const share = (cents: number, people: number): Result<number> =>
  people > 0
    ? success(Math.floor(cents / people))
    : failure(businessError("There is nobody to share with", { cents }));

/** Moves money between two balances, or leaves both untouched. */
export const transfer = (
  amount: number,
  balances: { from: number; to: number },
): Result<{ from: number; to: number }> =>
  map(
    ({ from, to }) => ({ from: from - amount, to: to + amount }),
    filter(
      ({ from }) => from >= amount,
      businessError("Insufficient funds", { amount }),
      success(balances),
    ),
  );

/** Opens an account with a deposit of at least ten. */
export const openAccount = (deposit: number): Result<{ balance: number }> =>
  flatMap(
    (amount) =>
      amount >= 10
        ? success({ balance: amount })
        : failure(businessError("The first deposit is ten at least")),
    success(deposit),
  );

/** Stops a chain of checks by throwing, as older code of this demo did. */
export const mustBePositive = (amount: number): number => {
  if (amount <= 0) throw new Error("Amount must be positive");
  return amount;
};

/** Reads the message of an error without asking the compiler about it. */
export const looseMessage = (error: any): string => String(error.message);

/** Reports the message of a failed result by reaching into it. */
export const legacyReason = (result: Result<string>): string =>
  isFailure(result) ? result.error.message : "";

/** Takes a deposit out of a result or counts nothing. */
export const depositOrNothing = (deposit: Result<number>): number => unwrapOr(0, deposit);
