// R10: errors come from a factory.
import * as base from "@qi/base";
import { Err, create, createError, failure, fromException, fromTryCatch, mapError, match, systemError, validationError, withContext } from "@qi/base";
import { cacheError, configError } from "@qi/core";
import type { QiError, Result } from "@qi/base";

declare const e: QiError;
declare const thrown: unknown;
declare const exception: TypeError;
declare const message: string;
declare const ok: boolean;
interface UserError extends QiError { readonly userId: string }
declare const userError: UserError;
type ParseFault = { readonly kind: "parse"; readonly line: number };
declare const fault: (line: number) => ParseFault;
class DomainError extends Error {}
const fail = failure;

export const raised = failure(new Error("x")); // expect: R10
export const derived = failure(new DomainError("x")); // expect: R10
export const literal = failure({ code: "A", message: "m", category: "SYSTEM", context: {} }); // expect: R10
export const typed = (): Result<number> => failure({ code: "A", message: "m", category: "SYSTEM", context: {} }); // expect: R10
export const cast = failure({ code: "A", message: "m" } as QiError); // expect: R10
export const angled = failure(<QiError>{ code: "A", message: "m" }); // expect: R10
export const commented = failure((/* why */ { code: "A" })); // expect: R10
export const text = failure("not found"); // expect: R10
export const template = failure(`not found: ${message}`); // expect: R10
export const variable = failure(message); // expect: R10
export const held = failure(exception); // expect: R10
export const promised = () => Promise.resolve(failure({ code: "A", message: "m" })); // expect: R10
interface Task extends Promise<Result<number, QiError>> {}
interface TaskOf<T> extends Promise<Result<T, QiError>> {}
export const task = (): Task => Promise.resolve(failure({ code: "A", message: "m", category: "SYSTEM", context: {}, timestamp: 1 })); // expect: R10
export const taskOf = (): TaskOf<number> => Promise.resolve(failure({ code: "A", message: "m", category: "SYSTEM", context: {}, timestamp: 1 })); // expect: R10
export const stoppable = (): Promise<Result<number, QiError>> & { stop?: () => void } => Promise.resolve(failure({ code: "A", message: "m", category: "SYSTEM", context: {}, timestamp: 1 })); // expect: R10
export const caught = () => { try { return 1; } catch (error) { return failure(error); } }; // expect: R8 R10
export const caughtAsUnknown = () => { try { return 1; } catch (x: unknown) { return failure(x as unknown); } }; // expect: R8 R10
export const asError = failure(thrown as Error); // expect: R10
export const nothing = failure(null); // expect: R10
export const number = failure(404); // expect: R10
export const renamed = Err("x"); // expect: R10
export const aliased = fail(new Error("x")); // expect: R10
export const namespaced = base.failure(new Error("x")); // expect: R10
export const branch = failure(ok ? systemError("x") : new Error("y")); // expect: R10
export const inMatch = match((x: number) => x, () => failure("x"), base.success(1)); // expect: R10
declare const perhaps: QiError | undefined;
declare const mixed: Error | string;
declare const unsaid: string | undefined;
const handMade = { code: "A", message: "m", category: "SYSTEM" };
const claimed: QiError = { code: "A", message: "m", category: "SYSTEM", context: {} };
export const fallback = failure(perhaps ?? new Error("x")); // expect: R10
export const otherwise = failure(perhaps || "text"); // expect: R10
export const conditional = failure(ok && systemError("x")); // expect: R10
export const handMadeFallback = failure(perhaps ?? { code: "A", message: "m", category: "SYSTEM" }); // expect: R10
export const choice = failure(mixed); // expect: R10
export const optional = failure(unsaid); // expect: R10
export const date = failure(new Date()); // expect: R10
export const callback = failure(() => 1); // expect: R10
export const pattern = failure(/x/); // expect: R10
export const disguised = failure(new Error("x") as unknown as QiError); // expect: R10
export const disguisedChoice = failure((perhaps ?? new Error("x")) as QiError); // expect: R10
export const disguisedCaught = () => { try { return 1; } catch (x) { return failure(x as QiError); } }; // expect: R8 R10
export const heldByHand = failure(handMade); // expect: R10
export const heldAsError = failure(claimed); // expect: R10
export const undeclared = (): Result<number, ParseFault | QiError> => failure({ code: "A", message: "m", category: "SYSTEM", context: {} }); // expect: R10

export const ofPurpose = (): Result<number, ParseFault> => failure({ kind: "parse", line: 1 }); // look-alike
export const ofPurposeLater = async (): Promise<Result<number, ParseFault>> => failure({ kind: "parse", line: 1 }); // look-alike
export const ofPurposeSaid = failure<ParseFault>({ kind: "parse", line: 1 }); // look-alike
export const ofPurposeCast = failure({ kind: "parse", line: 1 } as ParseFault); // look-alike
export const ofPurposeMixed = (): Result<number, ParseFault | QiError> => failure({ kind: "parse", line: 1 }); // look-alike
const extended = { ...e, code: "B" };
type Fault = { readonly code: string; readonly message: string };
const ownFault: Fault = { code: "A", message: "m" };
export const ofExtended = failure(extended); // look-alike
export const ofOwnFault = failure(ownFault); // look-alike
export const ofOwnFaultSaid = (): Result<number, Fault> => failure({ code: "A", message: "m" }); // look-alike
export const ofPerhaps = perhaps && failure(perhaps ?? systemError("x")); // look-alike
export const ofPartial = (partial: Readonly<ParseFault>) => failure(partial); // look-alike
export const ofFactory = failure(validationError("x")); // look-alike
export const ofCreate = failure(create("A", "m", "SYSTEM", { cause: new Error("x") })); // look-alike
export const ofOptions = failure(createError({ code: "A", message: "m", category: "SYSTEM" })); // look-alike
export const ofException = failure(fromException(new Error("x"))); // look-alike
export const ofVariable = failure(e); // look-alike
export const ofContext = failure(withContext({ a: 1 }, e)); // look-alike
export const ofSpread = failure({ ...e, userId: "1" }); // look-alike
export const ofOwnType = failure(userError); // look-alike
export const ofCast = failure(systemError("x") as UserError); // look-alike
export const ofCore = [failure(configError("x")), failure(cacheError("x"))]; // look-alike
export const ofPromised = (): Promise<Result<number, ParseFault>> => Promise.resolve(failure({ kind: "parse", line: 1 })); // look-alike
export const ofPromisedChoice = (): Promise<Result<number, ParseFault>> => Promise.resolve(ok ? base.success(1) : (failure({ kind: "parse", line: 1 }))); // look-alike
export const ofDeclaredFault = failure(fault(1)); // look-alike
export const ofBranch = failure(ok ? systemError("x") : e); // look-alike
export const ofGeneric = <E>(error: E): Result<never, E> => failure(error); // look-alike
export const ofMapped = mapError((error) => withContext({ a: 1 }, error), failure(e)); // look-alike
export const ofShadow = (failure: (of: string) => string) => failure("x"); // look-alike
export const ofRejected = Promise.reject(new Error("x")).catch(() => 1); // look-alike
export const ofCaught = (): Result<number> => { try { return base.success(1); } catch (x) { return failure(fromException(x)); } }; // expect: R8
export const ofUninferred = failure(thrown); // look-alike
export const ofTried = fromTryCatch(() => JSON.parse("1"), (error) => systemError(String(error))); // look-alike
