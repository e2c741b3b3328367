// R13: .js in relative imports, type-only imports for types.
import { type QiError, map } from "@qi/base";
import { Result, flatMap } from "@qi/base"; // expect: R13
import { Logger } from "@qi/core"; // expect: R13
import { Config as Settings, fromObject } from "@qi/core"; // expect: R13
import { alpha } from "./neighbour"; // expect: R13
import { beta } from "./neighbour.ts"; // expect: R13
import type { Gamma } from "./neighbour"; // expect: R13
import * as parent from "../src/neighbour"; // expect: R13
import * as index from "."; // expect: R13
export { alpha as delta } from "./neighbour"; // expect: R13
export * from "./other.service"; // expect: R13
export const lazily = () => import("./neighbour"); // expect: R13

export const used = (result: Result<number>, logger: Logger, settings: Settings) => [result, logger, settings];
export const all = [alpha, beta, parent, index, flatMap, fromObject];
export type All = Gamma;

import { MemoryCache } from "@qi/core"; // look-alike
import { Logger as Log } from "@qi/core"; // look-alike
import type { Success } from "@qi/base"; // look-alike
import { type Failure, success } from "@qi/base"; // look-alike
import { isSuccess } from "@qi/base"; // look-alike
import { epsilon } from "./neighbour.js"; // look-alike
import type { Zeta } from "../src/neighbour.js"; // look-alike
import data from "./data.json"; // look-alike
import { failure } from "@qi/base/result.js"; // look-alike
export type { Zeta as Eta } from "./neighbour.js"; // look-alike
export const ofLazily = () => import("./neighbour.js"); // look-alike
export const ofText = 'import { a } from "./neighbour"'; // look-alike
export class Builder extends MemoryCache {} // look-alike
export const ofInstance = (x: unknown): x is Log => x instanceof Log; // look-alike
export const rest = [success, isSuccess, epsilon, data, failure, map];
export type Rest = [Success<number>, Failure<QiError>, Zeta];
