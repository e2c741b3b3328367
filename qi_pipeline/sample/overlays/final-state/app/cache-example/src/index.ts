/** A counter kept in a cache, and a report about that cache. */

import { createMemoryCache } from "@qi/core";
import { cacheReport, increment } from "./storing.js";

/** Runs the demo: counts to two and reports how the cache has been doing. */
export const run = async (): Promise<string> => {
  const cache = createMemoryCache({ name: "demo" });
  await increment(cache, "visits");
  await increment(cache, "visits");
  return cacheReport(cache);
};
