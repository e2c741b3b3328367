/** Settings from defaults, a file and the environment, checked and then used. */

import { inspect, inspectErr, type Result } from "@qi/base";
import { ConfigBuilder, type ConfigError, type ValidatedConfig } from "@qi/core";
import { z } from "zod";

const schema = z.object({
  server: z.object({ host: z.string(), port: z.coerce.number() }),
  debug: z.coerce.boolean().default(false),
});

/** Gathers the settings of the demo from three sources and checks them. */
export const settings = (overrides: Record<string, unknown>): Result<ValidatedConfig, ConfigError> =>
  ConfigBuilder.fromObject({ server: { host: "localhost", port: 3000 } })
    .mergeObject(overrides)
    .merge(ConfigBuilder.fromEnv("DEMO"))
    .validateWith(schema)
    .buildValidated();

/** Prints where the server of the demo listens. */
export const run = (): void => {
  const gathered = settings({ server: { port: 8080 } });
  inspect((config) => console.log(`listening on ${config.get<number>("server.port")}`), gathered);
  inspectErr((error) => console.error(error.message), gathered);
};
