/** Calls to other machines whose rejections become failures. */

import { readFile, writeFile } from "node:fs/promises";
import {
  failure,
  flatMapAsync,
  fromAsyncTryCatch,
  fromTryCatch,
  networkError,
  type Result,
  resourceError,
  success,
  systemError,
  timeoutError,
  validationError,
} from "@qi/base";

/** An HTTP reply reduced to what the demos need. */
export interface Reply {
  readonly status: number;
  readonly text: () => Promise<string>;
}

/** A function that fetches a URL; tests hand in one of their own. */
export type Fetch = (url: string) => Promise<Reply>;

/** Fetches a URL and reports a broken connection as a network failure. */
export const request = (fetch: Fetch, url: string): Promise<Result<Reply>> =>
  fromAsyncTryCatch(
    () => fetch(url),
    (thrown) => networkError(`Request failed: ${String(thrown)}`, { url }),
  );

/** Accepts replies with a status below 400 and rejects all others. */
export const acceptReply = (reply: Reply): Result<Reply> =>
  reply.status < 400
    ? success(reply)
    : failure(networkError(`Unexpected status ${reply.status}`, { status: reply.status }));

/** Reads the body of a reply as text. */
export const readBody = (reply: Reply): Promise<Result<string>> =>
  fromAsyncTryCatch(() => reply.text());

/** Reads a text file and reports a missing one as a resource failure. */
export const readText = (path: string): Promise<Result<string>> =>
  fromAsyncTryCatch(
    () => readFile(path, "utf-8"),
    () => resourceError(`Cannot read ${path}`, { path }),
  );

/** Writes a text file and returns how many characters were written. */
export const writeText = (path: string, text: string): Promise<Result<number>> =>
  fromAsyncTryCatch(
    async () => {
      await writeFile(path, text, "utf-8");
      return text.length;
    },
    () => systemError(`Cannot write ${path}`, { path }),
  );

/** Reads a file and parses its text as JSON. */
export const readJson = async (path: string): Promise<Result<unknown>> =>
  flatMapAsync(
    async (text) =>
      fromTryCatch(
        () => JSON.parse(text) as unknown,
        () => validationError(`${path} is not JSON`, { path }),
      ),
    await readText(path),
  );

/** Fails with a timeout when a promise does not settle within the given milliseconds. */
export const withTimeout = <T>(
  milliseconds: number,
  work: Promise<Result<T>>,
): Promise<Result<T>> => {
  const expired = new Promise<Result<T>>((resolve) => {
    const timer = setTimeout(
      () => resolve(failure(timeoutError(`No answer within ${milliseconds} ms`))),
      milliseconds,
    );
    timer.unref();
  });
  return Promise.race([work, expired]);
};

/** Waits for a number of milliseconds and rejects a negative number. */
export const pause = async (milliseconds: number): Promise<Result<number>> =>
  flatMapAsync(
    async (delay: number): Promise<Result<number>> => {
      await new Promise((resolve) => setTimeout(resolve, delay));
      return success(delay);
    },
    milliseconds < 0 ? failure(validationError("Cannot wait backwards")) : success(milliseconds),
  );
