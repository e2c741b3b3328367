/** A small service with settings, a log and a cache. */

import { matchAsync } from "@qi/base";
import { cacheReport } from "./storing.js";
import { loadCustomer, startService, stopService } from "./services.js";

/** Runs the demo: the second request for a customer is answered by the cache. */
export const run = (): Promise<string> =>
  matchAsync(
    async (service) => {
      const fetchCustomer = async (id: string) => ({ id, name: "Ada", limit: 100 });
      await loadCustomer(service, fetchCustomer, "1");
      await loadCustomer(service, fetchCustomer, "1");
      const report = cacheReport(service.cache);
      await stopService(service);
      return report;
    },
    async (error) => error.message,
    startService({ app: { name: "cache-example" }, logging: { level: "warn" } }),
  );
