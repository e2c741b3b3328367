/** Ways to make a result: from a decision, from code that throws, from what may be missing. */

import {
  Err,
  failure,
  fromEither,
  fromMaybe,
  fromTryCatch,
  Ok,
  type Result,
  success,
  systemError,
  tryCatch,
  validationError,
} from "@qi/base";

/** Divides two numbers and fails when the divisor is zero. */
export const divide = (dividend: number, divisor: number): Result<number> =>
  divisor === 0
    ? failure(validationError("Cannot divide by zero", { dividend }))
    : success(dividend / divisor);

/** Accepts an age between 0 and 150 and rejects every other number. */
export const parseAge = (age: number): Result<number> =>
  Number.isInteger(age) && age >= 0 && age <= 150
    ? success(age)
    : failure(validationError("Age must be a whole number between 0 and 150", { age }));

/** Parses a decimal integer from text and rejects anything else. */
export const parseInteger = (text: string): Result<number> => {
  const number = Number(text.trim());
  return text.trim() !== "" && Number.isInteger(number)
    ? success(number)
    : failure(validationError("Not an integer", { text }));
};

/** Parses JSON text into an unknown value and reports a syntax error as a validation failure. */
export const parseJson = (text: string): Result<unknown> =>
  fromTryCatch(
    () => JSON.parse(text) as unknown,
    () => validationError("Text is not JSON", { length: text.length }),
  );

/** Parses a URL and reports malformed text as a validation failure. */
export const parseUrl = (text: string): Result<URL> =>
  tryCatch(
    () => new URL(text),
    () => validationError("Malformed URL", { text }),
  );

/** Compiles a regular expression and captures the exception a bad pattern raises. */
export const compilePattern = (source: string): Result<RegExp> =>
  fromTryCatch(() => new RegExp(source, "u"));

/** Decodes a percent-encoded string and captures the exception of a malformed one. */
export const decodePercent = (text: string): Result<string> =>
  tryCatch(() => decodeURIComponent(text));

/** Reads the first element of a list and fails for an empty list. */
export const first = <T>(items: readonly T[]): Result<T> =>
  fromMaybe(items[0], validationError("List is empty"));

/** Finds a value in a map by its key and names the key when it is missing. */
export const lookup = <T>(table: ReadonlyMap<string, T>, key: string): Result<T> =>
  fromMaybe(table.get(key), validationError(`Unknown key: ${key}`, { key }));

/** Reads an environment variable and fails when it is not set. */
export const readVariable = (name: string): Result<string> =>
  fromMaybe(process.env[name], systemError(`Environment variable ${name} is not set`, { name }));

/** An either as other libraries return it. */
export type Either<L, R> = { tag: "left"; value: L } | { tag: "right"; value: R };

/** Converts an either from another library into a result. */
export const adoptEither = <L, R>(either: Either<L, R>): Result<R, L> =>
  fromEither<L, R>(either);

/** Converts a validator's either into a result whose error is a list of complaints. */
export const fromValidator = (verdict: Either<string[], string>): Result<string, string[]> =>
  fromEither<string[], string>(verdict);

/** Accepts a non-empty string, using the short aliases of the constructors. */
export const nonEmpty = (text: string): Result<string> =>
  text.length > 0 ? Ok(text) : Err(validationError("Text is empty"));

/** Accepts an email address that has one at-sign and a dot in its domain. */
export const parseEmail = (text: string): Result<string> =>
  /^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(text)
    ? Ok(text.toLowerCase())
    : Err(validationError("Not an email address", { text }));

/** A colour as three channels from 0 to 255. */
export interface Colour {
  readonly red: number;
  readonly green: number;
  readonly blue: number;
}

/** Parses a hexadecimal colour such as #ff8800 into its channels. */
export const parseColour = (text: string): Result<Colour> => {
  const found = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(text);
  if (found === null) return failure(validationError("Not a hexadecimal colour", { text }));
  const [red = 0, green = 0, blue = 0] = found.slice(1).map((pair) => Number.parseInt(pair, 16));
  return success({ red, green, blue });
};
