/** Shortcuts from the first days, before the combinators had settled. */

import { failure, flatMap, map, type Result, success, validationError } from "@qi/base";

/** Triples the number in a result. */
export const triple = (result: Result<number>): Result<number> => map((n) => n * 3, result);

/** Halves an even number in a result and rejects an odd one. */
export const halve = (result: Result<number>): Result<number> =>
  flatMap(
    (n) => (n % 2 === 0 ? success(n / 2) : failure(validationError("Number is odd", { n }))),
    result,
  );
