/** A page is fetched, checked, read and measured; every step may fail. */

import { flatMapPromise, inspect, mapPromise, matchPromise, type Result } from "@qi/base";
import { createLogger, type Logger } from "@qi/core";
import { acceptReply, type Fetch, readBody, request } from "./requests.js";

/** Fetches a page and measures its text. */
export const pageLength = (fetch: Fetch, url: string): Promise<Result<number>> =>
  mapPromise(
    (text) => text.length,
    flatMapPromise(readBody, flatMapPromise(acceptReply, request(fetch, url))),
  );

/** Logs how long a page is, or why that is unknown. */
export const logPage = (logger: Logger, fetch: Fetch, url: string): Promise<void> =>
  matchPromise(
    async (length) => logger.info("Page measured", { url, length }),
    async (error) => logger.warn("Page not measured", { url, reason: error.message }),
    pageLength(fetch, url),
  );

/** Runs the demo with a logger of its own. */
export const run = (fetch: Fetch): void => {
  inspect(
    (logger) => void logPage(logger, fetch, "https://sample.invalid/"),
    createLogger({ level: "info", name: "async-composition" }),
  );
};
