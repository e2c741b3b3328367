// R9: an error category is one of the known ones.
import * as base from "@qi/base";
import { create, create as make, createError, fromException, fromString, validationError } from "@qi/base";
import type { ErrorCategory } from "@qi/base";

const wrong = "PARSE";
const right = "VALIDATION";
declare const given: ErrorCategory;
const build = create;

export const unknown = create("A", "m", "PARSE"); // expect: R9
export const cast = create("A", "m", "PARSE" as never); // expect: R9
export const code = create("A", "m", "NETWORK_ERROR"); // expect: R9
export const lower = create("A", "m", "validation"); // expect: R9
export const renamed = make("A", "m", "IO"); // expect: R9
export const aliased = build("A", "m", "IO"); // expect: R9
export const namespaced = base.create("A", "m", `PARSE` as never); // expect: R9
export const options = createError({ code: "A", message: "m", category: "PARSE" as never }); // expect: R9
export const quoted = createError({ "code": "A", "message": "m", "category": "INTERNAL" }); // expect: R9
export const thrown = fromException(new Error("x"), "UNKNOWN"); // expect: R9
export const text = fromString("m", "GENERAL"); // expect: R9
export const constant = create("A", "m", wrong); // expect: R9
export const escaped = create("A", "m", "P\x41RSE"); // expect: R9

export const ofEscaped = create("A", "m", "SYS\x54EM"); // look-alike
export const ofKnown = create("PARSE", "m", "VALIDATION"); // look-alike
export const ofConstant = create("A", "PARSE", right); // look-alike
export const ofParameter = create("A", "m", given); // look-alike
export const ofEach = [create("A", "m", "LOGGER"), create("A", "m", "CONCURRENCY"), create("A", "m", "RESOURCE")]; // look-alike
export const ofOptions = createError({ code: "A", message: "m", category: "TIMEOUT" }); // look-alike
export const ofContext = create("A", "m", "SYSTEM", { category: "PARSE" }); // look-alike
export const ofDefault = [fromString("PARSE"), fromException(new Error("PARSE"))]; // look-alike
export const ofFactory = validationError("PARSE", { category: "PARSE" }); // look-alike
export const ofShadow = (create: (a: string, b: string, c: string) => string) => create("A", "m", "PARSE"); // look-alike
export const ofObject = Object.create({ category: "PARSE" }); // look-alike
export const ofChoice = (retry: boolean) => create("A", "m", retry ? "TIMEOUT" : "NETWORK"); // look-alike
export const ofOther = { create: (a: string, b: string, c: string) => a + b + c }.create("A", "m", "PARSE"); // look-alike
