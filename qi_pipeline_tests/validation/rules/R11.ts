// R11: Result-returning constructors are unpacked.
import * as core from "@qi/core";
import { createLogger, createMemoryCache, ConfigBuilder, fromJsonFile, fromObject, Logger } from "@qi/core";
import { flatMap, map, match, matchPromise, success, unwrapOr } from "@qi/base";
import type { Result } from "@qi/base";

const options = { level: "info" } as const;
const logger = createLogger(options);
const make = createLogger;
declare const maybe: Result<Logger> | undefined;

export const called = createLogger(options).info("x"); // expect: R11
export const held = () => logger.info("x"); // expect: R11
export const failing = () => logger.error("x"); // expect: R11
export const aliased = make(options).debug("x"); // expect: R11
export const namespaced = core.createLogger(options).warn("x"); // expect: R11
export const read = logger.level; // expect: R11
export const quoted = logger["info"]("x"); // expect: R11
export const awaited = async () => (await fromJsonFile("x")).get("a"); // expect: R11
export const built = ConfigBuilder.fromObject({}).build().get("a"); // expect: R11
export const chained = maybe?.info("x"); // expect: R11
export const cast = (logger as unknown as Logger).info("x"); // expect: R11
export const erased = (logger as any).info("x"); // expect: R11 R12
export const angled = (<Logger>(<unknown>logger)).info("x"); // expect: R11
export const asLogger = logger as unknown as Logger; // expect: R11
export const told = logger as { readonly tag: string }; // expect: R11
export const wrapped = success({ name: "a" }).name; // expect: R11
export class Service {
  private readonly logger = createLogger(options);
  run(): void {
    this.logger.info("x"); // expect: R11
  }
}

export const ofMatch = match((log) => log.info("x"), () => undefined, createLogger(options)); // look-alike
export const ofHeld = match((log) => log.error("x"), () => undefined, logger); // look-alike
export const ofMap = map((log) => log.child({ a: 1 }), logger); // look-alike
export const ofFlat = flatMap((config) => config.get("a"), ConfigBuilder.fromObject({}).build()); // look-alike
export const ofPlain = createMemoryCache({ maxSize: 1 }).get("a"); // look-alike
export const ofConfig = fromObject({ a: 1 }).get("a"); // look-alike
export const ofNew = new Logger(options).info("x"); // look-alike
export const ofDefault = unwrapOr(new Logger(options), logger).info("x"); // look-alike
export const ofPromise = fromJsonFile("x").then((result) => result); // look-alike
export const ofMatchPromise = matchPromise(async (config) => config.get("a"), async () => success(1), fromJsonFile("x")); // look-alike
export const ofBuilder = ConfigBuilder.fromObject({ a: 1 }).set("a", 1).build(); // look-alike
export const ofNarrower = logger as Result<Logger>; // look-alike
export const ofWider = logger as unknown; // look-alike
export const ofObject = JSON.stringify(logger as object); // look-alike
export const ofObjectLater = JSON.stringify(logger as unknown as object); // look-alike
export const ofList = [logger].map((result) => result).length; // look-alike
