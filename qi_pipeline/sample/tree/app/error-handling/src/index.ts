/** A tour of errors as data. */

import { getCategory, match, type QiError, type Result } from "@qi/base";
import { summarize } from "./describing.js";
import { readPort } from "./making.js";
import { placeOrder, toMessage } from "./orders.js";
import { retry } from "./recovery.js";

/** Chooses a log level by the category of the error in a result. */
export const severityOf = (result: Result<unknown>): "info" | "warn" | "error" =>
  match<unknown, QiError, "info" | "warn" | "error">(
    () => "info",
    (error) => (getCategory(error) === "VALIDATION" ? "warn" : "error"),
    result,
  );

/** Runs the tour and returns what it would print. */
export const run = (): string[] => [
  toMessage(placeOrder({ tea: 3 }, { tea: 10 }, '{"sku":"tea","quantity":2}')),
  toMessage(placeOrder({ tea: 3 }, { tea: 1 }, '{"sku":"tea","quantity":2}')),
  match(
    (port) => `port ${port}`,
    (error) => summarize(error),
    retry(3, () => readPort({ port: "none" })),
  ),
];
